"""``harness sqs-server`` under garbage, half requests, floods, slow clients, and calls that are nearly right.

AWS's protocols (JSON, query, CBOR), the control API and LocalStack's paths: no
answer of 500, no answer that cannot be read, nobody else's queue changed, no
descriptor and no memory kept. How many requests were made is printed
(``pytest -rP``).
"""

from __future__ import annotations

import gc
import gzip
import http.client
import json
import os
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import quote, urlencode

import boto3
import cbor2
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from harness.faults.kinds import all_kinds
from harness.servers.aws_server import AwsServer
from tests.budget import NIGHTLY, examples

ARN = "arn:aws:sqs:us-east-1:000000000000:q"
STEADY = "somebody-elses"
#: The server stays as it is from example to example: each starts from whatever the former one left.
NO_COMPLAINT = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


class Watched:
    """A server with a queue of somebody else's and its message, which must stay as they are."""

    def __init__(self, server: AwsServer) -> None:
        self.server = server
        keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x"}
        self.sqs = boto3.client("sqs", endpoint_url=server.url, region_name="us-east-1", **keys)
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        self.asked: Counter[str] = Counter()

    def steady(self) -> str:
        """What somebody else has there."""
        url = self.sqs.create_queue(QueueName=STEADY)["QueueUrl"]
        self.sqs.send_message(QueueUrl=url, MessageBody="still here")
        return str(url)

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and body of one request on a connection that is kept."""
        self.connection.request(method, path, body, headers or {})
        answer = self.connection.getresponse()
        found = answer.status, answer.read()
        self.asked[f"{found[0] // 100}xx"] += 1
        return found

    def talk(self, data: bytes) -> bytes:
        """Send *data*, then the end; everything that comes back."""
        self.asked["raw"] += 1
        with socket.create_connection(("127.0.0.1", self.server.port), timeout=10) as connection:
            answer = b""
            try:
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
                while part := connection.recv(65_536):
                    answer += part
            except (ConnectionResetError, BrokenPipeError):
                return answer
            return answer

    def told(self) -> None:
        """Print how many requests were made, and forget them."""
        print(", ".join(f"{count} {name}" for name, count in sorted(self.asked.items())))
        self.asked.clear()


@pytest.fixture(scope="module")
def running() -> Iterator[Watched]:
    with AwsServer(seed=1, history_limit=20_000, wait_rules=False) as server:
        made = Watched(server)
        yield made
        made.connection.close()
        made.sqs.close()


@pytest.fixture
def watched(running: Watched) -> Iterator[Watched]:
    """The server, emptied; afterwards what was somebody else's is as it was."""
    running.ask("POST", "/_harness/reset")
    running.sqs.create_queue(QueueName="q")
    running.sqs.create_queue(QueueName="q.fifo", Attributes={"FifoQueue": "true", "ContentBasedDeduplication": "true"})
    running.ask("PUT", "/_harness/clock", b'{"mode": "real"}')
    url = running.steady()
    yield running
    running.ask("DELETE", "/_harness/faults")
    running.ask("DELETE", "/_localstack/chaos/faults", b"[]")
    counts = running.server.call(running.server.sqs.inventory)
    if STEADY in counts:  # else some call has reset everything, as it may
        assert counts[STEADY]["visible"] == 1, counts
        assert running.sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "still here"
    running.told()


LINES = st.sampled_from([
    b"GET /_harness/health HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"POST /_harness/effects HTTP/1.0\r\n",
    b"PUT /_harness/faults HTTP/1.1\r\n", b"GET /?Action=ListQueues HTTP/1.1\r\n",
    b"X-Amz-Target: AmazonSQS.ListQueues\r\n", b"X-Amz-Target: AmazonSQS.\r\n", b"smithy-protocol: rpc-v2-cbor\r\n",
    b"Authorization: AWS4-HMAC-SHA256 Credential=a/20300101/x/sqs/aws4_request\r\n", b"Content-Encoding: gzip\r\n",
    b"Host: x\r\n", b"Host: \xff\r\n", b"Content-Length: 5\r\n", b"Content-Length: -1\r\n",
    b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n",
    b"ffffffffffffffff\r\n", b"0\r\n\r\n", b"\r\n", b"\r\n\r\n", b"{}", b"Action=SendMessage&MessageBody=x",
    b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /%ff%00/ HTTP/1.1\r\n\r\n",
    b"POST /service/GraniteServiceVersion20100801/operation/ListMetrics HTTP/1.1\r\n",
])  # fmt: skip


