"""The short cut: taken when nobody can tell, and nobody can tell when it is taken."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore import httpsession
from botocore.exceptions import ClientError, ParamValidationError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.sim import patches
from harness.sim.verdicts import Answer, Lost, Reset, Slow, Twist
from harness.sim.wire import botocore as wire
from harness.sim.wire import botocore_privates as privates
from harness.sim.wire import botocore_shortcut as shortcut
from tests.budget import examples
from tests.unit.sim.wire.aws import Run, client, short_cut

DOWN = Answer(503, "ServiceUnavailable", "down")


@pytest.fixture(scope="module", autouse=True)
def cut() -> Iterator[None]:
    patches.install()
    wire.install()
    yield
    wire.uninstall()
    patches.uninstall()


@pytest.fixture
def sends(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request that went the full path, down to the session."""
    seen: list[str] = []
    send = httpsession.URLLib3Session.send

    def counted(self: Any, request: Any) -> Any:
        seen.append(str(request.headers.get("X-Amz-Target")))
        return send(self, request)

    monkeypatch.setattr(httpsession.URLLib3Session, "send", counted)
    return seen


@pytest.fixture
def run() -> Run:
    made = Run()
    made.sqs.create_queue("q", {"VisibilityTimeout": "5"})
    return made


# -- when it is taken -----------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "standard"])
def test_taken_at_rest(run: Run, sends: list[str], mode: str) -> None:
    """A plain client in legacy or standard mode takes it for every SQS call."""

    def main() -> None:
        sqs = client(mode)
        sqs.send_message(QueueUrl="q", MessageBody="a")
        sqs.receive_message(QueueUrl="q", MaxNumberOfMessages=10, WaitTimeSeconds=1)
        sqs.get_queue_attributes(QueueUrl="q", AttributeNames=["All"])

    run.go(main)
    assert sends == []


def test_never_adaptive(run: Run, sends: list[str]) -> None:
    """Adaptive mode's limiter sees every call."""
    run.go(lambda: client("adaptive").send_message(QueueUrl="q", MessageBody="a"))
    assert len(sends) == 1


def test_switch(run: Run, sends: list[str]) -> None:
    """With the switch off every call goes the full path; the switch tells what it was."""
    assert wire.short_cut(False) is True
    try:
        run.go(lambda: client().send_message(QueueUrl="q", MessageBody="a"))
    finally:
        assert wire.short_cut(True) is False
    assert len(sends) == 1


def test_a_fault_sends_only_the_later_attempts_over_the_wire(run: Run, sends: list[str]) -> None:
    """A slow answer stays on it; a failure is told on the full path, and only what botocore repeats is sent."""
    run.faults.strike("SendMessage", Slow(1), Answer(500, "InternalError", "struck"))

    def main() -> None:
        sqs = client()
        sqs.send_message(QueueUrl="q", MessageBody="slow")
        assert sends == []
        answer = sqs.send_message(QueueUrl="q", MessageBody="fails once")
        assert answer["ResponseMetadata"]["RetryAttempts"] == 1

    run.go(main)
    assert len(sends) == 2  # the one that is told the failure, and the one that is answered


def test_not_with_a_handler_of_the_users(run: Run, sends: list[str]) -> None:
    """A handler of the user's keeps a client off it, until it is taken out; other clients are not touched."""

    def main() -> None:
        sqs, other = client(), client()
        handler: Callable[..., None] = lambda **_: None  # noqa: E731  # a name to unregister
        sqs.send_message(QueueUrl="q", MessageBody="1")
        sqs.meta.events.register("before-send", handler)
        sqs.send_message(QueueUrl="q", MessageBody="2")
        other.send_message(QueueUrl="q", MessageBody="3")
        sqs.meta.events.unregister("before-send", handler)
        sqs.send_message(QueueUrl="q", MessageBody="4")

    run.go(main)
    assert len(sends) == 1


