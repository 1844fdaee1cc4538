"""Consumers with dead letters of their own: one that is right, and the same with one defect each."""

from __future__ import annotations

import base64
import contextlib
import json
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

MAX_RECEIVES = 3
LARGEST = 1_048_576

Handler = Callable[[dict[str, Any]], object]
_FAILED = (BotoCoreError, ClientError)


class Right:
    """After three deliveries a message is a dead letter: sent first, deleted then."""

    def __init__(self, sqs: Any, main: str, dlq: str, handler: Handler) -> None:
        self.sqs, self.main, self.dlq, self.handler = sqs, main, dlq, handler
        self.stopped = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, self.stop)
        while not self.stopped:
            try:
                messages = self.receive()
            except _FAILED:
                time.sleep(1)
                continue
            self.batch(messages)

    def stop(self, *_: object) -> None:
        self.stopped = True

    def receive(self, **options: Any) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {
            "QueueUrl": self.main,
            "MaxNumberOfMessages": 10,
            "WaitTimeSeconds": 10,
            "AttributeNames": ["ApproximateReceiveCount"],
            "MessageAttributeNames": ["All"],
        }
        found: list[dict[str, Any]] = self.sqs.receive_message(**asked | options).get("Messages", [])
        return found

    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self.one(message)

    def count(self, message: Mapping[str, Any]) -> int:
        return int(message["Attributes"]["ApproximateReceiveCount"])

    def one(self, message: dict[str, Any]) -> bool:
        count = self.count(message)
        if count > MAX_RECEIVES:
            self.bury(message, "came too often")
            return False
        try:
            self.handler(message)
        except Exception as error:
            if count >= MAX_RECEIVES:
                self.bury(message, repr(error))
            return False
        self.delete(message)
        return True

    def bury(self, message: Mapping[str, Any], reason: str) -> None:
        try:
            self.send(message, reason)
        except _FAILED:
            return  # it comes again
        self.delete(message)

    def delete(self, message: Mapping[str, Any]) -> None:
        try:
            self.sqs.delete_message(QueueUrl=self.main, ReceiptHandle=message["ReceiptHandle"])
        except _FAILED:
            return  # it comes again

    def send(self, message: Mapping[str, Any], reason: str) -> None:
        body = self.envelope(message, reason)
        if len(body.encode()) <= LARGEST:
            self.sqs.send_message(QueueUrl=self.dlq, MessageBody=body)
            return
        attributes = {name: self.plain(value) for name, value in message.get("MessageAttributes", {}).items()}
        self.sqs.send_message(QueueUrl=self.dlq, MessageBody=message["Body"], MessageAttributes=attributes)

    @staticmethod
    def plain(value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value[name] for name in ("DataType", "StringValue", "BinaryValue") if name in value}

    def attributes(self, message: Mapping[str, Any]) -> dict[str, Any]:
        found = {}
        for name, value in message.get("MessageAttributes", {}).items():
            plain = self.plain(value)
            if "BinaryValue" in plain:
                plain["BinaryValue"] = base64.b64encode(plain["BinaryValue"]).decode()
            found[name] = plain
        return found

    def envelope(self, message: Mapping[str, Any], reason: str) -> str:
        return json.dumps(
            {
                "id": message["MessageId"],
                "body": message["Body"],
                "attributes": self.attributes(message),
                "reason": reason,
            }
        )


class DeletesBeforeItSends(Right):
    def bury(self, message: Mapping[str, Any], reason: str) -> None:
        self.delete(message)
        try:
            self.send(message, reason)
        except _FAILED:
            return


class DeletesThoughSendingFailed(Right):
    def bury(self, message: Mapping[str, Any], reason: str) -> None:
        with contextlib.suppress(*_FAILED):
            self.send(message, reason)
        self.delete(message)


