"""AWS's protocols from the server's side, held against botocore's own serialisers and parsers."""

from __future__ import annotations

from typing import Any

import botocore.session
import pytest
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from harness.sim.services.errors import ServiceError
from harness.sim.wire.botocore_protocols import Malformed, decode_json, decode_query, encode_error, encode_result

SESSION = botocore.session.get_session()
SQS = SESSION.get_service_model("sqs")


def value(shape: Any, depth: int = 0) -> Any:
    """A value of a shape with every member set."""
    kind = shape.type_name
    if kind == "structure":
        return {name: value(member, depth + 1) for name, member in shape.members.items()}
    if kind == "list":
        return [value(shape.member, depth + 1)] * 2
    if kind == "map":
        return {"one": value(shape.value, depth + 1), "two": value(shape.value, depth + 1)}
    return {"string": f"<ä&{depth}>", "integer": 7, "long": 8, "boolean": True, "blob": b"\x00\xff"}[kind]


@pytest.mark.parametrize("name", SQS.operation_names)
def test_json_requests(name: str) -> None:
    """What botocore serialises for any SQS operation is decoded to the parameters."""
    operation = SQS.operation_model(name)
    parameters = value(operation.input_shape)
    request = create_serializer("json").serialize_to_request(parameters, operation)
    assert decode_json(operation.input_shape, request["body"]) == parameters


@pytest.mark.parametrize("name", SQS.operation_names)
def test_json_answers(name: str) -> None:
    """What is encoded for any SQS operation is what botocore parses."""
    operation = SQS.operation_model(name)
    result = value(operation.output_shape) if operation.output_shape is not None else {}
    reply = encode_result("json", SQS, operation, result, "id")
    answer = {"status_code": reply.status, "headers": reply.headers, "body": reply.body}
    parsed = create_parser("json").parse(answer, operation.output_shape)
    parsed.pop("ResponseMetadata")
    assert parsed == result


@pytest.mark.parametrize("service", ["sns", "sts", "rds"])
def test_query_requests_and_answers(service: str) -> None:
    """The query protocol of other services agrees with botocore in both directions."""
    model = SESSION.get_service_model(service)
    checked = 0
    for name in model.operation_names:
        operation = model.operation_model(name)
        try:
            parameters = value(operation.input_shape) if operation.input_shape is not None else {}
            result = value(operation.output_shape) if operation.output_shape is not None else {}
        except (KeyError, RecursionError):  # a timestamp, a float, a shape that contains itself
            continue
        request = create_serializer("query", include_validation=False).serialize_to_request(parameters, operation)
        form = "&".join(f"{key}={_quoted(text)}" for key, text in request["body"].items())
        assert decode_query(service, name, operation.input_shape, form.encode()) == parameters, name
        reply = encode_result("query", model, operation, result, "id")
        answer = {"status_code": reply.status, "headers": reply.headers, "body": reply.body}
        parsed = create_parser("query").parse(answer, operation.output_shape)
        parsed.pop("ResponseMetadata")
        assert parsed == result, name
        checked += 1
    assert checked >= 3


def _quoted(text: Any) -> str:
    from urllib.parse import quote_plus

    return quote_plus(str(text))


FORM = (
    "Action=SendMessageBatch&QueueUrl=q"
    "&SendMessageBatchRequestEntry.1.Id=a&SendMessageBatchRequestEntry.1.MessageBody=one"
    "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=k"
    "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=String"
    "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=x"
    "&SendMessageBatchRequestEntry.2.Id=b&SendMessageBatchRequestEntry.2.MessageBody=two"
    "&SendMessageBatchRequestEntry.10.Id=c&SendMessageBatchRequestEntry.10.MessageBody=ten"
)


def test_sqs_forms() -> None:
    """SQS's own names in the query protocol: entries, attributes, numbers in order."""
    shape = SQS.operation_model("SendMessageBatch").input_shape
    assert decode_query("sqs", "SendMessageBatch", shape, FORM.encode()) == {
        "QueueUrl": "q",
        "Entries": [
            {
                "Id": "a",
                "MessageBody": "one",
                "MessageAttributes": {"k": {"DataType": "String", "StringValue": "x"}},
            },
            {"Id": "b", "MessageBody": "two"},
            {"Id": "c", "MessageBody": "ten"},
        ],
    }
    create = (
        "Action=CreateQueue&QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5&Tag.1.Key=t&Tag.1.Value=v"
    )
    assert decode_query("sqs", "CreateQueue", SQS.operation_model("CreateQueue").input_shape, create.encode()) == {
        "QueueName": "q",
        "Attributes": {"DelaySeconds": "5"},
        "tags": {"t": "v"},
    }
    receive = "Action=ReceiveMessage&QueueUrl=q&AttributeName.1=All&MessageAttributeName.1=x&MaxNumberOfMessages=10"
    shape = SQS.operation_model("ReceiveMessage").input_shape
    assert decode_query("sqs", "ReceiveMessage", shape, receive.encode()) == {
        "QueueUrl": "q",
        "AttributeNames": ["All"],
        "MessageAttributeNames": ["x"],
        "MaxNumberOfMessages": 10,
    }


