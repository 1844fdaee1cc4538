"""Each rule finds the setting that it is against, and the change that it gives mends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.audit import RULES
from tests.unit.audit.templates import GOOD, audited, merged, parsed, with_resource

#: Rule -> the resource that is broken, its properties, and words of what is seen.
BROKEN: dict[str, tuple[str, dict[str, Any], str]] = {
    "dead-letter-queue": ("Orders", {"RedrivePolicy": None}, "has no redrive policy"),
    "expires-before-redrive": (
        "Orders",
        {"VisibilityTimeout": 43_200, "MessageRetentionPeriod": 172_800},
        "5 receives of 12 hours take 60 hours, the retention is 2 days",
    ),
    "dead-letter-retention": (
        "OrdersDead",
        {"MessageRetentionPeriod": 345_600},
        "keeps messages 4 days, its source Orders 4 days",
    ),
    "retention": ("Orders", {"MessageRetentionPeriod": 3600}, "keeps messages 1 hour"),
    "max-receives": ("Orders", {"RedrivePolicy": {"maxReceiveCount": 2}}, "maxReceiveCount is 2"),
    "lambda-concurrency": ("ChargeOrders", {"ScalingConfig": None}, "starts with 5 batches at a time"),
    "dead-letter-circle": (
        "OrdersDead",
        {"RedrivePolicy": {"deadLetterTargetArn": {"Fn::GetAtt": ["Orders", "Arn"]}, "maxReceiveCount": 5}},
        "Orders -> OrdersDead -> Orders",
    ),
    "dead-letter-size": (
        "OrdersDead",
        {"MaximumMessageSize": 262_144},
        "takes 262,144 bytes, its source Orders 1,048,576",
    ),
    "visibility-timeout": ("Orders", {"VisibilityTimeout": 0}, "VisibilityTimeout is 0"),
    "lambda-visibility-timeout": (
        "Orders",
        {"VisibilityTimeout": 179},
        "VisibilityTimeout is 179 s, Charge has a timeout of 30 s",
    ),
    "lambda-partial-batch": (
        "ChargeOrders",
        {"FunctionResponseTypes": None},
        "batches of up to 10 without ReportBatchItemFailures",
    ),
    "fifo-order": ("Orders", {"FifoQueue": True}, "is a FIFO queue with a dead-letter queue"),
    "dead-letter-alarm": ("NotEmpty", {"Dimensions": [{"Name": "QueueName", "Value": "another"}]}, "no alarm watches"),
    "dead-letter-alarm-metric": (
        "NotEmpty",
        {"MetricName": "NumberOfMessagesSent"},
        "watches NumberOfMessagesSent of OrdersDead",
    ),
    "long-polling": ("Orders", {"ReceiveMessageWaitTimeSeconds": 0}, "ReceiveMessageWaitTimeSeconds is 0"),
    "dead-letter-type": ("Orders", {"FifoQueue": True}, "is a FIFO queue, its dead-letter queue OrdersDead is not"),
    "redrive-allowed": (
        "OrdersDead",
        {"RedriveAllowPolicy": {"redrivePermission": "denyAll"}},
        "its RedriveAllowPolicy does not let Orders use it",
    ),
    "lambda-batch-size": ("ChargeOrders", {"BatchSize": 100}, "BatchSize is 100, MaximumBatchingWindowInSeconds 0"),
}


def _broken(rule: str) -> dict[str, Any]:
    resource, properties, _ = BROKEN[rule]
    template = with_resource(resource, **properties)
    if rule == "long-polling":  # a function's queue is polled long by Lambda
        template = merged(template, {"Resources": {"ChargeOrders": None}})
    return template


def test_nothing_is_found_where_all_is_well(tmp_path: Path) -> None:
    """A template that follows every rule gives no finding, and everything is judged."""
    found = audited(GOOD, tmp_path)
    assert found.findings == ()
    assert found.unjudged == ()
    assert len(found.estate.queues) == 2


def test_every_rule_has_a_case() -> None:
    """A new rule comes with the setting that it is against."""
    assert set(BROKEN) == {rule.id for rule in RULES}
    assert len(RULES) >= 15


@pytest.mark.parametrize("rule", sorted(BROKEN))
def test_what_a_rule_is_against_is_found(rule: str, tmp_path: Path) -> None:
    """The broken template has the finding, with what is seen, a reason, a place and a source of AWS's."""
    found = audited(_broken(rule), tmp_path)
    (finding,) = [each for each in found.findings if each.rule.id == rule]
    assert BROKEN[rule][2] in finding.seen.seen
    assert finding.seen.why
    assert finding.seen.where.startswith(str(tmp_path / "template.yaml:"))
    assert finding.rule.source.startswith("https://docs.aws.amazon.com/")