@settings(max_examples=examples(1000))
@given(pieces=st.lists(LINES | st.binary(max_size=60), max_size=12))
def test_bytes_that_are_no_requests(running: Watched, pieces: list[bytes]) -> None:
    """Whatever is sent is answered with HTTP or with an end, and never with a 500."""
    answer = running.talk(b"".join(pieces))
    note(repr(answer))
    assert answer == b"" or answer.startswith(b"HTTP/1.1 ")
    assert b"HTTP/1.1 50" not in answer


# -- AWS's protocols -----------------------------------------------------------------

#: What texts of requests may well be.
TEXTS = ["All", "String", "Number", "Binary", "1", "true", "sqs", "a", ARN, '{"a": ["b"]}', "\x00", "{", "x" * 300]
NAMES = st.sampled_from(["q", "q", "q.fifo", "none", STEADY + "x", "", "a/b", "é", "x" * 81]) | st.text(max_size=5)
SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["true", "0", "1", "30", "All", "String", "Number", "Binary", "\x00", "\ud800", "{", "[]", "$."])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | st.just("Id"), inner, max_size=3),
    max_leaves=6,
)
WAITS = ("WaitTimeSeconds",)  # a test has no time for them


def _of_shape(shape: Any, depth: int = 0) -> st.SearchStrategy[Any]:
    """What fits a shape of botocore's model, or nearly."""
    kind = shape.type_name
    if depth > 3:
        return VALUES
    if kind == "structure":
        members = {
            name: st.just(0)
            if name in WAITS
            else NAMES
            if name in ("QueueUrl", "QueueName")
            else _of_shape(one, depth + 1)
            for name, one in shape.members.items()
        }
        needed = {name: members.pop(name) for name in list(members) if name in shape.required_members}
        some = st.lists(st.sampled_from(sorted(members)), max_size=2, unique=True) if members else st.just([])
        return some.flatmap(lambda names: st.fixed_dictionaries({**needed, **{name: members[name] for name in names}}))
    if kind == "list":
        return st.lists(_of_shape(shape.member, depth + 1), max_size=3)
    if kind == "map":
        keys = st.sampled_from(_ATTRIBUTES) | st.text(max_size=5)
        return st.dictionaries(keys, _of_shape(shape.value, depth + 1), max_size=3) | VALUES
    if kind == "string" and getattr(shape, "enum", None):
        return st.sampled_from(shape.enum) | SCALARS
    if kind == "boolean":
        return st.booleans()
    if kind in ("integer", "long", "double", "float"):
        return st.integers(0, 10) | st.integers(-1, 90_000)
    if kind == "timestamp":
        return st.integers(0, 2**32) | SCALARS
    if kind == "blob":
        return st.just("eA==") | SCALARS
    return st.text(min_size=1, max_size=8) | st.sampled_from(TEXTS)


_ATTRIBUTES = [
    "VisibilityTimeout",
    "FifoQueue",
    "RedrivePolicy",
    "DelaySeconds",
    "Policy",
    "KmsMasterKeyId",
    "FilterPolicy",
]


def _operations() -> dict[str, Any]:
    """The services' operations, by service and name."""
    from harness.sim.wire.botocore_clients import service_model

    found = {}
    for service in ("sqs", "sns", "cloudwatch", "sts"):
        model = service_model(service)
        assert model is not None
        for name in model.operation_names:
            found[f"{service}.{name}"] = model.operation_model(name)
    return found


