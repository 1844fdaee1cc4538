"""The two protocols as they are on the wire: error vocabularies, headers, empty answers, endpoints."""

from __future__ import annotations

from harness.fidelity.bench import Bench
from harness.fidelity.raw import NAMESPACE, json_request, query_get, query_request
from harness.fidelity.rows import case, recorded

__all__: list[str] = []

_UNKNOWN = "AWS.SimpleQueueService.NonExistentQueue"
_TRACE = "Root=1-3152b799-8954dae64eda91bc9a23a7e8;Parent=7fa8c0f79203be72;Sampled=1"


@case(
    901,
    "json-error-headers",
    "A JSON error has the query code and Sender in the header x-amzn-query-error.",
    recorded("_verify_unknown_queue_error", by="moto"),
)
def _json_headers(bench: Bench) -> None:
    url = bench.queue() + "-not-there"
    reply = json_request(bench, "ReceiveMessage", {"QueueUrl": url})
    bench.equal("the status", reply.status, 400)
    bench.equal("x-amzn-query-error", reply.headers.get("x-amzn-query-error"), f"{_UNKNOWN};Sender")


@case(
    902,
    "json-error-body",
    "A JSON error's body has __type, com.amazonaws.sqs# and the shape, and message.",
    recorded("_verify_unknown_queue_error", by="moto"),
)
def _json_body(bench: Bench) -> None:
    found = json_request(bench, "ReceiveMessage", {"QueueUrl": bench.queue() + "-not-there"}).json()
    bench.equal("__type", found.get("__type"), "com.amazonaws.sqs#QueueDoesNotExist")
    bench.equal("message", found.get("message"), "The specified queue does not exist.")


@case(
    903,
    "json-content-type",
    "A JSON answer has the content type application/x-amz-json-1.0.",
    recorded("send_message_via_queue_url_with_json_protocol"),
)
def _json_type(bench: Bench) -> None:
    reply = json_request(bench, "ReceiveMessage", {"QueueUrl": bench.queue()})
    bench.equal("the status", reply.status, 200)
    bench.equal("content-type", reply.headers.get("content-type"), "application/x-amz-json-1.0")


@case(
    904,
    "json-to-queue-url",
    "A JSON request may go to the queue's own URL.",
    recorded("send_message_via_queue_url_with_json_protocol"),
)
def _json_to_queue(bench: Bench) -> None:
    url = bench.queue()
    reply = json_request(bench, "SendMessage", {"QueueUrl": url, "MessageBody": "message"}, url)
    bench.equal("MD5OfMessageBody", reply.json().get("MD5OfMessageBody"), "78e731027d8fd50ed642340b7c9a63b3")


@case(
    905,
    "json-empty-receive",
    "An empty receive is an empty object in JSON.",
    recorded("receive_empty_queue"),
)
def _json_empty(bench: Bench) -> None:
    bench.equal("the body", json_request(bench, "ReceiveMessage", {"QueueUrl": bench.queue()}).json(), {})


@case(
    906,
    "json-missing-parameter",
    "A JSON request without a required parameter is refused.",
    recorded("send_empty_message"),
)
def _json_missing(bench: Bench) -> None:
    reply = json_request(bench, "SendMessage", {"QueueUrl": bench.queue(), "MessageBody": ""})
    bench.equal("the status", reply.status, 400)
    bench.equal("x-amzn-query-error", reply.headers.get("x-amzn-query-error"), "MissingParameter;Sender")
    found = reply.json()
    bench.equal("__type", found.get("__type"), "com.amazonaws.sqs#MissingRequiredParameterException")
    bench.equal("message", found.get("message"), "The request must contain the parameter MessageBody.")


@case(
    910,
    "query-answer",
    "A query answer is XML: <Operation>Response with the namespace, <Operation>Result, ResponseMetadata.",
    recorded("get_send_and_receive_messages"),
)
def _query_answer(bench: Bench) -> None:
    url = bench.queue()
    reply = query_request(bench, "SendMessage", {"QueueUrl": url, "MessageBody": "message"})
    bench.equal("the status", reply.status, 200)
    bench.true(reply.headers.get("content-type", "").startswith("text/xml"), f"the type is {reply.headers}")
    bench.equal("the root", (reply.root_name, reply.namespace), ("SendMessageResponse", NAMESPACE))
    found = reply.find("SendMessageResult/MD5OfMessageBody")
    bench.equal("MD5OfMessageBody", found, "78e731027d8fd50ed642340b7c9a63b3")
    bench.true(reply.find("ResponseMetadata/RequestId"), "there is no RequestId")


@case(
    911,
    "query-error",
    "A query error is ErrorResponse: Error with Type Sender, Code, Message and an empty Detail, then RequestId.",
    recorded("non_existent_queue"),
)
def _query_error(bench: Bench) -> None:
    reply = query_request(bench, "ReceiveMessage", {"QueueUrl": bench.queue() + "-not-there"})
    bench.equal("the status", reply.status, 400)
    bench.equal("the root", (reply.root_name, reply.namespace), ("ErrorResponse", NAMESPACE))
    bench.equal("Type", reply.find("Error/Type"), "Sender")
    bench.equal("Code", reply.find("Error/Code"), _UNKNOWN)
    bench.equal("Detail", reply.find("Error/Detail"), "")
    bench.true(reply.find("RequestId"), "there is no RequestId")


