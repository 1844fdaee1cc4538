"""fakeredis behind a TCP port, as a process of its own: where no redis-server is installed."""

from __future__ import annotations

import sys
import threading

from harness.net import child

__all__ = ["main"]


def main() -> int:
    """Serve on a free loopback port until standard input ends."""
    from fakeredis import TcpFakeServer

    server = TcpFakeServer(("127.0.0.1", 0), server_type="redis")
    host, port = server.server_address[:2]
    ended = threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    child.announce({"address": f"{host!s}:{port}"})
    child.end_with_parent(ended.set)
    ended.wait()
    server.shutdown()
    server.server_close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
