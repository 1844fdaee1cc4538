"""What a case works with: one server, queues of its own, calls, waits, comparisons.

A case says what AWS answers; where the server answers otherwise the bench
raises :class:`Differs` with both. The same case runs against a server on
loopback, against AWS itself, and in a simulation: only how it waits differs.
"""

from __future__ import annotations

import json
import random
import string
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.fidelity.recording import Tape

__all__ = ["Bench", "Differs", "Overrun", "Site", "Stopped", "number", "text"]

#: How much longer than its waits a case may take, in seconds.
SPARE_S = 60
#: How long AWS may need until counts are true: documented as a minute.
SETTLE_S = 75


class Differs(Exception):
    """The server does not do what AWS does; the text says what it does instead."""


class Overrun(Exception):
    """The case took longer than it may."""


class Stopped(Exception):
    """The run was interrupted."""


@dataclass
class Site:
    """A server, and how it is spoken to."""

    client: Any
    endpoint: str
    region: str
    #: In front of every queue's name.
    prefix: str
    #: Signs requests made by hand: (access key, secret key, token).
    keys: Callable[[], tuple[str, str, str | None]]
    #: AWS itself, where counts and short polls may be behind the truth.
    remote: bool = False
    #: Asked before each call: whether the run was interrupted.
    stopped: Callable[[], bool] = lambda: False
    #: URLs of queues that are there and were made here, to be deleted.
    made: dict[str, None] = field(default_factory=dict)


