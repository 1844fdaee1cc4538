"""Retry policies: are they what their contract says?

::

    from harness.properties import RetryContract, check_retry_policy

    def test_our_retries():
        check_retry_policy(RetryContract(call=policy.execute, transient=ConnectionError, permanent=ValueError,
                                         max_attempts=4, delay_bounds=lambda attempt: (0, 2.0 ** (attempt - 2))))

Delays are judged by the time between the end of an attempt and the beginning
of the next, whatever the policy sleeps with.
"""

from __future__ import annotations

import itertools
import math
from types import TracebackType

from harness.invariants.herd import CLIENTS_MIN, SPREAD, herd
from harness.properties.bench import elsewhere
from harness.properties.contract import RetryContract
from harness.properties.report import Report
from harness.properties.retry_case import Act, Attempt, Case, Trace, Use, carry_out, cases, essentials, smaller, told
from harness.properties.search import Broken, Judged, Search

__all__ = ["PROMISES", "probe_retry"]

#: Property -> what it says, for people.
PROMISES = {
    "attempts-bounded": "no call is attempted more often than max_attempts",
    "delay-bounds": "each wait between two attempts lies within the bounds for that attempt",
    "no-wait-after-last": "nothing is waited for after the last attempt",
    "permanent-not-retried": "a permanent failure is never retried, also after transient ones",
    "last-exception": "the exception raised is the last one that the function raised, the same object",
    "traceback-kept": "the exception raised keeps the traceback of the function that raised it",
    "value-unchanged": "the first success ends the call and its value is returned as it is, a falsy one too",
    "base-exceptions-pass": "what is no Exception (an interrupt, a cancellation) passes through at once",
    "deadline-kept": "no attempt begins after the deadline, and none is waited for",
    "many-failures": "1,100 failures in a row, where the policy allows them, are no problem of its own",
    "calls-independent": "each use of the policy makes as many attempts as the first: reused, nested, concurrent",
    "no-herd": "clients that fail together do not come back together, at any attempt",
    "comes-to-rest": "it sleeps between attempts: no busy loop, no wait without end",
}

_TOLERANCE_US = 1_000  # a millisecond: timers of event loops round
_MANY = 1_100
_CLIENTS = 1_200
_HERD_ATTEMPTS = 8
_EVIDENCE = 16  # lines


def probe_retry(contract: RetryContract, *, seed: int, examples: int, max_seconds: float) -> Report:
    """Look for examples that break the contract."""
    search: Search[Case] = Search(PROMISES, seed=seed, examples=examples, max_seconds=max_seconds)
    with elsewhere():
        usual = _usual_attempts(contract)
        search.drawn(
            cases(contract),
            lambda case: judge(contract, case, usual=usual),
            smaller,
            always=essentials(contract),
            share=0.8,
        )
        search.fixed(_many_failures(contract))
        search.fixed(_clients(contract))
    name = contract.name or getattr(contract.call, "__qualname__", type(contract.call).__name__)
    findings = tuple(search.findings[one] for one in PROMISES if one in search.findings)
    return Report(name, "retry", seed, search.results(), findings)


def _usual_attempts(contract: RetryContract) -> int | None:
    """How many attempts a call makes that always fails transiently; ``None`` where that is no fixed number."""
    limit = contract.max_attempts
    if limit is None or limit > 12 or contract.deadline is not None or not contract.independent:
        return None
    traces, bench = carry_out(contract, Case("call", (Use((), Act("transient")),)))
    return None if bench.problem else len(traces[0].attempts)


def judge(contract: RetryContract, case: Case, *, usual: int | None = None, max_steps: int = 20_000) -> Judged:
    """Run *case* and say what it breaks."""
    traces, bench = carry_out(contract, case, max_steps=max_steps)
    judged = Judged()
    judged.tried("comes-to-rest")
    evidence = tuple(bench.lines[:_EVIDENCE])
    for trace in traces:
        if trace.begun_us >= 0:
            _Judge(contract, case, trace, judged, evidence).all(usual)
    if bench.problem:
        begun = [trace for trace in traces if trace.begun_us >= 0 and trace.ended_us < 0] or traces
        blocked = "blocked or span" in bench.problem
        text = f"with {told(case, begun[0])}: {bench.problem}"
        judged.breaks(Broken("comes-to-rest", text, evidence, slow=blocked))
    return judged


