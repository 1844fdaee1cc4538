"""Clients: those made inside a run are made cheap, those made before it are renewed.

Making a client reads models from disk, builds classes and rules, and copies
handlers; a new session does all of it again. Inside a run what depends on
botocore's data alone is made once a process and shared: data files, service
models, endpoint rules, client classes.

A client made before the run carries state of the real world: a retry quota
that earlier calls used up, an adaptive limiter that lives by the real clock.
Both start anew with each run.
"""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

import botocore.session
from botocore.exceptions import UnknownServiceError
from botocore.model import ServiceModel

from harness.sim import world as _world
from harness.sim.wire import botocore_privates as _privates

__all__ = ["find_early", "forget", "renew", "replacements", "service_model", "shared"]

_T = TypeVar("_T")

#: Made once a process: value and the objects that its key names by identity, which must live as long.
_shared: dict[tuple[Any, ...], tuple[Any, tuple[Any, ...]]] = {}
_quotas: weakref.WeakSet[Any] = weakref.WeakSet()
_limiters: weakref.WeakSet[Any] = weakref.WeakSet()


def shared(key: tuple[Any, ...], make: Callable[[], _T], *alive: Any) -> _T:
    """What *make* made the first time for *key*; *alive* are the objects whose ids are in it."""
    found = _shared.get(key)
    if found is None:
        found = _shared[key] = (make(), alive)
    value: _T = found[0]
    return value


def service_model(name: str) -> Any | None:
    """botocore's model of a service; ``None`` if it knows none of that name."""

    def make() -> Any | None:
        loader = botocore.session.get_session().get_component("data_loader")
        try:
            return ServiceModel(loader.load_service_model(name, "service-2"), service_name=name)
        except UnknownServiceError:
            return None

    return shared(("model", name), make)


# -- clients from before ---------------------------------------------------------------


def find_early() -> None:
    """Find the quotas and limiters of clients that exist already."""
    quota, limiter = _privates.quota.RetryQuota, _privates.adaptive.ClientRateLimiter
    for thing in gc.get_objects():
        # type(), not isinstance(): that would ask strangers' proxies for their class.
        kind = type(thing)
        if kind is quota:
            _quotas.add(thing)
        elif kind is limiter:
            _limiters.add(thing)


def forget() -> None:
    """Drop everything that was made or found."""
    _shared.clear()
    _quotas.clear()
    _limiters.clear()


def renew() -> None:
    """At the start of a run: retry quotas and limiters of clients from before start anew."""
    for retry_quota in list(_quotas):
        _privates.refill(retry_quota)
    for limiter in list(_limiters):
        _privates.restart(limiter)


def _collect(original: Callable[..., None], into: weakref.WeakSet[Any]) -> Callable[..., None]:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        into.add(self)

    return __init__


# -- clients made inside -----------------------------------------------------------------


def _share_data(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    """A loader's method, answered once for the same search path and arguments."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        if _world.current() is None:
            return original(self, *args, **kwargs)
        key = (name, type(self), tuple(self._search_paths), args, tuple(sorted(kwargs.items())))
        return shared(key, lambda: original(self, *args, **kwargs))

    return method


def _share_model(original: Callable[..., Any]) -> Callable[..., Any]:
    def _load_service_model(self: Any, service_name: str, api_version: str | None = None) -> Any:
        if _world.current() is None:
            return original(self, service_name, api_version)
        data = self._loader.load_service_model(service_name, "service-2", api_version=api_version)
        key = ("service model", service_name, id(data))
        return shared(key, lambda: original(self, service_name, api_version), data)

    return _load_service_model


def _share_class(original: Callable[..., Any]) -> Callable[..., Any]:
    def _create_client_class(self: Any, service_name: str, model: Any) -> Any:
        emitter = _privates.emitter_of(self._event_emitter)
        if _world.current() is None or not _privates.is_shared_class(service_name) or not _privates.all_own(emitter):
            return original(self, service_name, model)
        return shared(("class", service_name, id(model)), lambda: original(self, service_name, model), model)

    return _create_client_class


def _share_rules(original: Any) -> Callable[..., Any]:
    def EndpointProvider(*args: Any, **kwargs: Any) -> Any:
        if _world.current() is None:
            return original(*args, **kwargs)
        given = (*args, *(kwargs[name] for name in sorted(kwargs)))
        key = ("rules", len(args), *sorted(kwargs), *(_mark(value) for value in given))
        return shared(key, lambda: original(*args, **kwargs), *given)

    return EndpointProvider


def _share_verification(original: Callable[..., bool]) -> Callable[..., bool]:
    """Whether a handler takes keyword arguments: asked some 140 times for botocore's own by each new session."""

    def accepts_kwargs(handler: Any) -> bool:
        if _world.current() is None or not _privates.is_own(handler) or hasattr(handler, "__self__"):
            return original(handler)
        return shared(("kwargs", id(handler)), lambda: original(handler), handler)

    return accepts_kwargs


def _share_aliases(original: Callable[..., str]) -> Callable[..., str]:
    def _alias_event_name(self: Any, event_name: str) -> str:
        known: str | None = self._alias_name_cache.get(event_name)
        if known is not None:
            return known
        if _world.current() is None:
            return original(self, event_name)
        aliases = self._event_aliases
        alias = shared(("alias", id(aliases), event_name), lambda: original(self, event_name), aliases)
        self._alias_name_cache[event_name] = alias
        return alias

    return _alias_event_name


def _share_tls(original: Callable[..., Any]) -> Callable[..., Any]:
    """One TLS context for all: no connection is made in a run."""

    def create_urllib3_context(*args: Any, **kwargs: Any) -> Any:
        if _world.current() is None:
            return original(*args, **kwargs)
        return shared(("tls", args, tuple(sorted(kwargs.items()))), lambda: original(*args, **kwargs))

    return create_urllib3_context


def _mark(value: Any) -> Any:
    """Tells values apart: plain ones by themselves, botocore's shared data by identity."""
    if isinstance(value, (frozenset, set, list, tuple)):
        return tuple(sorted(map(str, value)))
    return id(value) if isinstance(value, dict) else value


def replacements() -> list[tuple[Any, str, Any]]:
    """What to put where: (owner, name, value)."""
    loader, creator = _privates.loaders.Loader, _privates.client.ClientCreator
    quota, limiter = _privates.quota.RetryQuota, _privates.adaptive.ClientRateLimiter
    regions, hooks, session = _privates.regions, _privates.hooks, _privates.httpsession
    aliaser = hooks.EventAliaser
    data = [
        (loader, name, _share_data(getattr(loader, name), name))
        for name in (
            "list_available_services",
            "determine_latest_version",
            "list_api_versions",
            "load_service_model",
            "load_data_with_path",
            "load_data",
        )
    ]
    return [
        *data,
        (creator, "_load_service_model", _share_model(creator._load_service_model)),
        (creator, "_create_client_class", _share_class(creator._create_client_class)),
        (regions, "EndpointProvider", _share_rules(regions.EndpointProvider)),
        (hooks, "accepts_kwargs", _share_verification(hooks.accepts_kwargs)),
        (aliaser, "_alias_event_name", _share_aliases(aliaser._alias_event_name)),
        (session, "create_urllib3_context", _share_tls(session.create_urllib3_context)),
        (quota, "__init__", _collect(quota.__init__, _quotas)),
        (limiter, "__init__", _collect(limiter.__init__, _limiters)),
    ]
