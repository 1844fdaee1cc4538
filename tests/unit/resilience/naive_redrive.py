"""Analysis and replay as tutorials have them: what each test of ours must tell from the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

RECEIVES_MAX = 60


class Endless(Exception):
    """It would not have come to an end."""


class NaiveAnalyzer:
    def __init__(self, dlq_url: str, sqs: Any) -> None:
        self.dlq_url = dlq_url
        self.sqs = sqs

    def _receive(self) -> list[dict[str, Any]]:
        answer = self.sqs.receive_message(
            QueueUrl=self.dlq_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], WaitTimeSeconds=1
        )
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def analyze_failed_messages(self) -> dict[str, Any]:
        total = 0
        patterns: dict[str, int] = {}
        for _ in range(RECEIVES_MAX):
            messages = self._receive()
            if not messages:
                return {"total_messages": total, "error_patterns": patterns}
            for message in messages:
                total += 1
                reason = json.loads(message["Body"]).get("errorReason", "").lower()
                category = next(
                    (word for word in ("timeout", "format", "auth", "validation") if word in reason), "other"
                )
                patterns[category] = patterns.get(category, 0) + 1
                self.sqs.change_message_visibility(
                    QueueUrl=self.dlq_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
        raise Endless(f"counted {total} and goes on")

    def replay_messages(self, target: str, filter_func: Callable[[dict[str, Any]], object] | None = None) -> int:
        count = 0
        for _ in range(RECEIVES_MAX):
            messages = self._receive()
            if not messages:
                return count
            for message in messages:
                envelope = json.loads(message["Body"])
                if filter_func is not None and not filter_func(envelope):
                    self.sqs.change_message_visibility(
                        QueueUrl=self.dlq_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                    )
                    continue
                self.sqs.send_message(
                    QueueUrl=target,
                    MessageBody=envelope["originalMessage"],
                    MessageAttributes=envelope.get("originalAttributes", {}),
                )
                self.sqs.delete_message(QueueUrl=self.dlq_url, ReceiptHandle=message["ReceiptHandle"])
                count += 1
        raise Endless(f"replayed {count} and goes on")