class _Judge:
    """Judges one use."""

    def __init__(
        self, contract: RetryContract, case: Case, trace: Trace, judged: Judged, evidence: tuple[str, ...]
    ) -> None:
        self.contract = contract
        self.trace = trace
        self.judged = judged
        self.evidence = evidence
        self.words = f"with {told(case, trace)}: "

    def breaks(self, name: str, statement: str) -> None:
        self.judged.breaks(Broken(name, self.words + statement, self.evidence))

    def all(self, usual: int | None) -> None:
        self.attempts(usual)
        self.delays()
        self.endings()
        if self.trace.ended_us >= 0 and self.trace.attempts:
            self.result()

    def attempts(self, usual: int | None) -> None:
        made, limit = len(self.trace.attempts), self.contract.max_attempts
        failed = all(isinstance(one.gave, Exception) for one in self.trace.attempts[:-1])
        if limit is not None and failed:
            self.judged.tried("attempts-bounded")
            if made > limit:
                self.breaks("attempts-bounded", f"{made} attempts were made; {limit} are allowed")
        acts = self.trace.attempts
        failing = all(one.act.kind == "transient" for one in acts) and self.trace.use.act(made + 1).kind == "transient"
        if usual is not None and acts and failing and self.trace.ended_us >= 0:
            self.judged.tried("calls-independent")
            if made != usual:
                self.breaks("calls-independent", f"{made} attempts were made; alone, and used first, it makes {usual}")

    def delays(self) -> None:
        attempts = self.trace.attempts
        for number, (before, after) in enumerate(itertools.pairwise(attempts), start=2):
            if before.ended_us < 0 or not isinstance(before.gave, Exception):
                continue
            self.judged.tried("delay-bounds")
            low, high = self.contract.bounds(number)
            waited = after.begun_us - before.ended_us
            if waited < low * 1e6 - _TOLERANCE_US or waited > high * 1e6 + _TOLERANCE_US:
                allowed = f"exactly {low:g} s" if low == high else f"{low:g} s to {high:g} s"
                self.breaks(
                    "delay-bounds",
                    f"attempt {number} began {waited / 1e6:.3f} s after the one before had ended; {allowed} is allowed",
                )
            deadline = self.contract.deadline
            if deadline is not None:
                self.judged.tried("deadline-kept")
                since = (after.begun_us - self.trace.begun_us) / 1e6
                if since > deadline + _TOLERANCE_US / 1e6:
                    self.breaks(
                        "deadline-kept",
                        f"attempt {number} began {since:.3f} s after the call; its deadline is {deadline:g} s",
                    )

    def endings(self) -> None:
        """After which attempts there may be no other."""
        attempts = self.trace.attempts
        for number, attempt in enumerate(attempts, start=1):
            more = len(attempts) > number
            kind = attempt.act.kind
            if kind == "permanent":
                self.judged.tried("permanent-not-retried")
                if more:
                    self.breaks("permanent-not-retried", f"attempt {number + 1} was made after a permanent failure")
            elif kind in ("ok", "nested"):
                self.judged.tried("value-unchanged")
                if more and not isinstance(attempt.gave, BaseException):
                    self.breaks("value-unchanged", f"attempt {number + 1} was made after a success")
            elif kind in ("interrupt", "cancelled"):
                self.judged.tried("base-exceptions-pass")
                if more:
                    self.breaks("base-exceptions-pass", f"attempt {number + 1} was made after {attempt.act}")

    def result(self) -> None:
        trace, last = self.trace, self.trace.attempts[-1]
        if last.ended_us < 0:  # a call inside it failed: the function has no outcome of its own
            return
        waited = trace.ended_us - last.ended_us
        self.judged.tried("no-wait-after-last")
        if waited > _TOLERANCE_US:
            self.breaks("no-wait-after-last", f"the call ended {waited / 1e6:.3f} s after its last attempt")
        if not isinstance(last.gave, BaseException):
            if trace.raised is not None:
                self.breaks("value-unchanged", f"it raised {trace.raised!r} after a success")
            elif trace.value is not last.gave:
                self.breaks("value-unchanged", f"it returned {trace.value!r}; the function had returned {last.gave!r}")
        elif isinstance(last.gave, Exception):
            self.raised(last, "last-exception")
        else:
            self.raised(last, "base-exceptions-pass")

    def raised(self, last: Attempt, name: str) -> None:
        self.judged.tried(name, "traceback-kept")
        raised = self.trace.raised
        if raised is None:
            self.breaks(name, f"it returned {self.trace.value!r}; the function had raised {last.gave!r}")
        elif raised is not last.gave:
            self.breaks(name, f"it raised {raised!r}; the function had raised {last.gave!r}")
        elif not _passes_the_function(raised.__traceback__):
            self.breaks("traceback-kept", f"the traceback of {raised!r} does not show where the function raised it")