class Bench:
    """One case's hands. Queues that it makes are deleted by :meth:`clean`."""

    def __init__(self, site: Site, case_number: int, seconds: float = 0) -> None:
        self.site = site
        self.remote = site.remote
        self.tape = Tape()
        self._name = f"{site.prefix}{case_number}"
        self._queues = 0
        self._made: list[str] = []
        self._ends = time.monotonic() + seconds * (3 if site.remote else 2) + SPARE_S

    # -- calls ---------------------------------------------------------------------

    def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a call, without ``ResponseMetadata``. A queue that it makes is deleted in the end.

        Raises:
            ClientError: the server refuses it.
            Overrun, Stopped: the case is over.
        """
        self.look()
        from botocore.exceptions import ClientError

        method = getattr(self.site.client, _snake(operation))
        try:
            answer: dict[str, Any] = method(**parameters)
        except ClientError as error:
            self.tape.refusal(operation, parameters, error.response)
            raise
        answer = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
        self.tape.answer(operation, parameters, answer)
        if operation == "CreateQueue" and "QueueUrl" in answer:
            self._made.append(answer["QueueUrl"])
            self.site.made[answer["QueueUrl"]] = None
        return answer

    def look(self) -> None:
        """Whether the case may go on. Raises Overrun or Stopped."""
        if self.site.stopped():
            raise Stopped
        if time.monotonic() > self._ends:
            raise Overrun("the case took longer than it may")

    def refused(
        self,
        operation: str,
        code: str,
        message: str | None = None,
        *,
        shape: str | None = None,
        status: int | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """The call is refused with this code, and text, shape and HTTP status where given. Returns the error."""
        from botocore.exceptions import ClientError

        try:
            self.call(operation, **parameters)
        except ClientError as error:
            response: dict[str, Any] = error.response
        else:
            raise Differs(f"{operation} is accepted, where AWS refuses it with {code}")
        found = response["Error"]
        self.equal(f"{operation}'s error code", found.get("Code"), code)
        if shape is not None:
            self.equal(f"{operation}'s error shape", found.get("QueryErrorCode", found.get("Code")), shape)
        if message is not None:
            self.equal(f"{operation}'s error text", found.get("Message"), message)
        if status is not None:
            self.equal(f"{operation}'s HTTP status", response["ResponseMetadata"]["HTTPStatusCode"], status)
        return dict(found)

    # -- comparisons -----------------------------------------------------------------

    def equal(self, what: str, found: Any, expected: Any) -> None:
        if found != expected:
            raise Differs(f"{what}: {_short(found)}, where AWS has {_short(expected)}")

    def true(self, condition: object, otherwise: str) -> None:
        if not condition:
            raise Differs(otherwise)

    def keys(self, what: str, found: dict[str, Any], *expected: str) -> None:
        """Exactly these fields are in the answer."""
        self.equal(f"the fields of {what}", sorted(found), sorted(expected))

    def eventually(self, what: str, look: Callable[[], Any], expected: Any) -> None:
        """What *look* finds is *expected*: at once, but on AWS itself within its minute."""
        until = time.monotonic() + (SETTLE_S if self.remote else 0)
        while (found := look()) != expected and time.monotonic() < until:
            self.look()
            time.sleep(1)
        self.equal(what, found, expected)

    # -- waits -----------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Let this much time pass on the server, and a little more."""
        until = time.monotonic() + seconds + (1.0 if self.remote else 0.2)
        while (left := until - time.monotonic()) > 0:
            self.look()
            time.sleep(min(left, 1.0))

    # -- queues ------------------------------------------------------------------------

    def name(self, suffix: str = "") -> str:
        """A name that no queue had yet."""
        self._queues += 1
        return f"{self._name}-{self._queues}{suffix}"

    def create(self, name: str, attributes: dict[str, str] | None = None, **parameters: Any) -> str:
        """CreateQueue; the queue is deleted when the case is over. Returns its URL."""
        if attributes is not None:
            parameters["Attributes"] = attributes
        url: str = self.call("CreateQueue", QueueName=name, **parameters)["QueueUrl"]
        return url

    def queue(self, **attributes: str) -> str:
        """A new standard queue's URL."""
        return self.create(self.name(), attributes or None)

    def fifo(self, **attributes: str) -> str:
        """A new FIFO queue's URL."""
        return self.create(self.name(".fifo"), {"FifoQueue": "true", **attributes})

    def dead_letters(self, receives: int = 1, *, fifo: bool = False, **attributes: str) -> tuple[str, str]:
        """A queue with a dead-letter queue; the URLs of both."""
        make = self.fifo if fifo else self.queue
        dead = make()
        policy = {"deadLetterTargetArn": self.arn(dead), "maxReceiveCount": str(receives)}
        return make(RedrivePolicy=json.dumps(policy), **attributes), dead

    def arn(self, url: str) -> str:
        return self.attribute(url, "QueueArn")

    def attributes(self, url: str, *names: str) -> dict[str, str]:
        answer = self.call("GetQueueAttributes", QueueUrl=url, AttributeNames=list(names or ("All",)))
        found: dict[str, str] = answer.get("Attributes", {})
        return found

    def attribute(self, url: str, name: str) -> str:
        """One attribute, or "" where the queue has none of that name."""
        return self.attributes(url, name).get(name, "")

    def counts(self, url: str) -> tuple[int, int, int]:
        """Visible, in flight, delayed."""
        front = "ApproximateNumberOfMessages"
        found = self.attributes(url, front, front + "NotVisible", front + "Delayed")
        return int(found[front]), int(found[front + "NotVisible"]), int(found[front + "Delayed"])

    def clean(self) -> None:
        """Delete the queues that the case made. An error that says that one is gone is none."""
        while self._made:
            remove(self.site, self._made.pop())

    # -- messages ------------------------------------------------------------------------

    def send(
        self, url: str, body: str = "body", group: str | None = None, dedup: str | None = None, **more: Any
    ) -> dict[str, Any]:
        """SendMessage. On a FIFO queue the group is "g" and the deduplication id the body where none are given."""
        if url.endswith(".fifo"):
            more = {"MessageGroupId": group or "g", "MessageDeduplicationId": dedup or body, **more}
        elif group is not None:
            more["MessageGroupId"] = group
        return self.call("SendMessage", QueueUrl=url, MessageBody=body, **more)

    def receive(self, url: str, limit: int = 10, **more: Any) -> list[dict[str, Any]]:
        """One ReceiveMessage. On AWS it asks all of its servers, which is what a wait time does."""
        if self.remote:
            more.setdefault("WaitTimeSeconds", 1)
        answer = self.call("ReceiveMessage", QueueUrl=url, MaxNumberOfMessages=limit, **more)
        messages: list[dict[str, Any]] = answer.get("Messages", [])
        return messages

    def take(self, url: str, count: int = 1, **more: Any) -> list[dict[str, Any]]:
        """*count* messages, which are there: on AWS in several receives if need be. Raises Differs if they are not."""
        taken: list[dict[str, Any]] = []
        for _ in range(5 if self.remote else 1):
            taken += self.receive(url, min(10, count - len(taken)), **more)
            if len(taken) >= count:
                break
        self.equal("the number of messages received", len(taken), count)
        return taken

    def one(self, url: str, **more: Any) -> dict[str, Any]:
        """The message that is there. Raises Differs if none is."""
        return self.take(url, 1, **more)[0]

    def bodies(self, url: str, limit: int = 10, **more: Any) -> list[str]:
        return [message["Body"] for message in self.receive(url, limit, **more)]

    def nothing(self, url: str, why: str = "") -> None:
        """A receive finds nothing."""
        found = self.bodies(url)
        if found:
            raise Differs(f"a receive finds {_short(found)}{', ' + why if why else ''}, where AWS gives nothing")

    def delete(self, url: str, message: dict[str, Any]) -> None:
        self.call("DeleteMessage", QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    def change(self, url: str, message: dict[str, Any], seconds: int) -> None:
        handle = message["ReceiptHandle"]
        self.call("ChangeMessageVisibility", QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=seconds)


def remove(site: Site, url: str) -> None:
    """Delete a queue that was made here."""
    from botocore.exceptions import ClientError

    try:
        site.client.delete_queue(QueueUrl=url)
    except ClientError as error:
        if not error.response["Error"]["Code"].endswith(("NonExistentQueue", "QueueDoesNotExist")):
            raise
    site.made.pop(url, None)


def text(value: str, data_type: str = "String") -> dict[str, str]:
    """A message attribute with text."""
    return {"DataType": data_type, "StringValue": value}


def number(value: str) -> dict[str, str]:
    """A message attribute with a number."""
    return text(value, "Number")


def token(length: int = 6) -> str:
    """Letters and digits that tell this run's queues from those of others."""
    return "".join(random.SystemRandom().choices(string.ascii_lowercase + string.digits, k=length))


def _snake(operation: str) -> str:
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in operation).lstrip("_")


def _short(value: Any) -> str:
    shown = value if isinstance(value, str) else repr(value)
    shown = repr(shown) if isinstance(value, str) else shown
    return shown if len(shown) <= 160 else f"{shown[:150]}… ({len(shown)} characters)"
