"""The short cut: a call without a failure needs no bytes.

Serialising, signing and parsing a request costs botocore some 300 us and
tells a caller nothing when all goes well. So a call whose parameters are
plainly valid goes straight to :func:`exchange`, if nothing could tell the
difference:

* every event handler of the client is botocore's own,
* its retry mode is legacy or standard (adaptive never: its limiter delays
  requests by what it sees of them).

A success gives back to the retry quota what botocore's handler would. If the
call fails, by a fault or a refusal of the service, it goes through the full
path, which is told the failure that was met: botocore parses it and retries,
and those later attempts are requests in full. What cannot take the
short cut pays less on the full path: the user agent is built once, and a
client with static keys and no handlers of the user's does not sign (the
service then looks at the process's clock instead of the signature's date).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from botocore.credentials import Credentials

from harness.sim import world as _world
from harness.sim.wire import botocore_clients as _clients
from harness.sim.wire import botocore_privates as _privates
from harness.sim.wire.botocore_exchange import Call, Failed, exchange, run_state, suffix_of

__all__ = ["plainly_valid", "replacements", "short_cut", "wrap"]

#: Services whose handlers in botocore change nothing on the way in or out of a call without an error.
SERVICES = frozenset({"cloudwatch", "sqs"})

_enabled = True
_MARK = "_harness_wire"


def short_cut(enabled: bool) -> bool:
    """Allow or forbid the short cut in this process; returns what was in force. Histories are the same either way."""
    global _enabled
    before, _enabled = _enabled, enabled
    return before


# -- parameters that are plainly valid ------------------------------------------------

Check = Callable[[Any], bool]
_PLAIN: dict[str, type] = {"string": str, "integer": int, "long": int, "boolean": bool}


def _check_for(shape: Any) -> Check:
    """Accepts a value of exactly the shape's type; what it does not accept may still be valid."""
    kind = shape.type_name
    metadata = shape.metadata
    if getattr(shape, "is_document_type", False) or metadata.get("union"):
        return lambda value: False
    low = metadata.get("min", 0)
    if kind == "structure":
        return _check_for_structure(shape)
    if kind == "string":
        return lambda value: value.__class__ is str and len(value) >= low
    if kind in ("integer", "long"):
        if "min" in metadata:
            return lambda value: value.__class__ is int and value >= low
        return lambda value: value.__class__ is int
    if kind == "boolean":
        return lambda value: value.__class__ is bool
    if kind in ("double", "float"):
        return lambda value: value.__class__ is float or value.__class__ is int
    if kind == "timestamp":
        # Which zone a naive one is taken to be in, the serialiser decides.
        return lambda value: value.__class__ is datetime and value.tzinfo is not None
    if kind == "blob":
        return lambda value: value.__class__ is bytes and len(value) >= low
    if kind == "list":
        member = _check_for(shape.member)
        return lambda value: value.__class__ is list and len(value) >= low and all(map(member, value))
    if kind == "map":
        key, item = _check_for(shape.key), _check_for(shape.value)
        return lambda value: (
            value.__class__ is dict and len(value) >= low and all(map(key, value)) and all(map(item, value.values()))
        )
    return lambda value: False


def _check_for_structure(shape: Any) -> Check:
    members = {name: _check_for(member) for name, member in shape.members.items()}
    # For most members the class says all: no call is needed to look at it.
    plain = {
        name: _PLAIN[member.type_name]
        for name, member in shape.members.items()
        if member.type_name in _PLAIN and "min" not in member.metadata
    }
    required = tuple(shape.required_members)

    def check(value: Any) -> bool:
        if value.__class__ is not dict:
            return False
        for name in required:
            if name not in value:
                return False
        for name, item in value.items():
            if plain.get(name) is item.__class__:
                continue
            accepts = members.get(name)
            if accepts is None or not accepts(item):
                return False
        return True

    return check


def plainly_valid(shape: Any) -> Check:
    """The check for a shape, made once."""
    return _clients.shared(("check", id(shape)), lambda: _check_for(shape), shape)


def _tells_times(shape: Any, above: frozenset[str]) -> bool:
    """Whether a timestamp stands anywhere in *shape*."""
    if shape.type_name == "timestamp":
        return True
    if shape.name in above:
        return False
    above = above | {shape.name}
    if shape.type_name == "structure":
        return any(_tells_times(member, above) for member in shape.members.values())
    if shape.type_name == "list":
        return _tells_times(shape.member, above)
    return shape.type_name == "map" and _tells_times(shape.value, above)


class _Operation:
    """What the short cut knows of one operation of one service model."""

    __slots__ = ("accepts", "content_type", "point")

    def __init__(self, service: str, model: Any, name: str) -> None:
        operation = model.operation_model(name)
        shape = operation.input_shape
        self.point = f"aws.{service}.{name}"
        self.accepts: Check = plainly_valid(shape) if shape is not None else lambda value: value == {}
        if operation.output_shape is not None and _tells_times(operation.output_shape, frozenset()):
            self.accepts = lambda value: False  # botocore's parser gives them the process's time zone
        self.content_type = f"application/x-amz-json-{model.metadata.get('jsonVersion', '1.0')}"


