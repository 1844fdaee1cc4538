"""Clients made inside a run are cheap, clients made before it start anew."""

from __future__ import annotations

from collections.abc import Iterator

import boto3
import pytest
from botocore import loaders

from harness.sim import patches
from harness.sim.verdicts import Answer
from harness.sim.wire import botocore as wire
from harness.sim.wire import botocore_clients as clients
from harness.sim.wire import botocore_privates as privates
from tests.unit.sim.wire.aws import Run, client


@pytest.fixture(autouse=True)
def cut() -> Iterator[None]:
    patches.install()
    wire.install()
    yield
    wire.uninstall()
    patches.uninstall()


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every data file that botocore reads."""
    read: list[str] = []
    load = loaders.JSONFileLoader.load_file

    def counted(self: loaders.JSONFileLoader, file_path: str) -> object:
        read.append(file_path)
        return load(self, file_path)

    monkeypatch.setattr(loaders.JSONFileLoader, "load_file", counted)
    return read


def test_second_session_reads_nothing(files: list[str]) -> None:
    """A new session and client inside a run reads none of botocore's data a second time, nor in the next run."""

    def main() -> None:
        boto3.Session().client("sqs").list_queues()

    Run().go(main)
    first = len(files)
    assert first > 0
    Run().go(main, main)
    assert len(files) == first


def test_shared_models_and_classes() -> None:
    """Clients of one run share botocore's model, rules and class, and nothing of their own."""

    def main() -> None:
        one, two = client(), client()
        assert one.meta.service_model is two.meta.service_model
        assert type(one) is type(two)
        assert one._ruleset_resolver._provider is two._ruleset_resolver._provider
        assert one.meta.events is not two.meta.events
        assert one.meta.config is not two.meta.config
        assert privates.quota_of(one) is not privates.quota_of(two)

    Run().go(main)


def test_outside_a_run_nothing_is_shared(files: list[str]) -> None:
    """Outside a run sessions read their data as ever."""
    for _ in range(2):
        before = len(files)
        client()
        assert len(files) > before


def test_class_is_not_shared_when_a_handler_makes_it(files: list[str]) -> None:
    """A session whose user adds to its client classes gets a class of its own."""

    def main() -> None:
        session = boto3.Session()
        plain = client()

        def add(class_attributes: dict[str, object], **_: object) -> None:
            class_attributes["greeting"] = "hello"

        session.events.register("creating-client-class.sqs", add)
        assert session.client("sqs").greeting == "hello"
        assert not hasattr(type(plain), "greeting")
        assert not hasattr(type(client()), "greeting")

    Run().go(main)


@pytest.mark.parametrize("installed", [True, False], ids=["after installation", "before installation"])
def test_quota_of_an_early_client(installed: bool) -> None:
    """A client made before the run begins each run with a full retry quota."""
    if not installed:
        wire.uninstall()
    sqs = client()
    wire.install()
    quota = privates.quota_of(sqs)
    assert quota is not None
    for _ in range(2):
        quota._available_capacity = 3
        Run().go(lambda: sqs.list_queues())
        assert quota.available_capacity == 500


@pytest.mark.parametrize("installed", [True, False], ids=["after installation", "before installation"])
def test_limiter_of_an_early_client(installed: bool) -> None:
    """An adaptive client made before the run does not carry the real clock into it."""
    if not installed:
        wire.uninstall()
    sqs = client("adaptive")
    wire.install()
    ends = []
    for _ in range(2):
        run = Run()
        run.sqs.create_queue("q")
        run.faults.strike("SendMessage", Answer(403, "RequestThrottled", ""))
        run.go(lambda: [sqs.send_message(QueueUrl="q", MessageBody="a") for _ in range(3)])
        ends.append(run.kernel.now)
        assert run.kernel.steps < 1_000
    assert ends[0] == ends[1] < 60


def test_models_by_name() -> None:
    """The wire knows botocore's services by name, and strangers not."""
    model = clients.service_model("sqs")
    assert model is not None
    assert "SendMessage" in model.operation_names
    assert clients.service_model("nope") is None
