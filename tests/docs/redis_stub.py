"""The simulation's Redis behind a real port, for machines without redis-server. Commands that block are refused."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections.abc import Callable
from socketserver import BaseRequestHandler, ThreadingTCPServer

from harness.sim.services.redis_engine import Engine, Session
from harness.sim.wire.resp import RequestParser


def _cannot_block(seconds: float, function: Callable[[], None]) -> None:
    raise NotImplementedError(f"{function} in {seconds} s: nothing on these pages blocks")


ENGINE = Engine(lambda: time.time_ns() // 1_000, _cannot_block, random.Random(0), lambda *_: None, 0.0)
LOCK = threading.Lock()


class Connection(BaseRequestHandler):
    """One client: whole requests, one at a time for all clients."""

    def handle(self) -> None:
        requests = RequestParser()
        session = Session(ENGINE, self.request.sendall, self.request.close, lambda: True, self.client_address)
        while data := self.request.recv(65_536):
            for fields in requests.feed(data):
                with LOCK:
                    session.execute(fields)


class Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


if __name__ == "__main__":
    Server(("127.0.0.1", int(sys.argv[1])), Connection).serve_forever()