@pytest.mark.parametrize("register", ["register", "register_first", "register_last"])
def test_every_way_to_register_counts(run: Run, sends: list[str], register: str) -> None:
    """register, register_first and register_last all keep a client off it."""

    def main() -> None:
        sqs = client()
        getattr(sqs.meta.events, register)("after-call.sqs", lambda **_: None)
        sqs.send_message(QueueUrl="q", MessageBody="1")

    run.go(main)
    assert len(sends) == 1


def test_handler_of_a_session(run: Run, sends: list[str]) -> None:
    """A handler that the user put on the session is a handler of its clients."""

    def main() -> None:
        session = botocore.session.get_session()
        session.register("before-send", lambda **_: None)
        session.create_client("sqs").send_message(QueueUrl="q", MessageBody="1")

    run.go(main)
    assert len(sends) == 1


def test_client_from_before_with_a_handler(run: Run) -> None:
    """A handler registered before the wire was installed is called as well."""
    seen: list[str] = []
    wire.uninstall()
    try:
        sqs = client()
        sqs.meta.events.register("before-send", lambda **_: seen.append("called"))
    finally:
        wire.install()
    run.go(lambda: sqs.send_message(QueueUrl="q", MessageBody="1"))
    assert seen == ["called"]


def test_handler_that_came_while_the_wire_was_out() -> None:
    """A handler registered between two installations is seen, also on a client that took the short cut before."""
    seen: list[str] = []
    sqs = client()
    first = Run()
    first.sqs.create_queue("q")
    first.go(lambda: sqs.send_message(QueueUrl="q", MessageBody="1"))
    wire.uninstall()
    try:
        sqs.meta.events.register("before-send", lambda **_: seen.append("called"))
    finally:
        wire.install()
    second = Run()
    second.sqs.create_queue("q")
    second.go(lambda: sqs.send_message(QueueUrl="q", MessageBody="2"))
    assert seen == ["called"]


@pytest.mark.parametrize("short", [True, False])
def test_standard_mode_refills_its_quota(run: Run, sends: list[str], short: bool) -> None:
    """A quota below full gets one back from each good call, on the short cut as on the full path."""

    def main() -> list[int]:
        sqs = client()
        sqs.get_queue_url(QueueName="q")
        quota = privates.quota_of(sqs)
        assert quota is not None
        levels = []
        quota._available_capacity = 497
        for _ in range(6):
            sqs.get_queue_url(QueueName="q")
            levels.append(quota.available_capacity)
        return levels

    with short_cut(short):
        assert run.go(main) == [498, 499, 500, 500, 500, 500]
    assert len(sends) == (0 if short else 7)


def test_a_fault_on_the_short_cut(run: Run, sends: list[str]) -> None:
    """A fault that strikes on the short cut is told on the full path: botocore parses and retries it."""
    run.faults.strike("SendMessage", Lost(), side="after")

    def main() -> Any:
        return client(read_timeout=3).send_message(QueueUrl="q", MessageBody="a")

    assert run.go(main)["ResponseMetadata"]["RetryAttempts"] == 1
    assert run.passings("SendMessage") == 2
    assert len(run.of("send")) == 2
    assert len(sends) == 2


def test_user_ids_are_not_shifted() -> None:
    """botocore's own invocation ids take nothing from the user's uuids."""

    def ids(enabled: bool) -> list[str]:
        run = Run()
        run.sqs.create_queue("q")

        def main() -> list[str]:
            sqs = client()
            found = []
            for _ in range(3):
                sqs.send_message(QueueUrl="q", MessageBody=str(uuid.uuid4()))
                found.append(str(uuid.uuid4()))
            return found

        with short_cut(enabled):
            return list(run.go(main))

    assert ids(True) == ids(False)


