"""What a case works with: comparisons that fail, queues that are deleted, calls that end."""

from __future__ import annotations

from typing import Any

import pytest

from harness.fidelity import bench as bench_module
from harness.fidelity.bench import Bench, Differs, Overrun, Stopped
from tests.unit.fidelity.fake import Client, queues, refusal, site


def bench(client: Any) -> Bench:
    return Bench(site(client), 7)


def refusing(code: str = "Code", **more: Any) -> Bench:
    def raise_it(**_: Any) -> None:
        raise refusal(code, **more)

    return bench(Client(send_message=raise_it))


def test_refused_as_expected() -> None:
    """A refusal with the code, text, shape and status that AWS has is no difference."""
    one = refusing("Code", message="text", status=403, shape="Shape")
    assert one.refused("SendMessage", "Code", "text", shape="Shape", status=403)["Code"] == "Code"


@pytest.mark.parametrize(
    ("expected", "text"),
    [
        ({"code": "Other"}, "SendMessage's error code: 'Code', where AWS has 'Other'"),
        ({"code": "Code", "message": "other"}, "SendMessage's error text: 'no', where AWS has 'other'"),
        ({"code": "Code", "shape": "Shape"}, "SendMessage's error shape: 'Code', where AWS has 'Shape'"),
        ({"code": "Code", "status": 403}, "SendMessage's HTTP status: 400, where AWS has 403"),
    ],
)
def test_refused_otherwise(expected: dict[str, Any], text: str) -> None:
    """Another code, text, shape or status is a difference that names both."""
    with pytest.raises(Differs) as caught:
        refusing().refused("SendMessage", **expected)
    assert str(caught.value) == text


def test_accepted_where_aws_refuses() -> None:
    """An answer where AWS refuses is a difference."""
    one = bench(Client(send_message=lambda **_: {"MessageId": "1"}))
    with pytest.raises(Differs, match="SendMessage is accepted, where AWS refuses it with Code"):
        one.refused("SendMessage", "Code")


def test_queues_are_deleted() -> None:
    """Every queue that a case made is deleted, also one that AWS would have refused."""
    client = queues()
    one = bench(client)
    one.queue()
    with pytest.raises(Differs):
        one.refused("CreateQueue", "InvalidParameterValue", QueueName="test-7-bad")
    one.clean()
    deleted = [parameters["QueueUrl"] for name, parameters in client.calls if name == "delete_queue"]
    assert deleted == ["http://127.0.0.1:1/0/test-7-bad", "http://127.0.0.1:1/0/test-7-1"]
    assert not one.site.made


def test_a_queue_that_is_gone_is_no_error() -> None:
    """Cleaning does not mind a queue that the case deleted itself; another refusal is raised."""

    def gone(**_: Any) -> None:
        raise refusal("AWS.SimpleQueueService.NonExistentQueue")

    def denied(**_: Any) -> None:
        raise refusal("AccessDenied")

    create = queues().create_queue
    one = bench(Client(create_queue=create, delete_queue=gone))
    one.queue()
    one.clean()
    other = bench(Client(create_queue=create, delete_queue=denied))
    other.queue()
    with pytest.raises(Exception, match="AccessDenied"):
        other.clean()
    assert other.site.made


def test_names_never_repeat() -> None:
    """Two queues of one case never have one name, and both begin with the run's prefix."""
    one = bench(queues())
    names = [one.name(), one.name(".fifo"), one.name()]
    assert names == ["test-7-1", "test-7-2.fifo", "test-7-3"]


def test_the_case_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call after the case's time is over, or after an interruption, is not made."""
    client = queues()
    one = bench(client)
    one.site.stopped = lambda: True
    with pytest.raises(Stopped):
        one.queue()
    one.site.stopped = lambda: False
    late = bench_module.time.monotonic() + bench_module.SPARE_S + 1
    monkeypatch.setattr(bench_module.time, "monotonic", lambda: late)
    with pytest.raises(Overrun):
        one.queue()
    assert not client.calls


def test_take_wants_all_of_them() -> None:
    """Fewer messages than a case knows to be there are a difference."""
    one = bench(Client(receive_message=lambda **_: {"Messages": [{"Body": "a"}]}))
    with pytest.raises(Differs, match="the number of messages received: 1, where AWS has 2"):
        one.take("url", 2)


def test_nothing() -> None:
    """A message where AWS gives none is a difference that shows it."""
    one = bench(Client(receive_message=lambda **_: {"Messages": [{"Body": "a"}]}))
    with pytest.raises(Differs, match=r"a receive finds \['a'\], after its deletion, where AWS gives nothing"):
        one.nothing("url", "after its deletion")