class _Known:
    """What the short cut knows of one client."""

    __slots__ = ("emitter", "mode", "operations", "quota", "region", "service", "suffix", "timeout_us")

    def __init__(self, client: Any) -> None:
        model = client.meta.service_model
        config = client.meta.config
        self.service: str = model.service_name
        self.region: str = client.meta.region_name
        self.suffix = suffix_of(self.region)
        self.emitter = _privates.emitter_of(client.meta.events)
        self.mode: str = (config.retries or {}).get("mode", "legacy")
        self.quota = _privates.quota_of(client) if self.mode == "standard" else None
        timeout = _privates.read_timeout(client._endpoint.http_session)
        self.timeout_us = None if timeout is None else round(timeout * 1_000_000)
        self.operations: dict[str, _Operation] | None = None
        plain = (
            self.service in SERVICES
            and model.resolved_protocol == "json"
            and self.mode in ("legacy", "standard")
            and (self.mode == "legacy" or self.quota is not None)
            and not config.use_fips_endpoint
            and not config.use_dualstack_endpoint
            and type(client._request_signer._credentials) is Credentials
        )
        if plain:
            self.operations = _clients.shared(("short cut", id(model)), dict, model)

    def operation(self, client: Any, name: str) -> _Operation | None:
        """The operation *name* if a call of it may take the short cut now, as far as the client goes."""
        operations = self.operations
        if operations is None or not _privates.all_own(self.emitter):
            return None
        known = operations.get(name)
        if known is None:
            known = operations[name] = _Operation(self.service, client.meta.service_model, name)
        return known


# -- the call ------------------------------------------------------------------------------------


def wrap(original: Callable[..., Any]) -> Callable[..., Any]:
    """``BaseClient._make_api_call`` with the short cut before it."""
    recorder = _privates.history.get_global_history_recorder()

    def _make_api_call(self: Any, operation_name: str, api_params: dict[str, Any]) -> Any:
        world = _world.current()
        if world is None or world.kernel.current is None:
            return original(self, operation_name, api_params)
        state = run_state(world)
        if not _enabled or not state.short:
            return original(self, operation_name, api_params)
        known: _Known | None = self.__dict__.get(_MARK)
        if known is None:
            known = self.__dict__[_MARK] = _Known(self)
        operation = known.operation(self, operation_name)
        if operation is None or not operation.accepts(api_params) or recorder._enabled or _privates.has_trace():
            return original(self, operation_name, api_params)
        kernel = world.kernel
        actor = kernel.current
        assert actor is not None
        now_us, wall_us = kernel.now_us, actor.process.wall_us
        call = Call(
            operation.point + known.suffix,
            known.service,
            operation_name,
            known.region,
            api_params,
            known.timeout_us,
            now_us + wall_us if wall_us is not None else actor.process.wall_clock_us(now_us),
        )
        try:
            result = exchange(world, call)
        except Failed as failed:
            state.replies[actor] = failed
            try:
                return original(self, operation_name, api_params)
            finally:
                state.replies.pop(actor, None)
        assert isinstance(result, dict)  # these services are ours
        quota = known.quota
        if quota is not None and quota._available_capacity != quota._max_capacity:
            quota.release(_privates.QUOTA_OF_A_SUCCESS)
        request_id, date = state.answered(kernel.now_us)
        result["ResponseMetadata"] = {
            "RequestId": request_id,
            "HTTPStatusCode": 200,
            "HTTPHeaders": {"x-amzn-requestid": request_id, "date": date, "content-type": operation.content_type},
            "RetryAttempts": 0,
        }
        return result

    return _make_api_call


# -- a cheaper full path ----------------------------------------------------------------------------


class _Uuid:
    """Stands for the uuid module in ``botocore.endpoint``: a request's invocation id is not drawn from the user's."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def uuid4(self) -> Any:
        world = _world.current()
        if world is None:
            return self._real.uuid4()
        state = run_state(world)
        state.invocations += 1
        return self._real.UUID(int=0x4000_8000_0000_0000_0000 | state.invocations << 96)


def _memoise_user_agent(original: Callable[..., str]) -> Callable[..., str]:
    def to_string(self: Any) -> str:
        if _world.current() is None:
            return original(self)
        text: str | None = self.__dict__.get("_harness_text")
        if text is None:
            text = self.__dict__["_harness_text"] = original(self)
        return text

    return to_string


def _skip_signature(original: Callable[..., Any]) -> Callable[..., Any]:
    def sign(self: Any, operation_name: str, request: Any, *args: Any, **kwargs: Any) -> Any:
        if (
            not args
            and not kwargs
            and self._service_id.hyphenize() == "sqs"
            and _world.current() is not None
            and type(self._credentials) is Credentials
            and _privates.all_own(_privates.emitter_of(self._event_emitter))
        ):
            return None
        return original(self, operation_name, request, *args, **kwargs)

    return sign


def replacements() -> list[tuple[Any, str, Any]]:
    """What to put where: (owner, name, value)."""
    emitter = _privates.hooks.HierarchicalEmitter
    endpoint, signer, agent = _privates.endpoint, _privates.signers.RequestSigner, _privates.useragent.UserAgentString
    return [
        (emitter, "_register_section", _privates.watch_register(emitter._register_section)),
        (emitter, "unregister", _privates.watch_unregister(emitter.unregister)),
        (endpoint, "uuid", _Uuid(endpoint.uuid)),
        (agent, "to_string", _memoise_user_agent(agent.to_string)),
        (signer, "sign", _skip_signature(signer.sign)),
    ]