def test_sqs_xml() -> None:
    """SQS's own names in an answer: messages and attributes flattened, results of batches by operation."""
    operation = SQS.operation_model("ReceiveMessage")
    message = {
        "MessageId": "1",
        "Body": "a<b\r",
        "Attributes": {"SenderId": "me"},
        "MessageAttributes": {"k": {"StringValue": "x", "DataType": "String"}},
    }
    body = encode_result("query", SQS, operation, {"Messages": [message]}, "id").body.decode()
    assert body == (
        '<?xml version="1.0"?><ReceiveMessageResponse xmlns="http://queue.amazonaws.com/doc/2012-11-05/">'
        "<ReceiveMessageResult><Message><MessageId>1</MessageId><Body>a&lt;b&#xD;</Body>"
        "<Attribute><Name>SenderId</Name><Value>me</Value></Attribute>"
        "<MessageAttribute><Name>k</Name><Value><StringValue>x</StringValue><DataType>String</DataType></Value>"
        "</MessageAttribute></Message></ReceiveMessageResult>"
        "<ResponseMetadata><RequestId>id</RequestId></ResponseMetadata></ReceiveMessageResponse>"
    )
    operation = SQS.operation_model("DeleteMessageBatch")
    result = {"Successful": [{"Id": "a"}], "Failed": [{"Id": "b", "SenderFault": True, "Code": "c"}]}
    body = encode_result("query", SQS, operation, result, "id").body.decode()
    assert "<DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry>" in body
    assert (
        "<BatchResultErrorEntry><Id>b</Id><SenderFault>true</SenderFault><Code>c</Code></BatchResultErrorEntry>" in body
    )


@pytest.mark.parametrize(
    ("body", "problem"),
    [(b"{", "not JSON"), (b"[]", "no JSON object"), (b'{"Entries": 5}', "does not fit"), (b"\xff", "not JSON")],
)
def test_malformed_json(body: bytes, problem: str) -> None:
    """A body that is not the operation's JSON is refused, never a crash."""
    with pytest.raises(Malformed, match=problem):
        decode_json(SQS.operation_model("SendMessageBatch").input_shape, body)


@pytest.mark.parametrize("body", [b"a", b"A=1&A.B=2", b"\xff=1", b"DelaySeconds=x", b"MessageAttribute=1"])
def test_malformed_forms(body: bytes) -> None:
    """A form that cannot be read, or does not fit the operation, is refused, never a crash."""
    with pytest.raises(Malformed):
        decode_query("sqs", "SendMessage", SQS.operation_model("SendMessage").input_shape, body)


@pytest.mark.parametrize(
    ("service", "protocol"),
    [
        ("sqs", "json"),
        ("sts", "query"),
        ("ec2", "ec2"),
        ("lambda", "rest-json"),
        ("s3", "rest-xml"),
        ("cloudwatch", "smithy-rpc-v2-cbor"),
        ("dynamodb", "json"),
    ],
)
def test_errors_in_every_protocol(service: str, protocol: str) -> None:
    """An error is what botocore parses from it, in each protocol."""
    model = SESSION.get_service_model(service)
    error = ServiceError("Some.Code", "SomeShape", "a text <&>", 418)
    reply = encode_error(protocol, model, error, "id")
    answer = {"status_code": reply.status, "headers": _Headers(reply.headers), "body": reply.body}
    parsed = create_parser(protocol).parse(answer, None)
    queries = protocol in ("query", "ec2", "rest-xml") or "awsQueryCompatible" in model.metadata
    assert parsed["Error"]["Code"] == ("Some.Code" if queries else "SomeShape")
    assert parsed["Error"]["Message"] == "a text <&>"
    assert parsed["ResponseMetadata"]["HTTPStatusCode"] == 418


class _Headers(dict[str, str]):
    """Headers without regard to case, as botocore's parsers expect them."""

    def __init__(self, headers: dict[str, str]) -> None:
        super().__init__({name.lower(): text for name, text in headers.items()})

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())
