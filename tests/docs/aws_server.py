"""moto's server, but for one thing: a long poll of an empty queue answers at once, so that no test waits for nothing.

Nobody else sends while a page is tried, so that waiting could not bring a message.
"""

from __future__ import annotations

import sys
from typing import Any

from moto.server import main
from moto.sqs.models import SQSBackend

_receive = SQSBackend.receive_message


def _receive_now(self: SQSBackend, queue_name: str, count: int, wait: int, *rest: Any, **named: Any) -> Any:
    return _receive(self, queue_name, count, 0, *rest, **named)


if __name__ == "__main__":
    SQSBackend.receive_message = _receive_now  # type: ignore[assignment,method-assign]  # moto has no setting for it
    main(["-H", "127.0.0.1", "-p", sys.argv[1]])
