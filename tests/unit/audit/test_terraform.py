"""What ``terraform show -json`` says of queues: in a plan by references, in a state by ARNs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.audit import audit
from harness.audit.estate import Unknown
from harness.audit.queues import read_file
from harness.errors import UsageError

ARN = "arn:aws:sqs:eu-west-1:000000000000:"


def resource(kind: str, called: str, module: str = "", index: str = "", /, **values: Any) -> dict[str, Any]:
    return {
        "address": f"{module}{kind}.{called}{index}",
        "mode": "managed",
        "type": kind,
        "name": called,
        "values": values,
    }


def configured(kind: str, name: str, **references: list[str]) -> dict[str, Any]:
    return {
        "address": f"{kind}.{name}",
        "type": kind,
        "name": name,
        "expressions": {key: {"references": value} for key, value in references.items()},
    }


#: A queue, its dead-letter queue, a function and an alarm before anything is applied: no ARN is known.
PLAN: dict[str, Any] = {
    "format_version": "1.2",
    "terraform_version": "1.9.5",
    "planned_values": {
        "root_module": {
            "resources": [
                resource("aws_sqs_queue", "orders", name="orders", visibility_timeout_seconds=60),
                resource("aws_sqs_queue", "dead", name="orders-dead", message_retention_seconds=1_209_600),
                resource("aws_lambda_function", "charge", timeout=30, reserved_concurrent_executions=-1),
                resource("aws_lambda_event_source_mapping", "charge", batch_size=10, function_response_types=None),
                resource(
                    "aws_cloudwatch_metric_alarm",
                    "dead",
                    namespace="AWS/SQS",
                    metric_name="NumberOfMessagesSent",
                    dimensions={"QueueName": "orders-dead"},
                ),
            ]
        }
    },
    "configuration": {
        "root_module": {
            "resources": [
                configured("aws_sqs_queue", "orders", redrive_policy=["aws_sqs_queue.dead.arn", "aws_sqs_queue.dead"]),
                configured(
                    "aws_lambda_event_source_mapping",
                    "charge",
                    event_source_arn=["aws_sqs_queue.orders.arn", "aws_sqs_queue.orders"],
                    function_name=["aws_lambda_function.charge.arn", "aws_lambda_function.charge"],
                ),
            ]
        }
    },
}


def write(folder: Path, document: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(document))
    return path


def test_a_plan(tmp_path: Path) -> None:
    """References stand for what AWS will give; the receive count of such a policy is not known yet, and said so."""
    estate = read_file(write(tmp_path, PLAN))
    orders, dead = estate.queues
    assert orders.dead_letter == "aws_sqs_queue.dead"
    assert isinstance(orders.max_receives, Unknown)
    assert "give terraform show -json of the state" in orders.max_receives.why
    assert estate.sources_of(dead) == [orders]
    (function,) = estate.functions
    assert (function.timeout, function.reserved_concurrency) == (30, None)
    (mapping,) = estate.mappings or ()
    assert (mapping.queue, mapping.function) == ("aws_sqs_queue.orders", "aws_lambda_function.charge")
    found = audit(estate)
    assert {each.rule.id for each in found.findings} == {
        "lambda-visibility-timeout",
        "lambda-partial-batch",
        "dead-letter-alarm-metric",
    }
    assert {each.rule.id for each in found.unjudged} == {"max-receives", "expires-before-redrive"}


def test_changes_are_terraforms(tmp_path: Path) -> None:
    """A change is an argument of the provider, under the resource's address."""
    changes = {each.rule.id: each.change for each in audit(read_file(write(tmp_path, PLAN))).findings}
    assert changes["lambda-visibility-timeout"] == "# aws_sqs_queue.orders\nvisibility_timeout_seconds = 180"
    assert changes["lambda-partial-batch"] == (
        '# aws_lambda_event_source_mapping.charge\nfunction_response_types = ["ReportBatchItemFailures"]'
    )
    assert changes["dead-letter-alarm-metric"] == (
        '# aws_cloudwatch_metric_alarm.dead\nmetric_name = "ApproximateNumberOfMessagesVisible"'
    )