OPERATIONS = _operations()
_INPUTS = {
    name: st.just({}) if model.input_shape is None else _of_shape(model.input_shape)
    for name, model in OPERATIONS.items()
}
_TARGETS = {"sqs": "AmazonSQS", "sns": "AmazonSNS", "cloudwatch": "GraniteServiceVersion20100801"}
_VERSIONS = {"sqs": "2012-11-05", "sns": "2010-03-31", "cloudwatch": "2010-08-01", "sts": "2011-06-15"}
#: Tried more often than their share.
_USUAL = [
    f"sqs.{name}" for name in ("CreateQueue", "SendMessage", "SendMessageBatch", "ReceiveMessage", "DeleteMessage")
]


def _flat(value: Any, path: str = "") -> dict[str, str]:
    """Nested parameters as a form's."""
    if isinstance(value, dict):
        return {
            k: v for name, one in value.items() for k, v in _flat(one, f"{path}.{name}" if path else str(name)).items()
        }
    if isinstance(value, list):
        return {k: v for at, one in enumerate(value, 1) for k, v in _flat(one, f"{path}.{at}").items()}
    return {path: str(value)}


def _request(protocol: str, name: str, parameters: Any) -> tuple[str, str, bytes, dict[str, str]]:
    """Method, path, body and headers."""
    service, _, operation = name.partition(".")
    if protocol == "json":
        target = f"{_TARGETS.get(service, 'AmazonSTS')}.{operation}"
        return "POST", "/", json.dumps(parameters).encode(), {"X-Amz-Target": target}
    if protocol == "cbor":
        path = f"/service/{_TARGETS.get(service, 'AmazonSTS')}/operation/{operation}"
        return "POST", path, _packed(parameters), {"smithy-protocol": "rpc-v2-cbor"}
    form = {**_flat(parameters), "Action": operation, "Version": _VERSIONS[service]}
    text = urlencode(form, errors="surrogatepass")
    return ("GET", f"/?{text}", b"", {}) if protocol == "get" else ("POST", "/", text.encode(), {})


def _packed(parameters: Any) -> bytes:
    try:
        return cbor2.dumps(parameters)
    except (UnicodeEncodeError, cbor2.CBOREncodeError):
        return b"\xa1"


@settings(max_examples=examples(1500), suppress_health_check=NO_COMPLAINT)
@given(data=st.data(), protocol=st.sampled_from(["json", "query", "get", "cbor"]))
def test_any_call_of_aws(watched: Watched, data: st.DataObject, protocol: str) -> None:
    """Every operation of every service with parameters that fit or nearly do: an answer below 500, in its protocol.

    What is not simulated says so with 501.
    """
    name = data.draw(st.sampled_from(_USUAL) | st.sampled_from(sorted(OPERATIONS)))
    parameters = data.draw(_INPUTS[name])
    if protocol != "query" and data.draw(st.integers(0, 9)) == 0:
        parameters = data.draw(VALUES)
    if isinstance(parameters, dict) and parameters.get("QueueUrl") == STEADY:
        del parameters["QueueUrl"]
    method, path, body, headers = _request(protocol, name, parameters)
    status, answer = watched.ask(method, path, body, headers)
    note(f"{name} {parameters!r}: {status} {answer!r}")
    assert status < 500 or status == 501
    if protocol == "json" and status in (200, 400):
        json.loads(answer or b"{}")
    elif protocol == "cbor" and status in (200, 400):
        cbor2.loads(answer)


# -- The control API -------------------------------------------------------------------