@case(
    912,
    "query-unknown-queue-text",
    "In the query protocol the text for an unknown queue ends in: for this wsdl version.",
    recorded("non_existent_queue"),
)
def _query_unknown_text(bench: Bench) -> None:
    reply = query_request(bench, "GetQueueUrl", {"QueueName": bench.name()})
    expected = "The specified queue does not exist for this wsdl version."
    bench.equal("Message", reply.find("Error/Message"), expected)


@case(
    913,
    "query-empty-receive",
    "An empty receive in the query protocol is an empty ReceiveMessageResult.",
    recorded("get_send_and_receive_messages"),
)
def _query_empty(bench: Bench) -> None:
    reply = query_request(bench, "ReceiveMessage", {"QueueUrl": bench.queue()})
    found = reply.element("ReceiveMessageResult")
    bench.true(found is not None and len(found) == 0, f"the body is {reply.body!r}")


@case(
    914,
    "query-older-name-wins",
    "With AttributeName and MessageSystemAttributeName given, the query protocol answers what the older one asks.",
    recorded("message_system_attribute_names_with_attribute_names"),
)
def _query_older(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url)
    names = {"AttributeName.1": "SenderId", "MessageSystemAttributeName.1": "All"}
    reply = query_request(bench, "ReceiveMessage", {"QueueUrl": url, **names})
    message = reply.element("ReceiveMessageResult/Message")
    bench.true(message is not None, f"the body is {reply.body!r}")
    assert message is not None
    found = [child for child in message if child.tag.endswith("}Attribute")]
    bench.equal("the number of attributes", len(found), 1)


@case(
    915,
    "query-message",
    "A message in the query protocol: MessageId, ReceiptHandle, MD5OfBody, Body.",
    recorded("get_send_and_receive_messages"),
)
def _query_message(bench: Bench) -> None:
    url = bench.queue()
    bench.send(url, "message")
    reply = query_request(bench, "ReceiveMessage", {"QueueUrl": url})
    front = "ReceiveMessageResult/Message/"
    bench.equal("Body", reply.find(front + "Body"), "message")
    bench.equal("MD5OfBody", reply.find(front + "MD5OfBody"), "78e731027d8fd50ed642340b7c9a63b3")
    for name in ("MessageId", "ReceiptHandle"):
        bench.true(reply.find(front + name), f"there is no {name}")


