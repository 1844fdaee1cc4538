"""Every touch of private names of the interpreter and of libraries underneath, with self-checks.

What is private may move with a version. Each family has a check that names
the version it cannot serve, so that the harness refuses instead of giving a
wrong verdict.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping
from typing import Any

from harness.errors import EnvironmentFailed

__all__ = [
    "SUPPORTED",
    "check_interpreter",
    "check_threading",
    "current_task",
    "eager_tasks",
    "environ_data",
    "leak",
    "made_in_c",
    "raw_environ",
    "resumes_task",
    "running_loop",
    "set_method",
    "sets_of_tasks",
    "swap_environ",
]

#: The interpreters that the simulation has been seen to work on.
SUPPORTED = ((3, 11), (3, 12), (3, 13))


def check_interpreter() -> None:
    """Refuse an interpreter that the simulation does not know.

    Raises:
        EnvironmentFailed: another minor version, another implementation, or a free-threaded build.
    """
    version = sys.version_info[:2]
    name = f"{sys.implementation.name} {version[0]}.{version[1]}"
    served = ", ".join(f"{major}.{minor}" for major, minor in SUPPORTED)
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise EnvironmentFailed(
            f"harness.sim needs an interpreter with the GIL (CPython {served}); this is a free-threaded {name}"
        )
    if sys.implementation.name != "cpython" or version not in SUPPORTED:
        raise EnvironmentFailed(f"harness.sim runs on CPython {served}; this is {name}")


def check_threading() -> None:
    """Check the private names of ``threading`` and ``concurrent.futures`` that the simulation stands on.

    Raises:
        EnvironmentFailed: one is missing; the message names it and the Python version.
    """
    import concurrent.futures.thread
    import logging
    import queue
    import tempfile
    import threading

    wanted: list[tuple[object, str]] = [
        *((threading, name) for name in ("_allocate_lock", "_CRLock", "_counter", "_active", "_limbo", "_newname")),
        *((threading, name) for name in ("_active_limbo_lock", "_register_atexit", "_time", "_DummyThread")),
        *((concurrent.futures.thread, name) for name in ("_threads_queues", "_shutdown", "_global_shutdown_lock")),
        (concurrent.futures.thread.ThreadPoolExecutor, "_counter"),
        (queue, "_PySimpleQueue"),
    ]
    if sys.version_info >= (3, 13):
        wanted += [(threading, "_start_joinable_thread"), (threading, "_ThreadHandle")]
    else:
        wanted += [(threading, "_start_new_thread"), (threading, "_set_sentinel"), (threading, "_shutdown_locks")]
    wanted += [(logging, "_startTime"), (tempfile, "_name_sequence")]
    missing = [f"{getattr(owner, '__name__', owner)}.{name}" for owner, name in wanted if not hasattr(owner, name)]
    if not hasattr(os.environ, "_data"):
        missing.append("os.environ._data")
    if missing:
        raise EnvironmentFailed(
            f"harness.sim cannot serve Python {sys.version.split()[0]}: {', '.join(missing)} is not there"
        )


def running_loop() -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """asyncio's functions that read and set the running loop of this OS thread."""
    from asyncio.events import _get_running_loop, _set_running_loop

    return _get_running_loop, _set_running_loop


# -- asyncio ---------------------------------------------------------------------------------------


def current_task() -> Callable[[Any], Any]:
    """asyncio's function that tells which task a loop runs."""
    from asyncio.tasks import current_task

    return current_task


def sets_of_tasks() -> list[Any]:
    """The weak sets in which asyncio keeps the tasks of all loops: C code holds them too, but not what is in them."""
    from asyncio import tasks

    found = getattr(tasks, "_all_tasks" if sys.version_info < (3, 12) else "_scheduled_tasks")
    return [found]


def eager_tasks() -> set[Any]:
    """The set in which asyncio keeps the tasks whose first step runs as they are made; C code holds it too."""
    from asyncio import tasks

    found: set[Any] = getattr(tasks, "_eager_tasks", set())  # CPython 3.11 makes no such tasks
    return found


def task_name_counter() -> Callable[[], int]:
    """What counts the tasks of asyncio's class in Python, for their names."""
    from asyncio import tasks

    count: Callable[[], int] = getattr(tasks, "_task_name_counter")  # noqa: B009  (private)
    return count


def made_in_c(kind: type) -> bool:
    """Whether C code makes part of *kind*: an event loop of that sort waits where no shim sees it."""
    heap_type = 1 << 9  # Py_TPFLAGS_HEAPTYPE: what a class statement makes
    return any(not base.__flags__ & heap_type for base in kind.__mro__ if base is not object)