def _passes_the_function(traceback: TracebackType | None) -> bool:
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename.endswith("retry_case.py") and traceback.tb_frame.f_code.co_name in (
            "end",
            "awaited",
        ):
            return True
        traceback = traceback.tb_next
    return False


def _many_failures(contract: RetryContract) -> Judged:
    """1,100 failures and a success: exponents overflow and recursion ends there."""
    judged = Judged()
    limit = contract.max_attempts
    if limit is not None and limit <= _MANY:
        return judged
    for form in contract.all_forms():
        case = Case(form, (Use((Act("transient"),) * _MANY, Act("ok")),))
        found = judge(contract, case, max_steps=50_000)
        traces, _ = carry_out(contract, case, max_steps=50_000)
        trace = traces[0]
        for broken in found.broken.values():
            judged.breaks(broken)
        judged.applied |= found.applied | {"many-failures"}
        raised = trace.raised
        if raised is not None and all(raised is not attempt.gave for attempt in trace.attempts):
            made = len(trace.attempts)
            text = f"with {told(case, trace)}: it raised {type(raised).__name__} of its own after {made} attempts"
            judged.broken = {"many-failures": Broken("many-failures", text)}  # the rest follows from it
    return judged


def _clients(contract: RetryContract) -> Judged:
    """Many clients that failed at one instant: a statistic of a fixed sample, alpha 1e-9 for each attempt."""
    judged = Judged()
    limit = contract.max_attempts
    last = min(limit if limit is not None else _HERD_ATTEMPTS, _HERD_ATTEMPTS)
    spreads = {number: _spread(contract, number) for number in range(2, last + 1)}
    if not any(spreads.values()):
        return judged
    case = Case("call", (Use((Act("transient"),) * (last - 1), Act("ok")),) * _CLIENTS)
    traces, _ = carry_out(contract, case, max_steps=200_000)
    for number, spread in spreads.items():
        waits = [
            (trace.attempts[number - 1].begun_us - trace.attempts[number - 2].ended_us) / 1e6
            for trace in traces
            if len(trace.attempts) >= number
        ]
        if not spread or len(waits) < CLIENTS_MIN:
            continue
        judged.tried("no-herd")
        crowd = herd(waits, contract.bounds(number)[1], spread=spread)
        if crowd:
            who = f"{len(waits):,} clients that began and failed together"
            text = f"{who}, waiting for attempt {number}: {crowd}"
            judged.breaks(Broken("no-herd", text))
            break
    return judged


def _spread(contract: RetryContract, number: int) -> float:
    """The share of the longest wait over which waits are to be spread; 0: the contract says they are all alike."""
    low, high = contract.bounds(number)
    if not (math.isfinite(high) and high > low):
        return 0.0
    return min(SPREAD, (high - low) / high)
