"""ElasticMQ: an SQS server that nobody here wrote, run by ``java`` from jars of Maven Central.

``ELASTICMQ_JARS`` names its jar, or a folder that holds it and the jars that it needs.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from harness.errors import EnvironmentFailed

__all__ = ["ARTIFACT", "VARIABLE", "elasticmq_command", "find_elasticmq"]

VARIABLE = "ELASTICMQ_JARS"
ARTIFACT = "org.elasticmq:elasticmq-server_2.13"

_REMEDY = (
    f"Set {VARIABLE} to a folder with {ARTIFACT} and the jars that it needs "
    "(docs/live.md has the command that gets them), and have java on PATH"
)


def find_elasticmq() -> tuple[str, str]:
    """The program ``java`` and the class path.

    Raises:
        EnvironmentFailed: one of them is not there; with what to do.
    """
    java = shutil.which("java")
    given = os.environ.get(VARIABLE, "")
    if java is None or not given:
        raise EnvironmentFailed(
            f"ElasticMQ is not here: {'no java on PATH' if given else f'{VARIABLE} is not set'}. {_REMEDY}"
        )
    place = Path(given)
    if place.is_file():
        return java, str(place)
    if not any(place.glob("elasticmq-server*.jar")):
        raise EnvironmentFailed(f"{VARIABLE}={given} is no folder with elasticmq-server*.jar in it. {_REMEDY}")
    return java, str(place / "*")


def elasticmq_command(port: int) -> list[str]:
    """What starts it on *port* of loopback, with the region that clients of a live run name.

    Raises:
        EnvironmentFailed: it is not here.
    """
    java, classes = find_elasticmq()
    settings = {
        "aws.region": "us-east-1",
        "node-address.host": "127.0.0.1",
        "node-address.port": str(port),
        "rest-sqs.bind-hostname": "127.0.0.1",
        "rest-sqs.bind-port": str(port),
        "rest-stats.enabled": "false",
    }
    options = [f"-D{name}={value}" for name, value in settings.items()]
    return [java, "-Xmx512m", *options, "-cp", classes, "org.elasticmq.server.Main"]
