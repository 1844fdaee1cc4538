"""Runs a server of somebody else's so that it ends when we do, however we end: ``python -m ... guard PROGRAM ...``.

Servers of our own end with their standard input; those of others do not know that rule.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

from harness.net import child

__all__ = ["guarded", "guarded_pid", "main"]

_GRACE_SECONDS = 3.0


def guarded(command: list[str]) -> list[str]:
    """*command*, ended with the standard input of who runs it."""
    return [sys.executable, "-m", "harness.net.guard", *command]


def guarded_pid(guard: int) -> int:
    """The process id of the program that the process *guard* runs (Linux).

    Raises:
        OSError: *guard* has ended.
        ValueError: it runs nothing.
    """
    with open(f"/proc/{guard}/task/{guard}/children") as children:
        found = children.read().split()
    if not found:
        raise ValueError(f"process {guard} runs nothing")
    return int(found[0])


def main() -> int:
    """Run the program that the arguments name until it ends, standard input ends, or SIGTERM; its exit code."""
    try:
        process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL)
    except OSError as error:
        print(f"{sys.argv[1]}: {error.strerror}", file=sys.stderr)
        return 127
    asked = threading.Event()

    def end() -> None:
        asked.set()
        process.terminate()
        try:
            process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()

    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=end).start())
    child.end_with_parent(end)
    code = process.wait()
    return 0 if asked.is_set() else code if code >= 0 else 128 - code


if __name__ == "__main__":
    # A thread still reads standard input: the interpreter must not wait for it.
    code = main()
    sys.stderr.flush()
    os._exit(code)
