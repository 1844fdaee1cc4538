"""A retry policy at work: what the function under it does, drawn up front, and what then happened."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st

from harness.properties.bench import Bench, run
from harness.properties.contract import Function, RetryContract, is_async, make_error, one_or_more

__all__ = ["Act", "Attempt", "Case", "Trace", "Use", "carry_out", "cases", "essentials", "smaller", "told"]

#: What the function does: succeed, fail in a way that the contract names or in one that it does not, be interrupted,
#: or use the same policy inside.
KINDS = ("ok", "transient", "permanent", "timeout", "interrupt", "cancelled", "nested")
_WORDS = {
    "ok": "success",
    "transient": "a transient failure",
    "permanent": "a permanent failure",
    "timeout": "the builtin TimeoutError",
    "interrupt": "KeyboardInterrupt",
    "cancelled": "CancelledError",
    "nested": "success, after a retried call by the same policy inside",
}

#: What a success returns. Falsy values come first after the plain one: a policy may take them for "nothing yet".
VALUES: tuple[Any, ...] = ("done", None, 0, "", False, (), 0.0, "x" * 40)
#: Seconds that an attempt takes, and by how many the wall clock jumps meanwhile.
_TIMES = ((0.25, 0.0), (3.0, 0.0), (40.0, 0.0), (0.0, 7200.0), (3.0, -7200.0))
_LONGEST = 12  # attempts: a policy that makes more is driven to its end once, not in each example


@dataclass(frozen=True, slots=True)
class Act:
    """One attempt: how it ends, after how many seconds, and by how many the wall clock moves meanwhile."""

    kind: str
    seconds: float = 0.0
    jump: float = 0.0
    which: int = 0  # of the exceptions or values there are

    def __str__(self) -> str:
        text = _WORDS[self.kind]
        if self.kind == "ok" and self.which:
            text += f" with {VALUES[self.which]!r}"
        if self.seconds:
            text += f" after {self.seconds:g} s"
        if self.jump:
            text += f" (the wall clock jumps {self.jump:+g} s {'meanwhile' if self.seconds else 'just after'})"
        return text


@dataclass(frozen=True, slots=True)
class Use:
    """One call of the policy: the attempts in order, and what all later ones do; *late*: seconds until it begins."""

    acts: tuple[Act, ...]
    then: Act
    late: float = 0.0

    def act(self, number: int) -> Act:
        """What attempt *number* (from 1) does."""
        return self.acts[number - 1] if number <= len(self.acts) else self.then


@dataclass(frozen=True, slots=True)
class Case:
    """Calls of one policy, one after the other or together, all in one of its forms."""

    form: str
    uses: tuple[Use, ...]
    together: bool = False


@dataclass(slots=True)
class Attempt:
    """An attempt that was made. Times in microseconds; ``gave`` is the value or the exception."""

    act: Act
    begun_us: int
    ended_us: int = -1
    gave: Any = None


@dataclass(slots=True)
class Trace:
    """What came of one use. ``raised`` or ``value``; ``ended_us`` is -1 if it never ended."""

    use: Use
    begun_us: int = -1
    ended_us: int = -1
    attempts: list[Attempt] = field(default_factory=list)
    raised: BaseException | None = None
    value: Any = None
    label: str = ""  # which of several calls, in the evidence


def cases(contract: RetryContract) -> st.SearchStrategy[Case]:
    """Everything that is drawn, the plainest first."""
    limit = contract.max_attempts
    endless = limit is None or limit > _LONGEST
    failures = len(one_or_more(contract.transient)), len(one_or_more(contract.permanent))
    kinds = [kind for kind in KINDS if kind != "permanent" or failures[1]]

    def acts(*kinds: str) -> st.SearchStrategy[Act]:
        return st.sampled_from([act for kind in kinds for act in _acts(kind, *failures)])

    last = acts("ok") if endless else st.one_of(acts("ok"), acts("transient"))
    failing = st.lists(acts("transient"), max_size=min(limit or 6, 6))
    one = st.one_of([acts(kind) for kind in kinds])
    any_order = st.lists(one, max_size=4)
    use = st.builds(
        lambda acts, then, late: Use(tuple(acts), then, late),
        st.one_of(failing, st.tuples(failing, one).map(lambda both: (*both[0], both[1])), any_order),
        last,
        st.sampled_from((0.0, 0.5, 5.0)),
    )
    return st.builds(
        lambda form, uses, together: Case(form, tuple(uses), together and len(uses) > 1),
        st.sampled_from(list(contract.all_forms())),
        st.lists(use, min_size=1, max_size=3),
        st.booleans(),
    )


def essentials(contract: RetryContract) -> Iterator[Case]:
    """Cases that every probe tries: each ending at once and after a transient failure, and each kind of reuse."""
    limit = contract.max_attempts
    failing = Act("transient")
    kinds = [kind for kind in KINDS if kind != "permanent" or contract.permanent is not None]
    for form in contract.all_forms():
        for kind in kinds:
            for first in ((), (failing,)):
                yield Case(form, (Use((*first, Act(kind)), Act("ok")),))
        for which in range(1, len(VALUES)):
            yield Case(form, (Use((Act("ok", which=which),), Act("ok")),))
        jump = Use((Act("transient", jump=7200.0), Act("transient", jump=-7200.0)), Act("ok"))
        yield Case(form, (jump,))
        if limit is not None and limit <= _LONGEST:
            always = Use((), failing)
            yield Case(form, (always,))
            yield Case(form, (always, always))
            yield Case(form, (always, replace(always, late=0.5), replace(always, late=5.0)), together=True)


def _acts(kind: str, transient: int, permanent: int) -> Iterator[Act]:
    """Every attempt of *kind*, each as one value, so that Hypothesis draws one number for it."""
    among = {"transient": transient, "permanent": permanent, "ok": len(VALUES)}.get(kind, 1)
    for which in range(among):
        yield Act(kind, which=which)
    for seconds, jump in _TIMES:
        yield Act(kind, seconds, jump)


def smaller(case: Case) -> Iterator[Case]:
    """Cases that say less than *case*, those that say least first."""
    uses = case.uses
    for index in range(len(uses)):
        if len(uses) > 1:
            rest = uses[:index] + uses[index + 1 :]
            yield replace(case, uses=rest, together=case.together and len(rest) > 1)
    if case.together:
        yield replace(case, together=False)
    if case.form != "call":
        yield replace(case, form="call")
    for index, use in enumerate(uses):
        for less in _smaller_use(use):
            yield replace(case, uses=(*uses[:index], less, *uses[index + 1 :]))


def _smaller_use(use: Use) -> Iterator[Use]:
    acts = use.acts
    for index in range(len(acts)):
        yield replace(use, acts=acts[:index] + acts[index + 1 :])
    if use.late:
        yield replace(use, late=0.0)
    for index, act in enumerate(acts):
        for less in _smaller_act(act):
            yield replace(use, acts=(*acts[:index], less, *acts[index + 1 :]))
    for less in _smaller_act(use.then):
        yield replace(use, then=less)


def _smaller_act(act: Act) -> Iterator[Act]:
    for plainer in KINDS[: min(KINDS.index(act.kind), 2)]:
        yield Act(plainer)
    for change in ({"seconds": 0.0}, {"jump": 0.0}, {"which": 0}):
        less = replace(act, **change)
        if less != act:
            yield less


class _Function:
    """The function under the policy, for one use."""

    def __init__(self, bench: Bench, contract: RetryContract, call: Function, trace: Trace) -> None:
        self.bench = bench
        self.contract = contract
        self.call = call
        self.trace = trace
        self.inner = 0

    def begin(self) -> Attempt:
        number = len(self.trace.attempts) + 1
        attempt = Attempt(self.trace.use.act(number), self.bench.now_us)
        self.trace.attempts.append(attempt)
        if attempt.act.seconds:
            self.bench.jump(attempt.act.jump)
        return attempt

    def end(self, attempt: Attempt) -> Any:
        attempt.ended_us = self.bench.now_us
        if not attempt.act.seconds:  # the clock jumps while the policy waits
            self.bench.jump_soon(attempt.act.jump)
        attempt.gave = gave = self.outcome(attempt.act)
        self.bench.note(f"{self.trace.label}attempt {len(self.trace.attempts)}: {attempt.act}")
        if isinstance(gave, BaseException):
            raise gave
        return gave

    def outcome(self, act: Act) -> Any:
        if act.kind == "transient":
            return make_error(one_or_more(self.contract.transient)[act.which])
        if act.kind == "permanent":
            return make_error(one_or_more(self.contract.permanent)[act.which])
        if act.kind == "timeout":
            return TimeoutError("a builtin one")
        if act.kind == "interrupt":
            return KeyboardInterrupt("by the user")
        if act.kind == "cancelled":
            return asyncio.CancelledError("by its owner")
        return VALUES[act.which]

    def fail_once(self) -> str:
        """What the call inside runs: a retry, then success."""
        self.inner += 1
        limit = self.contract.max_attempts
        if self.inner % 2 and (limit is None or limit > 1):
            raise make_error(one_or_more(self.contract.transient)[0])
        return "inner"

    def __call__(self) -> Any:
        attempt = self.begin()
        self.bench.sleep(attempt.act.seconds)
        if attempt.act.kind == "nested":
            self.call(self.fail_once)
        return self.end(attempt)

    async def fail_once_async(self) -> str:
        return self.fail_once()

    async def awaited(self) -> Any:
        attempt = self.begin()
        if attempt.act.seconds:
            await asyncio.sleep(attempt.act.seconds)
        if attempt.act.kind == "nested":
            await self.call(self.fail_once_async)
        if attempt.act.kind == "cancelled":
            try:
                await _cancelled_at_an_await()
            except asyncio.CancelledError as error:
                attempt.ended_us, attempt.gave = self.bench.now_us, error
                self.bench.note(f"{self.trace.label}attempt {len(self.trace.attempts)}: {attempt.act}")
                raise
        return self.end(attempt)


async def _cancelled_at_an_await() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(1)


def _finish(bench: Bench, trace: Trace, raised: BaseException | None, value: Any) -> None:
    trace.raised, trace.value, trace.ended_us = raised, value, bench.now_us
    what = f"it raised {raised!r}" if raised is not None else f"it returned {value!r}"
    bench.note(trace.label + what)


def _one(bench: Bench, contract: RetryContract, call: Function, trace: Trace) -> None:
    bench.sleep(trace.use.late)
    trace.begun_us = bench.now_us
    raised, value = None, None
    try:
        value = call(_Function(bench, contract, call, trace))
    except BaseException as error:
        if not _own(error):
            raise
        raised = error
    _finish(bench, trace, raised, value)


async def _one_async(bench: Bench, contract: RetryContract, call: Function, trace: Trace) -> None:
    if trace.use.late:
        await asyncio.sleep(trace.use.late)
    trace.begun_us = bench.now_us
    raised, value = None, None
    try:
        value = await call(_Function(bench, contract, call, trace).awaited)
    except BaseException as error:
        if not _own(error):
            raise
        raised = error
        task = asyncio.current_task()
        if task is not None:
            task.uncancel()
    _finish(bench, trace, raised, value)


def _own(error: BaseException) -> bool:
    """Whether the code under test may have raised *error*: the end of the run is not its doing."""
    return type(error).__module__ != "harness.sim.actors"


def carry_out(contract: RetryContract, case: Case, *, max_steps: int = 20_000) -> tuple[list[Trace], Bench]:
    """Run *case*; what came of each use, and the bench."""
    call = contract.all_forms()[case.form]
    several = len(case.uses) > 1
    traces = [Trace(use, label=f"call {n}: " if several else "") for n, use in enumerate(case.uses, start=1)]

    def main(bench: Bench) -> None:
        if is_async(call):
            asyncio.run(_all_async(bench, contract, call, case, traces))
        elif case.together:
            for number, trace in enumerate(traces):
                bench.spawn(lambda trace=trace: _one(bench, contract, call, trace), f"caller-{number + 1}")  # type: ignore[misc]
        else:
            for trace in traces:
                _one(bench, contract, call, trace)

    return traces, run(main, max_steps=max_steps)


async def _all_async(bench: Bench, contract: RetryContract, call: Function, case: Case, traces: list[Trace]) -> None:
    if case.together:
        await asyncio.gather(*(_one_async(bench, contract, call, trace) for trace in traces))
    else:
        for trace in traces:
            await _one_async(bench, contract, call, trace)


def told(case: Case, trace: Trace) -> str:
    """The use in words: ``with a transient failure, then success``."""
    acts = [attempt.act for attempt in trace.attempts] or [trace.use.act(1)]
    parts: list[str] = []
    index = 0
    while index < len(acts):
        same = 1
        while index + same < len(acts) and acts[index + same] == acts[index]:
            same += 1
        parts.append(f"{same} times {acts[index]}" if same > 1 else str(acts[index]))
        index += same
    text = ", then ".join(parts)
    if len(case.uses) > 1:
        text += f" ({len(case.uses)} calls of one policy {'together' if case.together else 'one after the other'})"
    return text if case.form == "call" else f"{text} (form: {case.form})"