def test_a_state(tmp_path: Path) -> None:
    """ARNs join what belongs together, also where the redrive policy is a resource of its own."""
    policy = json.dumps({"deadLetterTargetArn": ARN + "orders-dead", "maxReceiveCount": 1})
    url = "https://sqs.eu-west-1.amazonaws.com/000000000000/orders"
    state = {
        "terraform_version": "1.9.5",
        "values": {
            "root_module": {
                "child_modules": [
                    {
                        "address": "module.shop",
                        "resources": [
                            resource(
                                "aws_sqs_queue", "orders", "module.shop.", name="orders", arn=ARN + "orders", url=url
                            ),
                            resource(
                                "aws_sqs_queue_redrive_policy",
                                "orders",
                                "module.shop.",
                                queue_url=url,
                                redrive_policy=policy,
                            ),
                            resource(
                                "aws_sqs_queue",
                                "dead",
                                "module.shop.",
                                name="orders-dead",
                                arn=ARN + "orders-dead",
                                redrive_allow_policy=json.dumps(
                                    {"redrivePermission": "byQueue", "sourceQueueArns": [ARN + "x"]}
                                ),
                            ),
                        ],
                    }
                ]
            }
        },
    }
    estate = read_file(write(tmp_path, state))
    orders, dead = estate.queues
    assert (orders.dead_letter, orders.max_receives) == ("module.shop.aws_sqs_queue.dead", 1)
    assert dead.allows == (ARN + "x",)
    found = audit(estate)
    assert {"max-receives", "redrive-allowed", "dead-letter-alarm", "long-polling"} <= {
        each.rule.id for each in found.findings
    }
    assert found.unjudged == ()
    alarm = next(each.change for each in found.findings if each.rule.id == "dead-letter-alarm")
    assert alarm.startswith('resource "aws_cloudwatch_metric_alarm" "dead_not_empty" {')
    assert "dimensions = { QueueName = module.shop.aws_sqs_queue.dead.name }" in alarm


def test_counted_resources_go_by_their_index(tmp_path: Path) -> None:
    """orders["a"] has dead["a"] for its dead-letter queue, in a module too."""
    module = 'module.shop["eu"].'
    queues = [
        resource("aws_sqs_queue", name, module, f'["{key}"]', name=f"{name}-{key}")
        for key in ("a", "b")
        for name in ("orders", "dead")
    ]
    plan = {
        "planned_values": {"root_module": {"child_modules": [{"resources": queues}]}},
        "configuration": {
            "root_module": {
                "module_calls": {
                    "shop": {
                        "module": {
                            "resources": [
                                configured("aws_sqs_queue", "orders", redrive_policy=["aws_sqs_queue.dead", "each.key"])
                            ]
                        }
                    }
                }
            }
        },
    }
    estate = read_file(write(tmp_path, plan))
    assert [(each.name, each.dead_letter) for each in estate.queues if each.dead_letter] == [
        ("orders-a", f'{module}aws_sqs_queue.dead["a"]'),
        ("orders-b", f'{module}aws_sqs_queue.dead["b"]'),
    ]


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({"terraform_version": "1.9"}, "has neither planned_values nor values"),
        ({"planned_values": {"root_module": {"resources": []}}}, "has no aws_sqs_queue"),
        ({"planned_values": {"root_module": {"resources": [resource("aws_vpc", "x")]}}}, "has no aws_sqs_queue"),
        (
            {"planned_values": {"root_module": {"resources": [resource("aws_sqs_queue", "q", delay_seconds="soon")]}}},
            "aws_sqs_queue.q.delay_seconds: is 'soon'",
        ),
        (
            {"planned_values": {"root_module": {"resources": [resource("aws_sqs_queue", "q", redrive_policy="{")]}}},
            "aws_sqs_queue.q.redrive_policy: is no JSON",
        ),
        ([1], "is no CloudFormation template"),
    ],
)
def test_bad_plans(document: Any, says: str, tmp_path: Path) -> None:
    """Each is refused in one line that names the file."""
    path = write(tmp_path, document)
    with pytest.raises(UsageError) as refused:
        read_file(path)
    assert says in str(refused.value)
    assert str(path) in str(refused.value)


def test_no_json_and_no_parameters(tmp_path: Path) -> None:
    """A plan that is cut off, and a parameter for a plan."""
    path = write(tmp_path, PLAN)
    with pytest.raises(UsageError, match="a plan has no parameters"):
        read_file(path, {"A": "1"})
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UsageError, match="is no JSON"):
        read_file(path)
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(tmp_path / "gone.json")