#: What a ready queue calls to resume a task: a type of the C module's, and methods of C and of Python.
_STEP = "TaskStepMethWrapper"
_STEPS = frozenset({"task_wakeup", "TaskWakeupMethWrapper", "__step", "__wakeup", "_Task__step", "_Task__wakeup"})


def resumes_task(callback: Any) -> bool:
    """Whether *callback*, which belongs to a task, resumes it."""
    return type(callback).__name__ == _STEP or getattr(callback, "__name__", "") in _STEPS


#: Where the pointer to a function of a type stands in it, in words (Include/cpython/object.h of 3.11 to 3.13): for
#: the hash after ob_refcnt, ob_type, ob_size, tp_name, tp_basicsize, tp_itemsize, tp_dealloc, tp_vectorcall_offset,
#: tp_getattr, tp_setattr, tp_as_async, tp_repr, tp_as_number, tp_as_sequence and tp_as_mapping; for the initialiser
#: after tp_hash and 21 more, of which tp_dictoffset is the last.
_SLOTS = {"__hash__": 15, "__init__": 37}


def set_method(kinds: tuple[type, ...], name: str, function: Callable[..., Any]) -> Callable[[], None]:
    """Put *function* in the place of a method of types that C made; returns what puts their own back.

    Args:
        kinds: Types that C made, and that have the same method *name*.
        name: ``__hash__``, ``__init__``, or a method that the interpreter calls by name alone.
        function: What takes its place; it is called with the instance first.

    Raises:
        EnvironmentFailed: this interpreter keeps the method elsewhere.
    """
    import gc

    slots = _Slots(kinds, name) if name in _SLOTS else None
    own = [(kind, gc.get_referents(kind.__dict__)[0], kind.__dict__.get(name)) for kind in kinds]

    def put(methods: list[Any], pointer: int | None) -> None:
        for (_, names, _), method in zip(own, methods, strict=True):
            names.pop(name, None) if method is None else names.update({name: method})
        if slots is not None:
            slots.write(pointer)
        for kind in kinds:
            _modified(kind)

    put([function] * len(kinds), slots.by_method if slots is not None else None)
    return lambda: put([method for _, _, method in own], slots.own if slots is not None else None)


class _Slots:
    """Where types of one method, and those that inherit it, keep the pointer to it.

    Raises:
        EnvironmentFailed: not where this interpreter is thought to keep it.
    """

    def __init__(self, kinds: tuple[type, ...], name: str) -> None:
        class Plain:
            pass

        class Methodical:
            def __init__(self) -> None:
                self.number = 0

            def __hash__(self) -> int:
                return self.number

        self._place = _SLOTS[name]
        self.own, self.by_method = self._read(kinds[0]), self._read(Methodical)
        known = self._read(Plain) == self._read(object) and len({self._read(int), self.own, self.by_method}) == 3
        if not known or any(self._read(kind) != self.own for kind in kinds):
            raise EnvironmentFailed(
                f"harness.sim cannot serve Python {sys.version.split()[0]}: "
                f"{kinds[0].__name__}.{name} is not in its place"
            )
        self._family: list[type] = []
        for kind in kinds:
            heirs: list[type] = kind.__subclasses__()
            self._family += [kind, *(heir for heir in heirs if self._read(heir) == self.own)]

    def _at(self, kind: type) -> Any:
        import ctypes

        return ctypes.c_void_p.from_address(id(kind) + self._place * ctypes.sizeof(ctypes.c_void_p))

    def _read(self, kind: type) -> int | None:
        pointer: int | None = self._at(kind).value
        return pointer

    def write(self, pointer: int | None) -> None:
        """Let the family have the method behind *pointer*."""
        for kind in dict.fromkeys(self._family):
            self._at(kind).value = pointer
            _modified(kind)


def _modified(kind: type) -> None:
    """Tell the interpreter that what it remembers of a type is out of date."""
    import ctypes

    ctypes.pythonapi.PyType_Modified(ctypes.py_object(kind))


def environ_data(environ: Mapping[str, str]) -> dict[Any, Any]:
    """*environ* as ``os.environ`` keeps it inside: encoded."""
    real = os.environ
    return {real.encodekey(key): real.encodevalue(value) for key, value in environ.items()}


def raw_environ() -> dict[Any, Any]:
    """What ``os.environ`` keeps inside, encoded. Not a copy."""
    environ: Any = os.environ
    data: dict[Any, Any] = environ._data
    return data


def swap_environ(data: Any) -> Any:
    """Make *data* (of ``environ_data``) what ``os.environ`` shows; returns what it showed before."""
    environ: Any = os.environ
    before = environ._data
    environ._data = data
    if os.supports_bytes_environ:
        bytes_environ: Any = os.environb
        bytes_environ._data = data
    return before