_FAULT = st.fixed_dictionaries(
    {"target": st.sampled_from(["aws.sqs.SendMessage", "aws.sqs.*", "aws.*", "sqs.q", "process.p", "x"]) | VALUES},
    optional={
        "kind": st.sampled_from(sorted(kind.name for kind in all_kinds())) | VALUES,
        "nth": st.integers(0, 3) | VALUES,
        "side": st.sampled_from(["before", "after"]) | VALUES,
        "start": st.floats(0, 5) | VALUES,
        "end": st.floats(0, 5) | VALUES,
        "probability": st.floats(0, 1) | VALUES,
    },
)
_PLAN = st.fixed_dictionaries({"version": st.just(1) | VALUES, "faults": st.lists(_FAULT, max_size=3) | VALUES})
_EFFECT = st.fixed_dictionaries({}, optional={"name": SCALARS, "key": SCALARS, "more": SCALARS})
_RULE = st.fixed_dictionaries(
    {},
    optional={
        "service": st.sampled_from(["sqs", "sns"]) | VALUES,
        "operation": st.sampled_from(["SendMessage"]) | VALUES,
        "region": st.sampled_from(["us-east-1"]) | VALUES,
        "probability": st.floats(0, 1) | VALUES,
        "error": st.fixed_dictionaries({}, optional={"statusCode": st.integers(399, 600) | VALUES, "code": VALUES})
        | VALUES,
    },
)
_CLOCK = st.fixed_dictionaries(
    {},
    optional={
        "speed": st.sampled_from([0, 1, 2.5]) | SCALARS,
        "advance": st.sampled_from([0, 1, 86_400]) | SCALARS,
        "mode": st.sampled_from(["real", "frozen"]) | SCALARS,
    },
)
_CHECK = st.fixed_dictionaries(
    {}, optional={"final": st.booleans() | VALUES, "invariants": st.just(["no-message-loss"]) | VALUES}
)
_SEND = st.fixed_dictionaries(
    {"queue": NAMES, "body": SCALARS},
    optional=dict.fromkeys(("key", "attributes", "group", "deduplication", "delay", "more"), VALUES),
)
DOCUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "/_harness/faults": _PLAN,
    "/_harness/effects": _EFFECT | st.lists(_EFFECT, max_size=3),
    "/_harness/clock": _CLOCK,
    "/_harness/check": _CHECK,
    "/_harness/send": _SEND,
    "/_harness/settings": st.fixed_dictionaries({}, optional={"key": st.just("$.id") | SCALARS, "wait_rules": VALUES}),
    "/_harness/history": st.just({}),
    "/_harness/health": st.just({}),
    "/_localstack/chaos/faults": st.lists(_RULE, max_size=3),
    "/_localstack/chaos/effects": st.fixed_dictionaries({}, optional={"latency": st.integers(0, 5) | SCALARS}),
    "/_localstack/health": st.just({}),
    "/_harness/none": VALUES,
}
_QUERIES = st.sampled_from(
    ["", "?after=0", "?after=-1", "?after=x", "?header=1", "?follow=0.01", "?follow=nan", "?follow=1e9"]
)


@settings(max_examples=examples(1500), suppress_health_check=NO_COMPLAINT)
@given(
    path=st.sampled_from(sorted(DOCUMENTS)),
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "TRACE"]),
    query=_QUERIES | st.text(max_size=5).map(lambda text: "?" + quote(text, safe="", errors="surrogatepass")),
    data=st.data(),
)
def test_any_call_of_the_control_api(watched: Watched, path: str, method: str, query: str, data: st.DataObject) -> None:
    """Documents that are right or nearly: an answer below 500 that is JSON, and a refusal says what is wrong."""
    body = data.draw(DOCUMENTS[path].map(lambda one: json.dumps(one).encode()) | st.binary(max_size=20))
    status, answer = watched.ask(method, path + query, body)
    note(f"{method} {path}{query} {body!r}: {status} {answer!r}")
    assert status < 500
    if method != "HEAD" and answer and "history" not in path:
        document = json.loads(answer)
        assert status < 400 or document["error"]


# -- Floods ----------------------------------------------------------------------------


