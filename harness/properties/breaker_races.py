"""What only threads can break in a breaker: its own code is pre-empted while several calls run at once.

Under pre-emption the order of events no longer tells when a decision was
made, so these cases are few and each has a rule of its own. What breaks it
without pre-emption too is no race and is told elsewhere.
"""

from __future__ import annotations

from hypothesis import strategies as st

from harness.properties.bench import run
from harness.properties.breaker_case import Call, Case, Round, Trace, carry_out, smaller
from harness.properties.breaker_words import after, evidence
from harness.properties.contract import BreakerContract, is_async
from harness.properties.preempting import modules_of, rewritten_in_place
from harness.properties.search import Broken, Judged, Search
from harness.sim.preempt import Level

__all__ = ["cases", "judge", "probe"]

_LEVEL: Level = "calls"
_SEEDS = 10_000


def probe(contract: BreakerContract, search: Search[Case]) -> None:
    """Look for races, unless the calls are tasks of one loop, which switch at awaits only."""
    if is_async(contract.call):
        return
    made: list[object] = []
    run(lambda bench: made.append(contract.make()))
    modules = modules_of([contract.make, contract.call], made[0])
    with rewritten_in_place(modules, _LEVEL):
        search.drawn(cases(contract), lambda case: judge(contract, case), smaller, level="calls")


def cases(contract: BreakerContract) -> st.SearchStrategy[Case]:
    """Failures that reach the threshold together; probes that begin together."""
    threshold, permits = contract.failure_threshold, contract.half_open_permits

    def failures(together: int, seconds: float, seed: int) -> Case:
        first = threshold - together
        rounds = [Round((Call("failure"),), times=first)] if first > 0 else []
        rounds += [Round((Call("failure", seconds),) * together), Round((Call("success"),), wait=1.0)]
        return Case(tuple(rounds), seed)

    def probes(more: int, seed: int) -> Case:
        together = Round((Call("success", 1.0),) * (permits + more), wait=contract.recovery_timeout + 1)
        return Case((Round((Call("failure"),), times=threshold), together), seed)

    seeds = st.integers(0, _SEEDS)
    return st.one_of(
        st.builds(failures, st.integers(2, 4), st.sampled_from((0.0, 0.001, 1.0)), seeds),
        st.builds(probes, st.integers(1, 3), seeds),
    )


def judge(contract: BreakerContract, case: Case) -> Judged:
    """Run *case* pre-empted and say what it breaks that it does not break without."""
    trace, bench = carry_out(contract, case, preempt=_LEVEL)
    judged = Judged()
    if bench.problem:
        calm, rest = carry_out(contract, case)
        judged.tried("comes-to-rest")
        if not rest.problem:
            judged.breaks(
                Broken("comes-to-rest", f"{after(case, len(case.rounds))}{bench.problem}", tuple(bench.lines))
            )
        return judged
    found = _rules(contract, case, trace, judged)
    if found is not None:
        calm, _ = carry_out(contract, case)
        if _rules(contract, case, calm, Judged()) is None:
            name, statement = found
            judged.breaks(Broken(name, statement, tuple(evidence(bench.lines))))
    return judged


def _rules(contract: BreakerContract, case: Case, trace: Trace, judged: Judged) -> tuple[str, str] | None:
    kinds = {made.call.outcome for made in trace.calls[:-1]}
    if kinds <= {"failure"}:
        return _failures(contract, case, trace, judged)
    return _probes(contract, case, trace, judged)


def _failures(contract: BreakerContract, case: Case, trace: Trace, judged: Judged) -> tuple[str, str] | None:
    """Once enough calls have failed, whichever ran at once, the next is refused."""
    *failed, last = trace.calls
    counted = sum(made.entered_us >= 0 for made in failed)
    if counted < contract.failure_threshold or last.call.outcome != "success":
        return None
    judged.tried("no-lost-update")
    if last.refused or last.begun_us - failed[-1].ended_us > contract.recovery_timeout * 1e6:
        return None
    statement = (
        f"{after(case, last.place[0], opening=True)}a call reached the dependency; {counted} calls had failed and "
        f"{contract.failure_threshold} open the breaker"
    )
    return "no-lost-update", statement


def _probes(contract: BreakerContract, case: Case, trace: Trace, judged: Judged) -> tuple[str, str] | None:
    """Of calls that begin together half open, no more than permitted reach the function before one has ended."""
    index = next((at for at, one in enumerate(case.rounds) if any(call.outcome == "success" for call in one.calls)), 0)
    before = sum(made.entered_us >= 0 for made in trace.calls if made.place[0] < index)
    probing = [made for made in trace.calls if made.place[0] == index]
    if before != contract.failure_threshold or case.rounds[index].wait <= contract.recovery_timeout:
        return None
    first = min((made.left_us for made in probing if made.left_us >= 0), default=0)
    reached = [made for made in probing if 0 <= made.entered_us < first]
    judged.tried("half-open-permits")
    if len(reached) <= contract.half_open_permits:
        return None
    permits = contract.half_open_permits
    return "half-open-permits", (
        f"{after(case, index, opening=True)}{len(reached)} of {len(probing)} calls that began together reached the "
        f"dependency; {permits} {'was' if permits == 1 else 'were'} permitted"
    )
