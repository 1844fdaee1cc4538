"""The real functions, bound before any shim is installed: what the harness itself uses.

``from harness.sim import real; real.monotonic()`` is the machine's
clock also inside a run.
"""

from __future__ import annotations

import _signal as _c_signal  # type: ignore[import-not-found]  # typeshed has the wrapper only
import _thread
import atexit as _atexit
import concurrent.futures.thread as _executor
import os as _os
import queue as _queue
import random as _random
import select as _select
import signal as _signal
import socket as _socket
import ssl as _ssl
import threading as _threading
import uuid as _uuid
from _thread import RLock, _local, allocate_lock, get_ident, get_native_id, start_new_thread
from time import (
    asctime,
    clock_gettime,
    clock_gettime_ns,
    ctime,
    gmtime,
    localtime,
    monotonic,
    monotonic_ns,
    perf_counter,
    perf_counter_ns,
    process_time,
    process_time_ns,
    sleep,
    strftime,
    thread_time,
    thread_time_ns,
    time,
    time_ns,
)
from typing import Any as _Any

LockType = type(allocate_lock())
RLockType = type(RLock())
local = _local

current_thread = _threading.current_thread
main_thread = _threading.main_thread
enumerate_threads = _threading.enumerate
active_count = _threading.active_count
excepthook = _threading.excepthook
register_atexit: _Any = _threading._register_atexit  # type: ignore[attr-defined]  # compat checks these
thread_counter: _Any = _threading._counter  # type: ignore[attr-defined]
pool_counter: _Any = _executor.ThreadPoolExecutor._counter  # type: ignore[attr-defined]
pool_shutdown: _Any = _executor._shutdown
set_sentinel: _Any = getattr(_thread, "_set_sentinel", None)  # until 3.12
start_joinable_thread: _Any = getattr(_thread, "start_joinable_thread", None)  # since 3.13, as are the next two
ThreadHandle: _Any = getattr(_thread, "_ThreadHandle", None)
make_thread_handle: _Any = getattr(_thread, "_make_thread_handle", None)
SimpleQueue = _queue.SimpleQueue
ThreadPoolExecutor = _executor.ThreadPoolExecutor

# Of the C module: the wrappers in signal.py make enum members of everything, at ten times the cost.
c_signal = _c_signal.signal
c_getsignal = _c_signal.getsignal
signal = _signal.signal
getsignal = _signal.getsignal
setitimer = _signal.setitimer
getitimer = _signal.getitimer
alarm = _signal.alarm
pause = _signal.pause
raise_signal = _signal.raise_signal
pthread_kill = _signal.pthread_kill
pthread_sigmask: _Any = _signal.pthread_sigmask
siginterrupt = _signal.siginterrupt
set_wakeup_fd = _signal.set_wakeup_fd
sigwait: _Any = _signal.sigwait
sigwaitinfo: _Any = getattr(_signal, "sigwaitinfo", None)  # not on macOS, as is the next
sigtimedwait: _Any = getattr(_signal, "sigtimedwait", None)
kill = _os.kill
killpg = _os.killpg
abort = _os.abort
os_exit = _os._exit
urandom = _os.urandom
RAND_bytes = _ssl.RAND_bytes
getrandom: _Any = getattr(_os, "getrandom", None)  # not on macOS
uuid1 = _uuid.uuid1
getnode = _uuid.getnode
Random = _random.Random
random_seed = _random.Random.seed
select = _select.select
socket = _socket.socket
create_connection = _socket.create_connection
getaddrinfo = _socket.getaddrinfo
gethostbyname = _socket.gethostbyname
gethostname = _socket.gethostname
socketpair = _socket.socketpair
getfqdn = _socket.getfqdn
DEFAULT_TIMEOUT: _Any = _socket._GLOBAL_DEFAULT_TIMEOUT  # type: ignore[attr-defined]  # create_connection's default
atexit_register = _atexit.register
atexit_unregister = _atexit.unregister

__all__ = [
    "DEFAULT_TIMEOUT",
    "LockType",
    "RAND_bytes",
    "RLock",
    "RLockType",
    "Random",
    "SimpleQueue",
    "ThreadHandle",
    "ThreadPoolExecutor",
    "abort",
    "active_count",
    "alarm",
    "allocate_lock",
    "asctime",
    "atexit_register",
    "atexit_unregister",
    "c_getsignal",
    "c_signal",
    "clock_gettime",
    "clock_gettime_ns",
    "create_connection",
    "ctime",
    "current_thread",
    "enumerate_threads",
    "excepthook",
    "get_ident",
    "get_native_id",
    "getaddrinfo",
    "getfqdn",
    "gethostbyname",
    "gethostname",
    "getitimer",
    "getnode",
    "getrandom",
    "getsignal",
    "gmtime",
    "kill",
    "killpg",
    "local",
    "localtime",
    "main_thread",
    "make_thread_handle",
    "monotonic",
    "monotonic_ns",
    "os_exit",
    "pause",
    "perf_counter",
    "perf_counter_ns",
    "pool_counter",
    "pool_shutdown",
    "process_time",
    "process_time_ns",
    "pthread_kill",
    "pthread_sigmask",
    "raise_signal",
    "random_seed",
    "register_atexit",
    "select",
    "set_sentinel",
    "set_wakeup_fd",
    "setitimer",
    "siginterrupt",
    "signal",
    "sigtimedwait",
    "sigwait",
    "sigwaitinfo",
    "sleep",
    "socket",
    "socketpair",
    "start_joinable_thread",
    "start_new_thread",
    "strftime",
    "thread_counter",
    "thread_time",
    "thread_time_ns",
    "time",
    "time_ns",
    "urandom",
    "uuid1",
]