def _resident() -> int:
    """Bytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _settled(descriptors: int) -> int:
    """Open descriptors, once the server has seen the ends: no more than *descriptors*, or as they are after a while."""
    until = time.monotonic() + 20
    while (found := _descriptors()) > descriptors and time.monotonic() < until:
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    "path",
    ["/", *(pytest.param(one, marks=pytest.mark.slow) for one in ("/_harness/effects", "/_localstack/chaos/faults"))],
)
def test_bodies_that_are_too_large(watched: Watched, path: str) -> None:
    """Announced or not, in chunks, as a header, or when unpacked: refused, and the memory is not used."""
    before = _resident()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-Amz-Target: AmazonSQS.SendMessage\r\n".encode()
    assert b" 413 " in watched.talk(head + b"Content-Length: 99999999\r\n\r\n")
    chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
    answer = watched.talk(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 20)
    assert b" 413 " in answer or answer == b""  # the client that still writes may lose it to a reset
    assert b" 431 " in watched.talk(f"GET {path} HTTP/1.1\r\nA: ".encode() + b"b" * 300_000)
    bomb = gzip.compress(b"x" * 64 * 1024 * 1024)
    headers = {"X-Amz-Target": "AmazonSQS.SendMessage", "Content-Encoding": "gzip"}
    assert watched.ask("POST", path, bomb, headers)[0] in (400, 404)
    assert _resident() - before < 100 * 1024 * 1024


def test_slow_clients_hold_up_nobody(watched: Watched) -> None:
    """Hundreds of half requests are open, and a whole one is answered."""
    with ExitStack() as stack:
        for number in range(1000 if NIGHTLY else 200):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", watched.server.port), timeout=10))
            target = "/" if number % 2 else "/_harness/effects"
            half.sendall(f"POST {target} HTTP/1.1\r\nContent-Length: 10\r\n\r\n{{".encode())
        assert watched.ask("GET", "/_harness/health")[0] == 200
        assert watched.sqs.list_queues()["QueueUrls"]


def test_waiting_clients_that_go_away(watched: Watched) -> None:
    """Long polls and readers of the history whose clients hang up leave nobody waiting; the message is still there."""
    url = watched.sqs.create_queue(QueueName="poll")["QueueUrl"]
    body = json.dumps({"QueueUrl": url, "WaitTimeSeconds": 20}).encode()
    poll = f"POST / HTTP/1.1\r\nX-Amz-Target: AmazonSQS.ReceiveMessage\r\nContent-Length: {len(body)}\r\n\r\n"
    follow = b"GET /_harness/history?after=1000000&follow=60 HTTP/1.1\r\n\r\n"
    descriptors = _descriptors()
    for number in range(400 if NIGHTLY else 60):
        with socket.create_connection(("127.0.0.1", watched.server.port), timeout=10) as client:
            client.sendall(follow if number % 3 == 0 else poll.encode() + body)
    for _ in range(3):  # it has answered somebody who came later: nobody of those before waits to be let in
        watched.ask("GET", "/_harness/health")
    assert _settled(descriptors) <= descriptors  # who asked is gone, and the server knows it
    watched.sqs.send_message(QueueUrl=url, MessageBody="x")
    assert watched.sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "x"


def test_connections_opened_and_dropped(watched: Watched) -> None:
    """Thousands, with nothing, half a request or a whole one: no descriptor stays open, no memory is kept."""
    whole = b"GET /_harness/health HTTP/1.1\r\n\r\n"

    def flood(times: int) -> None:
        for number in range(times):
            with socket.create_connection(("127.0.0.1", watched.server.port), timeout=10) as client:
                client.sendall((b"", whole[:20], whole, b"\xff" * 20)[number % 4])
        watched.asked["opened and dropped"] += times

    watched.ask("GET", "/_harness/health")
    watched.sqs.list_queues()
    descriptors = _descriptors()
    flood(1000 if NIGHTLY else 200)  # what is made once
    assert _settled(descriptors) <= descriptors
    gc.collect()
    before = _resident()
    flood(10_000 if NIGHTLY else 800)
    assert _settled(descriptors) <= descriptors
    gc.collect()
    assert _resident() - before < 20 * 1024 * 1024
    assert watched.ask("GET", "/_harness/health")[0] == 200
