"""The last line: an audit hook that refuses what reaches the operating system from inside an actor.

It sees the C functions whatever name they were called by: a socket's
connect, DNS, fork, exec, and a real ``time.sleep`` that escaped the shims.
An audit hook cannot be removed (PEP 578): after ``uninstall()`` it stays as
one comparison for each event.
"""

from __future__ import annotations

import sys

from harness.sim import real, world
from harness.sim.patches.refusal import refuse

__all__ = ["REFUSED", "arm", "disarm"]

_DEPENDENCY = "Declare it as a dependency of the scenario (http=..., effects=...), or hand the code a stub"
_NO_PROCESS = "A simulation is one process: start a thread, or declare another Process in the scenario"

#: Audit events that are refused inside an actor: what they are, and the remedy.
REFUSED = {
    "socket.connect": ("a real connection", _DEPENDENCY),
    "socket.bind": ("a real listening socket", _DEPENDENCY),
    "socket.sendto": ("a real datagram", _DEPENDENCY),
    "socket.sendmsg": ("a real datagram", _DEPENDENCY),
    "socket.getaddrinfo": ("a real DNS look-up", _DEPENDENCY),
    "socket.gethostbyname": ("a real DNS look-up", _DEPENDENCY),
    "socket.gethostbyaddr": ("a real DNS look-up", _DEPENDENCY),
    "socket.getnameinfo": ("a real DNS look-up", _DEPENDENCY),
    "subprocess.Popen": ("a subprocess", _NO_PROCESS),
    "os.fork": ("a fork", _NO_PROCESS),
    "os.forkpty": ("a fork", _NO_PROCESS),
    "os.exec": ("an exec", _NO_PROCESS),
    "os.posix_spawn": ("a subprocess", _NO_PROCESS),
    "os.spawn": ("a subprocess", _NO_PROCESS),
    "os.system": ("a subprocess", _NO_PROCESS),
    "pty.spawn": ("a subprocess", _NO_PROCESS),
    "time.sleep": (
        "a real time.sleep, kept where the shims do not reach,",
        "Import harness before the module that keeps it: under pytest add chaos = true under "
        "[tool.pytest.ini_options] in pyproject.toml",
    ),
}

_armed = False
_added = False
_get_ident = real.get_ident


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _armed:
        return
    run = world._world
    if run is None or event not in REFUSED:
        return
    if run.thread_id != _get_ident() or run.kernel.current is None:
        return
    refuse(*REFUSED[event])


def arm() -> None:
    """Refuse from now on; adds the hook the first time."""
    global _added, _armed
    if not _added:
        _added = True
        sys.addaudithook(_hook)
    _armed = True


def disarm() -> None:
    """Let everything pass."""
    global _armed
    _armed = False
