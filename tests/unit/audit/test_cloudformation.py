"""Templates are read as CloudFormation reads them; what only AWS knows is said to be unknown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.audit.cloudformation import read_template
from harness.audit.estate import Estate, Unknown
from harness.errors import UsageError
from tests.unit.audit.templates import GOOD, parsed

SAM = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function: {Timeout: 25}
Resources:
  Orders:
    Type: AWS::SQS::Queue
    Properties: {QueueName: !Sub "${Stage}-orders", VisibilityTimeout: 30}
  Charge:
    Type: AWS::Serverless::Function
    Properties:
      ReservedConcurrentExecutions: 5
      Events:
        New:
          Type: SQS
          Properties: {Queue: !GetAtt Orders.Arn, BatchSize: 5, MaximumBatchingWindowInSeconds: 2}
        Http:
          Type: Api
          Properties: {Path: /, Method: get}
  Refund:
    Type: AWS::Serverless::Function
    Properties: {Timeout: 5}
Parameters:
  Stage: {Type: String, Default: test}
"""


def read(folder: Path, text: str, **parameters: str) -> Estate:
    path = folder / "template.yaml"
    path.write_text(text)
    return read_template(path, parameters)


def queue(folder: Path, value: str, more: str = "", **parameters: str) -> Any:
    """The visibility timeout of a queue that has *value* there."""
    text = f"Resources:\n  Q:\n    Type: AWS::SQS::Queue\n    Properties: {{VisibilityTimeout: {value}}}\n{more}"
    return read(folder, text, **parameters).queues[0].visibility_timeout


def test_sam_events_are_mappings(tmp_path: Path) -> None:
    """An SQS event of a function is a mapping; Globals are its defaults; other events are left alone."""
    estate = read(tmp_path, SAM)
    assert [each.name for each in estate.queues] == ["test-orders"]
    assert [(each.id, each.timeout, each.reserved_concurrency) for each in estate.functions] == [
        ("Charge", 25, 5),
        ("Refund", 5, None),
    ]
    (mapping,) = estate.mappings or ()
    assert (mapping.id, mapping.queue, mapping.function) == ("Charge.Events.New", "Orders", "Charge")
    assert (mapping.batch_size, mapping.window, mapping.report_batch_item_failures) == (5, 2, False)


def test_a_parameter_that_is_given_comes_first(tmp_path: Path) -> None:
    """Its default is for when it is not given."""
    assert read(tmp_path, SAM, Stage="live").queues[0].name == "live-orders"


DECLARED = """
Parameters:
  Seconds: {Type: Number, Default: 45}
  Stage: {Type: String, Default: live}
  Stored: {Type: "AWS::SSM::Parameter::Value<String>", Default: /seconds}
Mappings:
  Times: {live: {hidden: 90}}
Conditions:
  IsLive: !Equals [!Ref Stage, live]
  IsTest: !Not [!Condition IsLive]
  Either: !Or [!Condition IsTest, !Equals [!Ref "AWS::Region", eu-west-1]]
"""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("60", 60),
        ('"60"', 60),
        ("!Ref Seconds", 45),
        ("{Ref: Seconds}", 45),
        ("!If [IsLive, 300, 10]", 300),
        ("!If [IsTest, 300, 10]", 10),
        ("!FindInMap [Times, !Ref Stage, hidden]", 90),
        ('!Sub "${Seconds}"', 45),
        ('!Join ["", ["1", !Ref Seconds]]', 145),
        ('!Ref "AWS::NoValue"', 30),
        ("!If [IsTest, 10, !Ref 'AWS::NoValue']", 30),
    ],
)
def test_functions_of_the_template(value: str, expected: int, tmp_path: Path) -> None:
    """References, conditions, maps and texts are worked out; a value that is left out has AWS's default."""
    assert queue(tmp_path, value, DECLARED) == expected


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("!Ref Stored", "the parameter Stored has no default; give --parameter Stored=VALUE"),
        ("!ImportValue hidden", "Fn::ImportValue is only known to AWS"),
        ("!If [Either, 1, 2]", "AWS::Region is only known to AWS"),
        ("!If [Nowhere, 1, 2]", "the condition Nowhere is not in the template"),
        ("!Ref Nothing", "Nothing is not in the template"),
        ("!GetAtt Q.Arn", "Q.Arn is only known to AWS"),
        ('!Sub "${Q.Arn}-x"', "Q.Arn is only known to AWS"),
        ("!FindInMap [Times, !Ref Stage, seen]", "seen is not in the template's mappings"),
    ],
)
def test_what_only_aws_knows(value: str, why: str, tmp_path: Path) -> None:
    """It is unknown, with the reason, and never a guess."""
    assert queue(tmp_path, value, DECLARED) == Unknown(why)


def test_a_condition_that_names_itself(tmp_path: Path) -> None:
    """It ends as unknown, not without end."""
    more = "Conditions:\n  A: !Not [!Condition B]\n  B: !Not [!Condition A]\n"
    assert queue(tmp_path, "!If [A, 1, 2]", more) == Unknown("the condition A names itself")