@pytest.mark.parametrize("rule", sorted(BROKEN))
def test_the_change_mends_it(rule: str, tmp_path: Path) -> None:
    """Put into the template as it stands, it takes the finding away; what only its owner decides is in words."""
    template = _broken(rule)
    (finding,) = [each for each in audited(template, tmp_path).findings if each.rule.id == rule]
    if finding.seen.change.kind == "words":
        assert ": " in finding.change
        return
    mended = merged(template, {"Resources": parsed(finding.change)})
    after = audited(mended, tmp_path)
    assert rule not in {each.rule.id for each in after.findings}, finding.change


def test_a_throttled_function_needs_five_receives(tmp_path: Path) -> None:
    """Two receives do for a consumer of one's own; one does not."""
    alone = merged(with_resource("Orders", RedrivePolicy={"maxReceiveCount": 2}), {"Resources": {"ChargeOrders": None}})
    assert "max-receives" not in {each.rule.id for each in audited(alone, tmp_path).findings}
    once = merged(alone, {"Resources": {"Orders": {"Properties": {"RedrivePolicy": {"maxReceiveCount": 1}}}}})
    assert "max-receives" in {each.rule.id for each in audited(once, tmp_path).findings}


@pytest.mark.parametrize(
    "name", ["OrdersDLQ", "orders-dlq.fifo", "orders_dead_letters", "OrdersDeadLetterQueue", "dead"]
)
def test_a_queue_that_is_called_so_is_a_dead_letter_queue(name: str, tmp_path: Path) -> None:
    """No dead-letter queue is asked for of a queue to which a consumer sends its dead letters itself."""
    template = merged(
        parsed(GOOD), {"Resources": {"Other": {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": name}}}}
    )
    assert "dead-letter-queue" not in {each.rule.id for each in audited(template, tmp_path).findings}


def test_the_batching_window_counts(tmp_path: Path) -> None:
    """Six times the function's timeout, and the window on top."""
    window = with_resource("ChargeOrders", MaximumBatchingWindowInSeconds=10)
    (finding,) = audited(window, tmp_path).findings
    assert finding.rule.id == "lambda-visibility-timeout"
    assert "VisibilityTimeout: 190" in finding.change


def test_a_fifo_dead_letter_starts_its_age_anew(tmp_path: Path) -> None:
    """The retention of a FIFO queue's dead-letter queue need not be longer than its source's."""
    both = merged(parsed(GOOD), {"Resources": {"ChargeOrders": None}})
    for name in ("Orders", "OrdersDead"):
        both = merged(
            both, {"Resources": {name: {"Properties": {"FifoQueue": True, "MessageRetentionPeriod": 345_600}}}}
        )
    assert {each.rule.id for each in audited(both, tmp_path).findings} == {"fifo-order"}


def test_the_change_of_an_event_mends_it(tmp_path: Path) -> None:
    """The mapping of a SAM event is changed where it stands: within its function."""
    function = {
        "Type": "AWS::Serverless::Function",
        "Properties": {
            "Timeout": 30,
            "ReservedConcurrentExecutions": None,
            "Events": {"New": {"Type": "SQS", "Properties": {"Queue": {"Fn::GetAtt": ["Orders", "Arn"]}}}},
        },
    }
    template = merged(parsed(GOOD), {"Resources": {"ChargeOrders": None, "Charge": function}})
    (finding,) = audited(template, tmp_path).findings
    assert finding.rule.id == "lambda-partial-batch"
    assert finding.change.startswith("Charge:\n  Properties:\n    Events:\n      New:\n        Properties:\n")
    assert audited(merged(template, {"Resources": parsed(finding.change)}), tmp_path).findings == ()


def test_what_is_not_told_is_not_passed(tmp_path: Path) -> None:
    """A setting that is a parameter without a default is not judged, by name, and judged once it is given."""
    template = merged(
        with_resource("Orders", VisibilityTimeout={"Ref": "Hidden"}), {"Parameters": {"Hidden": {"Type": "Number"}}}
    )
    found = audited(template, tmp_path)
    assert found.findings == ()
    assert {one.rule.id for one in found.unjudged} == {
        "expires-before-redrive",
        "visibility-timeout",
        "lambda-visibility-timeout",
    }
    assert all("give --parameter Hidden=VALUE" in one.why for one in found.unjudged)
    given = audited(template, tmp_path, Hidden="20")
    assert [each.rule.id for each in given.findings] == ["lambda-visibility-timeout"]
    assert given.unjudged == ()


def test_what_shows_the_damage_is_there() -> None:
    """Every command that a rule names runs a scenario of the catalogue or a rule of the fidelity table."""
    from harness.fidelity.table import rows

    root = Path(__file__).parents[3]
    scenarios = "".join(path.read_text() for path in (root / "scenarios").glob("*.py"))
    known = {row.id for row in rows()}
    for rule in RULES:
        *_, last = rule.shown_by.split()
        if rule.shown_by.startswith("harness run "):
            assert f'name="{last}"' in scenarios, rule.id
        else:
            assert rule.shown_by == f"harness conformance sqs --simulated --only {last}"
            assert last in known, rule.id