def leak(thing: object) -> None:
    """Keep *thing* for ever, also when the interpreter ends: releasing it would run code."""
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


# -- moto ------------------------------------------------------------------------------------------


def _tables(backends: Any) -> list[tuple[str, dict[Any, Any]]]:
    """The tables that a service keeps beside its backends (S3: which account a bucket is of), copied."""
    return [(name, dict(value)) for name, value in vars(backends).items() if isinstance(value, dict)]


class Moto:
    """moto's backends, called in this process without its mocks.

    Raises:
        EnvironmentFailed: moto is not installed, or this version lacks what is used of it.
    """

    def __init__(self) -> None:
        try:
            import moto
            from moto import backend_index, backends
            from moto.core.base_backend import AccountSpecificBackend, BackendDict
            from moto.core.botocore_stubber import BotocoreStubber
            from moto.core.model_instances import reset_model_data
            from moto.moto_api._internal import mock_random
            from moto.sqs import models
        except ImportError as error:
            raise EnvironmentFailed(
                f"a service that is not simulated needs moto, which is not there ({error}): "
                "pip install 'resilience-harness[moto]'"
            ) from None
        self.version: str = moto.__version__
        self.sqs: Any = models
        self._dicts: Any = BackendDict
        self._reset_model_data: Callable[[], object] = reset_model_data
        self._random: Any = mock_random
        self._index: Any = backend_index
        self._backends: Any = backends
        self._ready: set[str] = set()
        self._stubber: Any = BotocoreStubber()
        self._check(AccountSpecificBackend)
        AccountSpecificBackend.get_session()  # reads files: now, and never again

    def _check(self, accounts: Any) -> None:
        queue, message = self.sqs.Queue, self.sqs.Message
        wanted: list[tuple[Any, str]] = [
            (self._dicts, "_instances"),
            (self._dicts, "reset"),
            (accounts, "get_session"),
            (self._stubber, "process_request"),
            (self._index, "backend_url_patterns"),
            (self._backends, "get_backend"),
            (self._random, "seed"),
            *((self.sqs, name) for name in ("sqs_backends", "unix_time", "unix_time_millis")),
            *((queue, name) for name in ("add_message", "delete_message", "wait_for_messages", "messages")),
            *((message, name) for name in ("mark_received", "change_visibility", "had_receipt_handle", "visible")),
            (message("", ""), "visible_at"),
            (message("", ""), "delayed_until"),
        ]
        missing = [f"{getattr(owner, '__name__', type(owner).__name__)}.{name}" for owner, name in wanted
                   if not hasattr(owner, name)]  # fmt: skip
        if missing:
            raise EnvironmentFailed(
                f"moto {self.version} cannot be used: {', '.join(missing)} is not there. Install moto 5.2.5"
            )

    def set_aside(self) -> Callable[[], None]:
        """Empty every backend; what is returned drops what a run put there and puts back what stood there before."""
        held = [(backends, dict(backends), _tables(backends)) for backends in self._dicts._instances]
        for backends, _, tables in held:
            backends.clear()
            for name, _ in tables:
                vars(backends)[name].clear()
        self._dicts._instances.clear()

        def put_back() -> None:
            self._dicts.reset()
            self._reset_model_data()
            for backends, accounts, tables in held:
                backends.update(accounts)
                for name, content in tables:
                    vars(backends)[name].update(content)
                self._dicts._instances.append(backends)

        return put_back

    def seed(self, number: int) -> None:
        """Let moto's own generator, which its ids come from, begin at *number*."""
        self._random.seed(number)

    def prepare(self, url: str) -> None:
        """Import what answers requests to *url*."""
        host = url.partition("?")[0]
        for service, pattern in self._index.backend_url_patterns:
            if service not in self._ready and pattern.match(host):
                self._ready.add(service)
                backends = self._backends.get_backend(service)
                module: str = getattr(backends, "backend", type(backends)).__module__
                importlib.import_module(module.removesuffix("models") + "urls")

    def answer(self, request: Any) -> tuple[int, Mapping[str, Any], bytes | str] | None:
        """What moto answers to a prepared request of botocore's; ``None`` where it knows no such service."""
        found: tuple[int, Mapping[str, Any], bytes | str] | None = self._stubber.process_request(request)
        return found

    def queues(self) -> list[Any]:
        """Every queue of every account and region that a call has named."""
        return [queue for _, _, backend in self.sqs.sqs_backends.iter_backends() for queue in backend.queues.values()]
