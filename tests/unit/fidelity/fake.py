"""A client that answers by a script, and a site around it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from harness.fidelity.bench import Site


class Client:
    """Answers each operation by the function of its name; remembers the calls."""

    def __init__(self, **answers: Callable[..., Any]) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._answers = answers

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(**parameters: Any) -> Any:
            self.calls.append((name, parameters))
            return self._answers[name](**parameters)

        return call


def refusal(code: str, message: str = "no", status: int = 400, shape: str | None = None) -> ClientError:
    error = {"Code": code, "Message": message, **({"QueryErrorCode": shape} if shape else {})}
    return ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, "Operation")  # type: ignore[typeddict-item,typeddict-unknown-key]


def site(client: Any) -> Site:
    return Site(client, "http://127.0.0.1:1", "us-east-1", "test-", lambda: ("a", "b", None))


def queues() -> Client:
    """A client whose queues can be made and deleted."""
    return Client(
        create_queue=lambda QueueName, **_: {"QueueUrl": f"http://127.0.0.1:1/0/{QueueName}", "ResponseMetadata": {}},
        delete_queue=lambda QueueUrl: {},
    )