class NeverAsksForTheCount(Right):
    def receive(self, **options: Any) -> list[dict[str, Any]]:
        return super().receive(AttributeNames=["SentTimestamp"])

    def count(self, message: Mapping[str, Any]) -> int:
        return int(message.get("Attributes", {}).get("ApproximateReceiveCount", 1))


class CountsInMemory(Right):
    """A restart begins again with nothing."""

    def __init__(self, sqs: Any, main: str, dlq: str, handler: Handler) -> None:
        super().__init__(sqs, main, dlq, handler)
        self.counts: Counter[str] = Counter()

    def count(self, message: Mapping[str, Any]) -> int:
        self.counts[message["MessageId"]] += 1
        return self.counts[message["MessageId"]]


class OneMoreThanAllowed(Right):
    def count(self, message: Mapping[str, Any]) -> int:
        return super().count(message) - 2


class BinaryBreaksTheEnvelope(Right):
    def attributes(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {name: self.plain(value) for name, value in message.get("MessageAttributes", {}).items()}


class ForgetsBinaryAttributes(Right):
    def attributes(self, message: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in super().attributes(message).items() if "StringValue" in value}


class NeverAsksForAttributes(Right):
    def receive(self, **options: Any) -> list[dict[str, Any]]:
        return super().receive(MessageAttributeNames=[])


class ReasonAsAnEleventhAttribute(Right):
    def send(self, message: Mapping[str, Any], reason: str) -> None:
        attributes = {name: self.plain(value) for name, value in message.get("MessageAttributes", {}).items()}
        attributes["ErrorReason"] = {"DataType": "String", "StringValue": reason}
        self.sqs.send_message(QueueUrl=self.dlq, MessageBody=message["Body"], MessageAttributes=attributes)


class EnvelopeTooLarge(Right):
    def send(self, message: Mapping[str, Any], reason: str) -> None:
        self.sqs.send_message(QueueUrl=self.dlq, MessageBody=self.envelope(message, reason))


class CutsLongBodies(Right):
    def envelope(self, message: Mapping[str, Any], reason: str) -> str:
        return json.dumps({"id": message["MessageId"], "body": message["Body"][:100_000], "reason": reason})


class BatchAbandonedAfterABadMessage(Right):
    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if not self.one(message):
                break


class DeletesTheWholeBatch(Right):
    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            try:
                self.handler(message)
            except Exception as error:
                if self.count(message) >= MAX_RECEIVES:
                    self.bury(message, repr(error))
        for message in messages:
            self.delete(message)


class DeletesInTheEnd(Right):
    def one(self, message: dict[str, Any]) -> bool:
        try:
            self.handler(message)
            return True
        except ValueError:
            return False
        finally:
            self.delete(message)


class HiddenForTooShort(Right):
    def receive(self, **options: Any) -> list[dict[str, Any]]:
        return super().receive(VisibilityTimeout=2)


class NeverLooksWhetherToStop(Right):
    def run(self) -> None:
        while True:
            super().run()
            self.stopped = False


#: Mutant -> the property that it breaks.
WRONG: dict[type[Right], str] = {
    DeletesBeforeItSends: "no-message-loss",
    DeletesThoughSendingFailed: "no-message-loss",
    NeverAsksForTheCount: "poison-contained",
    CountsInMemory: "poison-contained",
    OneMoreThanAllowed: "poison-contained",
    BinaryBreaksTheEnvelope: "poison-contained",
    ForgetsBinaryAttributes: "envelope-lossless",
    NeverAsksForAttributes: "envelope-lossless",
    ReasonAsAnEleventhAttribute: "poison-contained",
    EnvelopeTooLarge: "poison-contained",
    CutsLongBodies: "envelope-lossless",
    BatchAbandonedAfterABadMessage: "others-not-held-up",
    DeletesTheWholeBatch: "no-message-loss",
    DeletesInTheEnd: "no-message-loss",
    HiddenForTooShort: "others-not-held-up",
    NeverLooksWhetherToStop: "stops",
}
