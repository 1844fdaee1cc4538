"""``python -m benchmarks.fidelity``: the page ``docs/sqs-fidelity.md`` from the table of SQS's rules.

python -m benchmarks.fidelity                              write the page
python -m benchmarks.fidelity --try                        try the harness's SQS and moto again first (1 minute)
python -m benchmarks.fidelity --recording elasticmq=FILE   take a recording of ``harness conformance sqs --json``
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.fidelity import known, page
from harness.fidelity.known import SERVERS, Known, of_recording
from harness.fidelity.recording import document
from harness.fidelity.rows import Row
from harness.fidelity.run import Outcome

PAGE = Path(__file__).resolve().parent.parent / "docs" / "sqs-fidelity.md"
#: On moto's server; what waits longer is tried in a simulation.
PATIENCE_S = 5


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """moto's server on a free port of loopback: its URL."""
    from moto.server import ThreadedMotoServer
    from moto.sqs.models import sqs_backends

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()
        sqs_backends.clear()  # who uses moto later in this process finds it empty


def on_server(endpoint: str, rows: list[Row], patience: float = PATIENCE_S) -> list[Outcome]:
    """The cases against a server on loopback."""
    from harness.cli.conformance import local_site
    from harness.fidelity.run import sweep, try_all

    site = local_site(endpoint, "us-east-1", "conformance-")
    outcomes = try_all(rows, site, patience=patience, workers=12)
    sweep(site)
    return outcomes


def found_here() -> dict[str, Known]:
    """What the harness's SQS and moto do now."""
    from harness.environments.conformance import try_simulated
    from harness.fidelity.table import rows
    from harness.servers.aws_server import AwsServer

    with AwsServer(seed=1) as server:  # what is about HTTP itself
        by_http = on_server(server.url, [row for row in rows() if row.http])
    memory = of_recording([_recording(try_simulated(rows())), _recording(by_http)], dated=False)
    with moto_server() as endpoint:
        served = on_server(endpoint, list(rows()))
    patient = {outcome.row.id for outcome in served if outcome.state == "left out"}
    simulated = try_simulated([row for row in rows() if row.id in patient], backend="moto")
    recordings = [_recording(served), _recording(simulated)]
    return {"memory": memory, "moto": of_recording(recordings, version=metadata.version("moto"), dated=False)}


def _recording(outcomes: list[Outcome]) -> dict[str, Any]:
    return document(outcomes, date="", endpoint="", region="", versions={})


def main() -> int:
    """Write the page, and the file that it is made of where that has changed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--try", dest="again", action="store_true", help="try the harness's SQS and moto again")
    parser.add_argument("--recording", action="append", default=[], metavar="NAME=FILE", help=", ".join(SERVERS))
    parser.add_argument("--version", default="", help="of the recorded server, for its column")
    arguments = parser.parse_args()
    servers = dict(known.known()) if known.FILE.exists() else {}
    if arguments.again:
        servers.update(found_here())
    for given in arguments.recording:
        name, _, file = given.partition("=")
        if name not in SERVERS or not file:
            parser.error(f"--recording {given}: NAME=FILE is meant, NAME one of {', '.join(SERVERS)}")
        servers[name] = of_recording([json.loads(Path(file).read_text())], version=arguments.version)
    known.FILE.write_text(known.dumps(servers), encoding="utf-8")
    known.known.cache_clear()
    PAGE.write_text(page.render(), encoding="utf-8")
    print(f"{PAGE.name}: {sum(line.startswith('| ') for line in PAGE.read_text().splitlines())} lines of tables")
    return 0


if __name__ == "__main__":
    sys.exit(main())
