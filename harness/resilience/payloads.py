"""Claim checks: what is too large for a message goes to a store of yours, and the message carries a reference.

A dead letter whose body and context pass SQS's limits keeps both this way::

    class Bucket:                                    # any object with these two methods
        def put(self, payload: bytes) -> str:
            key = f"dead-letters/{uuid.uuid4()}"
            s3.put_object(Bucket="letters", Key=key, Body=payload)
            return key

        def get(self, reference: str) -> bytes:
            return s3.get_object(Bucket="letters", Key=reference)["Body"].read()

    DeadLetterQueueHandler(orders_url, orders_dlq_url, payloads=Bucket())
    DLQAnalyzer(orders_dlq_url).replay_messages(orders_url, payloads=Bucket())

Keep payloads longer than the dead-letter queue keeps its messages. Nothing here
deletes one: a crash may leave one that no message refers to, and a replay that
is done may be asked for again; let the store expire them.
"""

from __future__ import annotations

from typing import Protocol

__all__ = ["PayloadStore"]


class PayloadStore(Protocol):
    """Where payloads are kept. Thread-safe; raises whatever it likes when it cannot be reached."""

    def put(self, payload: bytes) -> str:
        """Keep *payload*; returns what :meth:`get` finds it by, some hundred characters at most."""
        ...

    def get(self, reference: str) -> bytes:
        """The payload that :meth:`put` gave this reference for."""
        ...