@case(
    916,
    "query-bare-name",
    "QueueUrl may be the bare name in the query protocol, too.",
    recorded("posting_to_queue_via_queue_name"),
)
def _query_bare(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    reply = query_request(bench, "SendMessage", {"QueueUrl": name, "MessageBody": "by name"})
    bench.equal("the status", reply.status, 200)
    bench.equal("the message", bench.one(url)["Body"], "by name")


@case(
    917,
    "query-bad-action",
    "An action that is none is refused as InvalidAction.",
    recorded("invalid_action_raises_exception"),
)
def _bad_action(bench: Bench) -> None:
    reply = query_request(bench, "FooBar", {})
    bench.equal("the status", reply.status, 400)
    bench.equal("Code", reply.find("Error/Code"), "InvalidAction")
    bench.equal("Message", reply.find("Error/Message"), "The action FooBar is not valid for this endpoint.")


@case(
    918,
    "query-missing-parameter",
    "A query request without a required parameter is refused as MissingParameter.",
    recorded("valid_action_with_missing_parameter_raises_exception"),
)
def _query_missing(bench: Bench) -> None:
    reply = query_request(bench, "SendMessage", {"QueueUrl": bench.queue()})
    bench.equal("Code", reply.find("Error/Code"), "MissingParameter")
    bench.equal("Type", reply.find("Error/Type"), "Sender")
    expected = "The request must contain the parameter MessageBody."
    bench.equal("Message", reply.find("Error/Message"), expected)


@case(
    919,
    "query-purge-status",
    "The refusal of a second purge has the status 403 in the query protocol, too.",
    recorded("successive_purge_calls_fail"),
)
def _query_purge(bench: Bench) -> None:
    url = bench.queue()
    bench.call("PurgeQueue", QueueUrl=url)
    reply = query_request(bench, "PurgeQueue", {"QueueUrl": url})
    code = reply.find("Error/Code")
    bench.equal("status and code", (reply.status, code), (403, "AWS.SimpleQueueService.PurgeQueueInProgress"))


@case(
    930,
    "trace-header-of-the-request",
    "The header X-Amzn-Trace-Id of a SendMessage becomes the message's AWSTraceHeader.",
    recorded("aws_trace_header_propagation"),
)
def _trace(bench: Bench) -> None:
    url = bench.queue()
    given = {"X-Amzn-Trace-Id": _TRACE}
    query_request(bench, "SendMessage", {"QueueUrl": url, "MessageBody": "x"}, **given)
    found = bench.one(url, MessageSystemAttributeNames=["AWSTraceHeader"]).get("Attributes")
    bench.equal("Attributes", found, {"AWSTraceHeader": _TRACE})


@case(
    940,
    "get-with-action",
    "A query request may be a GET to the queue's URL, without QueueUrl.",
    recorded("get_send_and_receive_messages"),
    http=True,
)
def _get(bench: Bench) -> None:
    url = bench.queue()
    query_get(bench, {"Action": "SendMessage", "MessageBody": "foobar"}, url)
    reply = query_get(bench, {"Action": "ReceiveMessage"}, url)
    bench.equal("Body", reply.find("ReceiveMessageResult/Message/Body"), "foobar")


@case(
    941,
    "get-without-action",
    "A GET of a queue's URL without an action is answered 404, UnknownOperationException.",
    recorded("get_without_query_returns_unknown_operation"),
    http=True,
)
def _get_without(bench: Bench) -> None:
    reply = query_get(bench, {}, bench.queue())
    bench.equal("the status", reply.status, 404)
    bench.true("<UnknownOperationException" in reply.body, f"the body is {reply.body[:80]!r}")


@case(
    942,
    "get-without-action-accept-json",
    "It is XML also where JSON is asked for.",
    recorded("get_without_query_json_format_returns_returns_xml"),
    http=True,
)
def _get_without_json(bench: Bench) -> None:
    reply = query_get(bench, {}, bench.queue(), Accept="application/json")
    bench.equal("the status", reply.status, 404)
    bench.true("<UnknownOperationException" in reply.body, f"the body is {reply.body[:80]!r}")


@case(
    943,
    "create-at-a-queue-url",
    "CreateQueue sent to a queue's URL is an invalid action.",
    recorded("get_create_queue_fails"),
    http=True,
)
def _create_at_queue(bench: Bench) -> None:
    reply = query_get(bench, {"Action": "CreateQueue", "QueueName": bench.name()}, bench.queue())
    found = (reply.status, reply.find("Error/Code"), reply.find("Error/Message"))
    expected = (400, "InvalidAction", "The action CreateQueue is not valid for this endpoint.")
    bench.equal("status, code and text", found, expected)


@case(
    944,
    "list-at-a-queue-url",
    "ListQueues sent to a queue's URL is an invalid action.",
    recorded("get_list_queues_fails"),
    http=True,
)
def _list_at_queue(bench: Bench) -> None:
    reply = query_get(bench, {"Action": "ListQueues"}, bench.queue())
    bench.equal("status and code", (reply.status, reply.find("Error/Code")), (400, "InvalidAction"))


@case(
    945,
    "queue-url-parameter-wins",
    "In a query request the parameter QueueUrl comes before the URL's path.",
    recorded("overwrite_queue_url_in_params"),
    http=True,
)
def _parameter_wins(bench: Bench) -> None:
    url, other = bench.queue(), bench.queue()
    query_get(bench, {"Action": "SendMessage", "MessageBody": "x", "QueueUrl": other}, url)
    bench.nothing(url, "which was sent to the other")
    bench.equal("the message of the other", bench.one(other)["Body"], "x")


@case(
    946,
    "get-queue-url-at-a-queue-url",
    "GetQueueUrl for another queue works on any queue's URL.",
    recorded("get_queue_url_work_for_different_queue"),
    http=True,
)
def _get_queue_url(bench: Bench) -> None:
    name = bench.name()
    url = bench.create(name)
    reply = query_get(bench, {"Action": "GetQueueUrl", "QueueName": name}, bench.queue())
    bench.equal("QueueUrl", reply.find("GetQueueUrlResult/QueueUrl"), url)


@case(
    947,
    "unknown-queue-by-get",
    "A GET of a deleted queue's URL is refused as an unknown queue.",
    recorded("get_on_deleted_queue_fails"),
    http=True,
)
def _deleted_by_get(bench: Bench) -> None:
    url = bench.queue()
    bench.call("DeleteQueue", QueueUrl=url)
    if bench.remote:
        bench.wait(60)
    reply = query_get(bench, {"Action": "GetQueueAttributes", "AttributeName.1": "QueueArn"}, url)
    bench.equal("Code", reply.find("Error/Code"), _UNKNOWN)


@case(
    948,
    "query-accept-json",
    "A GET with Accept: application/json is answered in JSON, by the names of the XML.",
    recorded("get_queue_attributes_json_format"),
    http=True,
)
def _accept_json(bench: Bench) -> None:
    url = bench.queue()
    parameters = {"Action": "GetQueueAttributes", "AttributeName.1": "QueueArn"}
    found = query_get(bench, parameters, url, Accept="application/json").json()
    result = found.get("GetQueueAttributesResponse", {}).get("GetQueueAttributesResult", {})
    expected = [{"Name": "QueueArn", "Value": bench.arn(url)}]
    bench.equal("Attributes", result.get("Attributes"), expected)