def test_a_resource_whose_condition_does_not_hold_is_not_there(tmp_path: Path) -> None:
    """One whose condition cannot be told stays."""
    text = f"""{DECLARED}
Resources:
  Q: {{Type: "AWS::SQS::Queue"}}
  Test: {{Type: "AWS::SQS::Queue", Condition: IsTest}}
  Perhaps: {{Type: "AWS::SQS::Queue", Condition: Either}}
"""
    assert [each.id for each in read(tmp_path, text).queues] == ["Q", "Perhaps"]


def test_redrive_policies_by_reference_arn_and_text(tmp_path: Path) -> None:
    """A dead-letter queue is found by its logical id, by an ARN with its name, or stays an ARN of elsewhere."""
    estate = read(
        tmp_path,
        """
Resources:
  A:
    Type: AWS::SQS::Queue
    Properties:
      RedrivePolicy: {deadLetterTargetArn: "arn:aws:sqs:eu-west-1:000000000000:dead", maxReceiveCount: "4"}
  B:
    Type: AWS::SQS::Queue
    Properties:
      RedrivePolicy: '{"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:000000000000:far", "maxReceiveCount": 3}'
  C:
    Type: AWS::SQS::Queue
    Properties: {RedrivePolicy: {deadLetterTargetArn: !Sub "${D.Arn}", maxReceiveCount: 2}}
  D:
    Type: AWS::SQS::Queue
    Properties: {QueueName: dead}
""",
    )
    a, b, c, d = estate.queues
    assert [(each.dead_letter, each.max_receives) for each in (a, b, c)] == [
        ("arn:aws:sqs:eu-west-1:000000000000:dead", 4),
        ("arn:aws:sqs:eu-west-1:000000000000:far", 3),
        ("D", 2),
    ]
    assert estate.sources_of(d) == [a, c]
    assert estate.queue(b.dead_letter) is None


def test_json_is_read_too(tmp_path: Path) -> None:
    """A template in JSON gives the same."""
    path = tmp_path / "template.json"
    path.write_text(json.dumps(parsed(GOOD), indent=1))
    (tmp_path / "template.yaml").write_text(GOOD)
    first, second = read_template(path), read_template(tmp_path / "template.yaml")
    assert [each.id for each in first.queues] == [each.id for each in second.queues]
    assert first.queues[0].where.startswith(f"{path}:")
    assert first.queues[0].dead_letter == "OrdersDead"


def test_an_alias_of_a_function_is_that_function(tmp_path: Path) -> None:
    """A mapping often names an alias."""
    text = GOOD.replace("FunctionName: !Ref Charge", "FunctionName: !Ref Live")
    text += "  Live: {Type: 'AWS::Lambda::Alias', Properties: {FunctionName: !Ref Charge, Name: live}}\n"
    (mapping,) = read(tmp_path, text).mappings or ()
    assert mapping.function == "Charge"


def test_an_alarm_with_an_expression_counts(tmp_path: Path) -> None:
    """Its metrics are those of the expression's parts."""
    text = """
Resources:
  Dead: {Type: "AWS::SQS::Queue"}
  Sum:
    Type: AWS::CloudWatch::Alarm
    Properties:
      Metrics:
        - {Id: all, Expression: a + b}
        - Id: a
          MetricStat:
            Metric:
              Namespace: AWS/SQS
              MetricName: ApproximateNumberOfMessagesVisible
              Dimensions: [{Name: QueueName, Value: !GetAtt Dead.QueueName}]
            Period: 60
            Stat: Maximum
"""
    estate = read(tmp_path, text)
    (alarm,) = estate.alarms or ()
    assert (alarm.id, alarm.queue, alarm.metric) == ("Sum", "Dead", "ApproximateNumberOfMessagesVisible")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Resources: [", "is neither YAML nor JSON"),
        ("a: b", "is no CloudFormation template: it has no Resources"),
        ("- 1", "is no CloudFormation template"),
        ("", "is no CloudFormation template"),
        ("Resources: {Q: {Properties: {}}}", "Resources.Q: has no Type"),
        ("Resources: {T: {Type: 'AWS::SNS::Topic'}}", "has no AWS::SQS::Queue"),
        (
            "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {VisibilityTimeout: soon}}}",
            "template.yaml:1: Q.VisibilityTimeout: is 'soon'. Give a whole number",
        ),
        (
            "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {RedrivePolicy: '{'}}}",
            "Q.RedrivePolicy: is no JSON",
        ),
        (
            "Resources: {Q: {Type: 'AWS::SQS::Queue', Properties: {RedrivePolicy: {maxReceiveCount: 3}}}}",
            "Q.RedrivePolicy: has no deadLetterTargetArn",
        ),
        ("Resources: {Q: !Wrong {a: [!b, *c]}}", "is neither YAML nor JSON"),
    ],
)
def test_bad_templates(text: str, says: str, tmp_path: Path) -> None:
    """Each is refused in one line that names the file and what is wrong."""
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) in str(refused.value)


def test_a_parameter_that_is_not_there(tmp_path: Path) -> None:
    """A misspelt parameter is not taken silently."""
    with pytest.raises(UsageError, match="the template has no parameter 'Stge'"):
        read(tmp_path, SAM, Stge="live")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Missing, or no text."""
    with pytest.raises(UsageError, match="cannot be read"):
        read_template(tmp_path / "gone.yaml")
    path = tmp_path / "binary.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="it is no UTF-8 text"):
        read_template(path)