# -- validation ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"QueueUrl": "q"},
        {"QueueUrl": "q", "MessageBody": 1},
        {"QueueUrl": None, "MessageBody": "a"},
        {"QueueUrl": "q", "MessageBody": "a", "Nope": 1},
        {"QueueUrl": "q", "MessageBody": "a", "DelaySeconds": "1"},
        {"QueueUrl": "q", "MessageBody": "a", "DelaySeconds": 1.5},
        {"QueueUrl": "q", "MessageBody": "a", "MessageAttributes": []},
        {"QueueUrl": "q", "MessageBody": "a", "MessageAttributes": {"a": {}}},
        {"QueueUrl": "q", "MessageBody": "a", "MessageAttributes": {"a": {"DataType": "String", "X": "1"}}},
        {"QueueUrl": "q", "MessageBody": b"a"},
    ],
)
def test_bad_parameters_are_botocores_error(parameters: dict[str, Any]) -> None:
    """What botocore refuses is refused with its own error and text, before anything happens."""
    texts = []
    for enabled in (True, False):
        run = Run()
        run.sqs.create_queue("q")

        def main() -> str:
            with pytest.raises(ParamValidationError) as caught:
                client().send_message(**parameters)
            return str(caught.value)

        with short_cut(enabled):
            texts.append(run.go(main))
        assert run.faults.passed == []
        assert run.kernel.now == 0
    assert texts[0] == texts[1]


class Text(str):
    """A string of a class of its own: valid for botocore."""


@pytest.mark.parametrize(
    "parameters",
    [
        {"QueueUrl": "q", "MessageBody": Text("a")},
        {"QueueUrl": "q", "MessageBody": "a", "DelaySeconds": True},
        {
            "QueueUrl": "q",
            "MessageBody": "a",
            "MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": bytearray(b"x")}},
        },
        {
            "QueueUrl": "q",
            "MessageBody": "a",
            "MessageAttributes": {"a": {"DataType": "Binary", "BinaryValue": "text"}},
        },
    ],
)
def test_unusual_but_valid_parameters(run: Run, parameters: dict[str, Any]) -> None:
    """What is valid only for botocore's own validator goes the full path and works."""
    run.go(lambda: client().send_message(**parameters))
    assert len(run.of("send")) == 1


def test_every_operation_of_sqs_can_be_checked() -> None:
    """The quick check accepts what botocore's documentation gives as minimal parameters, and refuses a stranger."""
    model = botocore.session.get_session().get_service_model("sqs")
    for name in model.operation_names:
        shape = model.operation_model(name).input_shape
        accepts = shortcut._check_for(shape)
        minimal = {member: _example(shape.members[member]) for member in shape.required_members}
        assert accepts(minimal), name
        assert not accepts({**minimal, "Stranger": 1}), name
        for member in minimal:
            assert not accepts({key: value for key, value in minimal.items() if key != member}), (name, member)
            assert not accepts({**minimal, member: object()}), (name, member)


def _example(shape: Any) -> Any:
    kind = shape.type_name
    if kind == "structure":
        return {member: _example(shape.members[member]) for member in shape.required_members}
    if kind == "list":
        return [_example(shape.member)]
    if kind == "map":
        return {"k": _example(shape.value)}
    return {"string": "x", "integer": 1, "long": 1, "boolean": True, "blob": b"x"}[kind]


# -- nobody can tell ----------------------------------------------------------------------

VERDICTS = st.sampled_from(
    [DOWN, Answer(403, "RequestThrottled", ""), Lost(), Reset(), Slow(1.5), Twist("duplicate"), None]
)
CALLS = st.sampled_from(
    [
        ("send_message", {"MessageBody": "a"}),
        ("send_message", {"MessageBody": "b", "MessageAttributes": {"k": {"DataType": "String", "StringValue": "x"}}}),
        ("send_message", {"MessageBody": ""}),
        ("send_message", {"MessageBody": 5}),
        ("send_message_batch", {"Entries": [{"Id": "1", "MessageBody": "c"}, {"Id": "2", "MessageBody": "\x00"}]}),
        ("receive_message", {}),
        ("receive_message", {"MaxNumberOfMessages": 10, "WaitTimeSeconds": 2, "AttributeNames": ["All"]}),
        ("receive_message", {"MaxNumberOfMessages": 10, "MessageAttributeNames": ["All"], "VisibilityTimeout": 1}),
        ("receive_message", {"MaxNumberOfMessages": 11}),
        ("delete_message", {"ReceiptHandle": "last"}),
        (
            "delete_message_batch",
            {"Entries": [{"Id": "1", "ReceiptHandle": "last"}, {"Id": "2", "ReceiptHandle": "x"}]},
        ),
        ("change_message_visibility", {"ReceiptHandle": "last", "VisibilityTimeout": 0}),
        ("get_queue_attributes", {"AttributeNames": ["All"]}),
    ]
)


