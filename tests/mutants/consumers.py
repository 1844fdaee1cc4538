"""Whole consumers of a queue that SQS redrives: one that is right, and the same with one defect each."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from harness import points

MAX_RECEIVES = 3
_FAILED = (BotoCoreError, ClientError)


def charge(message: Mapping[str, Any]) -> None:
    points.effect("charged", json.loads(message["Body"])["order_id"])


class Right:
    """Handles, then deletes; what fails comes again until SQS puts it aside."""

    def __init__(self, sqs: Any, main: str, dlq: str) -> None:
        self.sqs, self.main = sqs, main
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
        asked: dict[str, Any] = {"QueueUrl": self.main, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 10}
        found: list[dict[str, Any]] = self.sqs.receive_message(**asked | options).get("Messages", [])
        return found

    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            try:
                charge(message)
            except Exception:
                continue  # it comes again
            self.delete(message)

    def delete(self, message: Mapping[str, Any]) -> None:
        try:
            self.sqs.delete_message(QueueUrl=self.main, ReceiptHandle=message["ReceiptHandle"])
        except _FAILED:
            return  # it comes again


class AcknowledgesFirst(Right):
    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            self.delete(message)
            charge(message)


class AcknowledgesOnError(Right):
    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            with contextlib.suppress(Exception):
                charge(message)
            self.delete(message)


class DiesOfABadMessage(Right):
    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            charge(message)
            self.delete(message)


class DeletesTheBatch(Right):
    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            try:
                charge(message)
            except Exception:
                continue
        entries = [{"Id": str(place), "ReceiptHandle": one["ReceiptHandle"]} for place, one in enumerate(messages)]
        if entries:
            self.sqs.delete_message_batch(QueueUrl=self.main, Entries=entries)


class SeenBeforeDone(Right):
    """What was seen once is taken for a duplicate the next time, though it had failed."""

    def __init__(self, sqs: Any, main: str, dlq: str) -> None:
        super().__init__(sqs, main, dlq)
        self.seen: set[str] = set()

    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            if message["MessageId"] in self.seen:
                self.delete(message)
                continue
            self.seen.add(message["MessageId"])
            super().batch([message])


class HiddenForTooShort(Right):
    def receive(self, **options: Any) -> list[dict[str, Any]]:
        return super().receive(VisibilityTimeout=2)


class TriesAgainAfterALostAnswer(Right):
    """Does the work again where only the delete had failed."""

    def batch(self, messages: list[dict[str, Any]]) -> None:
        for message in messages:
            for _ in range(3):
                try:
                    charge(message)
                    self.sqs.delete_message(QueueUrl=self.main, ReceiptHandle=message["ReceiptHandle"])
                    break
                except Exception:
                    time.sleep(0.1)


class ForgetsToDelete(Right):
    def delete(self, message: Mapping[str, Any]) -> None:
        """Never done."""


class IgnoresSigterm(Right):
    def stop(self, *_: object) -> None:
        """Not looked at."""


#: Mutant -> the property that it breaks.
WRONG: dict[type[Right], str] = {
    AcknowledgesFirst: "no-message-loss",
    AcknowledgesOnError: "no-message-loss",
    DiesOfABadMessage: "others-not-held-up",
    DeletesTheBatch: "no-message-loss",
    SeenBeforeDone: "no-message-loss",
    HiddenForTooShort: "others-not-held-up",
    TriesAgainAfterALostAnswer: "duplicates-bounded",
    ForgetsToDelete: "others-not-held-up",
    IgnoresSigterm: "stops",
}