def play(enabled: bool, mode: str, scripts: list[list[Any]], faults: list[Any]) -> tuple[Any, Any, int]:
    """Play scripts by as many processes; what they saw (as text, key order included), the history, the end."""
    run = Run()
    run.sqs.create_queue("q", {"VisibilityTimeout": "2"})
    for operation, side, verdict in faults:
        run.faults.strike(operation, verdict, side=side)
    seen: list[list[str]] = [[] for _ in scripts]

    def player(number: int, script: list[Any]) -> Callable[[], None]:
        def main() -> None:
            sqs = client(mode, read_timeout=4)
            last = "none"
            for method, parameters in script:
                text = json.dumps(parameters).replace('"last"', json.dumps(last))
                try:
                    answer = getattr(sqs, method)(QueueUrl="q", **json.loads(text))
                except (ClientError, ParamValidationError) as error:
                    seen[number].append(f"{type(error).__name__} {error} {getattr(error, 'response', '')}")
                except Exception as error:
                    seen[number].append(f"{type(error).__name__} {error}")
                else:
                    seen[number].append(repr(answer))
                    for message in answer.get("Messages", []):
                        last = message["ReceiptHandle"]

        return main

    with short_cut(enabled):
        run.go(*(player(number, script) for number, script in enumerate(scripts)))
    return seen, run.events, run.kernel.now_us


@settings(max_examples=examples(60), deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(
    mode=st.sampled_from(["legacy", "standard"]),
    scripts=st.lists(st.lists(CALLS, min_size=1, max_size=12), min_size=1, max_size=3),
    faults=st.lists(
        st.tuples(
            st.sampled_from(["SendMessage", "ReceiveMessage", "DeleteMessage"]),
            st.sampled_from(["before", "after"]),
            VERDICTS,
        ),
        max_size=6,
    ),
)
def test_same_with_and_without(mode: str, scripts: list[list[Any]], faults: list[Any]) -> None:
    """Results to the order of keys, errors, histories and virtual time are the same with the short cut on and off."""
    assert play(True, mode, scripts, faults) == play(False, mode, scripts, faults)


def test_caller_may_change_what_it_got(run: Run) -> None:
    """Answers are the caller's own: changing one changes nothing in the service."""

    def main() -> None:
        sqs = client()
        sqs.send_message(
            QueueUrl="q", MessageBody="a", MessageAttributes={"k": {"DataType": "String", "StringValue": "x"}}
        )
        for _ in range(2):
            answer = sqs.receive_message(QueueUrl="q", MessageAttributeNames=["All"], VisibilityTimeout=0)
            assert answer["Messages"][0]["MessageAttributes"] == {"k": {"StringValue": "x", "DataType": "String"}}
            answer["Messages"][0]["MessageAttributes"]["k"].clear()
            answer["ResponseMetadata"]["HTTPHeaders"].clear()

    run.go(main)


def test_taken_where_powertools_is_imported(run: Run, sends: list[str]) -> None:
    """The handler that Powertools adds to every client only names it in a header: it costs no short cut."""
    user_agent = pytest.importorskip("aws_lambda_powertools.shared.user_agent")

    def main() -> None:
        sqs = client()
        sqs.meta.events.register("request-created", user_agent._create_feature_function("no-op"))
        sqs.send_message(QueueUrl="q", MessageBody="1")

    run.go(main)
    assert sends == []


def test_taken_where_moto_is_imported(run: Run, sends: list[str]) -> None:
    """Moto's handler, which it adds to every client for the time of its mocks, costs no short cut while none is on."""
    import moto.core.models

    def main() -> None:
        client("standard").send_message(QueueUrl="q", MessageBody="a")

    assert moto.core.models.botocore_stubber.enabled is False
    run.go(main)
    assert sends == []
