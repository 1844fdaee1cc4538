"""What the simulation does not simulate, and how one learns of it: the table behind ``docs/not-simulated.md``.

``python -m harness.sim.limits > docs/not-simulated.md`` writes the page.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal, TypeAlias

from harness.sim.patches.audit import REFUSED

__all__ = ["LIMITS", "Limit", "Outcome", "main", "markdown"]

#: What happens to code that needs it.
Outcome: TypeAlias = Literal["refused", "stopped", "told", "verify", "differs"]

_MEANINGS: dict[Outcome, str] = {
    "refused": "Refused with an error (`RealWorld`) that names the actor, the line that asked, and what to do instead; "
    "the result's notes repeat it.",
    "stopped": "The run ends as `error` with every actor's stack (`Stalled`), after ten seconds of real time without "
    "a step.",
    "told": "The run goes on, and its result says so.",
    "verify": "The run goes on and may differ from the next one. `harness run --verify` finds that, names the first "
    "event that differs, the stacks, and the cause given here.",
    "differs": "The run goes on and is deterministic; it is not what several real processes or threads would do. "
    "Nothing tells you but this page.",
}


@dataclass(frozen=True)
class Limit:
    """One thing that is not simulated. ``test`` shows the refusal, the warning or the difference."""

    what: str
    outcome: Outcome
    detail: str
    test: str


_SIM = "tests/unit/sim"
_HERE = f"{_SIM}/test_limits.py"
_VERIFY = "tests/unit/cli/test_run.py::test_verify_names_the_first_difference"

LIMITS: tuple[Limit, ...] = (
    # -- refused
    Limit(
        "connections to anything that the scenario does not have, DNS, listening sockets, datagrams",
        "refused",
        "Declare a dependency (`http=`, `effects=`), or hand the code a stub.",
        f"{_SIM}/patches/test_sockets.py::test_what_is_real_is_refused_with_caller_and_remedy",
    ),
    Limit(
        "child processes: subprocess, fork, exec, spawn, multiprocessing",
        "refused",
        "Start a thread, or declare another `Process`.",
        f"{_SIM}/patches/test_process.py::test_child_processes_are_refused",
    ),
    Limit(
        "child processes, servers and real descriptors of an asyncio loop",
        "refused",
        "As above.",
        f"{_SIM}/patches/test_asyncio_loops.py::test_real_descriptors_child_processes_and_servers_are_refused",
    ),
    Limit(
        "event loops of C code (uvloop)",
        "refused",
        "Use asyncio's own loop in the simulation.",
        f"{_SIM}/patches/test_asyncio_loops.py::test_a_loop_made_of_c_is_refused",
    ),
    Limit(
        "signals to other processes",
        "refused",
        "A fault (`sigterm`, `crash`) reaches another simulated process.",
        f"{_SIM}/patches/test_signals.py::test_signals_to_other_processes_are_refused",
    ),
    Limit(
        "waiting for a signal by `sigwait`, `sigtimedwait`",
        "refused",
        "Register a handler.",
        f"{_SIM}/patches/test_signals.py::test_waiting_for_real_signals_is_refused",
    ),
    Limit(
        "a simulation inside a simulation",
        "refused",
        "Call `harness.run` from outside.",
        f"{_SIM}/test_kernel.py::test_a_kernel_inside_a_run_is_refused",
    ),
    # -- stopped
    Limit(
        "calls into C that block: `select.epoll` and `kqueue` used directly, file locks, pipes, a terminal, "
        "`multiprocessing` locks, resolvers of C libraries",
        "stopped",
        "selectors, sockets and `threading` are simulated; use them.",
        f"{_HERE}::test_a_c_call_that_blocks_stops_the_run",
    ),
    Limit(
        "a lock that was held when harness was imported",
        "stopped",
        "Import harness first.",
        f"{_SIM}/patches/test_install.py::test_a_lock_that_escaped_ends_the_run_with_a_clear_error",
    ),
    Limit(
        "a loop that calls nothing",
        "stopped",
        "Let it sleep, wait or read a clock. Under pre-emption it gives way and the step limit ends it.",
        f"{_SIM}/test_watchdog.py::test_a_loop_that_calls_nothing_is_stopped_with_its_stack",
    ),
    # -- told
    Limit(
        "switches of threads inside a block of code",
        "told",
        'Off unless a run asks for it: `preempt=["your.module"]` and `--preempt calls`.',
        f"{_SIM}/test_preempt.py::test_without_it_a_run_with_threads_says_what_was_not_explored",
    ),
    Limit(
        "switches inside C code and inside modules that `preempt` does not name",
        "told",
        "What was asked for and not rewritten leaves the run inconclusive.",
        f"{_SIM}/test_preempt.py::test_what_was_not_rewritten_leaves_the_run_inconclusive",
    ),
    Limit(
        "free-threaded Python, which may switch anywhere",
        "told",
        "Level `statements` approaches it; a finding that needs it says so.",
        f"{_SIM}/test_preempt.py::test_a_finding_at_level_statements_says_so",
    ),
    # -- verify
    Limit("C extensions that read the clock", "verify", "Cause: *a real clock*.", _VERIFY),
    Limit("C extensions that start threads", "verify", "Cause: *a thread*.", _VERIFY),
    Limit(
        "the order of sets of objects with the default hash (addresses); threads, tasks and futures are exempt",
        "verify",
        "Cause: *set order*. The order of sets of strings follows PYTHONHASHSEED, which the command line fixes.",
        _VERIFY,
    ),
    Limit(
        "files: the file system is the machine's, and what a run writes the next one reads",
        "verify",
        "Cause: *real I/O*.",
        _VERIFY,
    ),
    Limit(
        "C extensions that draw entropy; numpy's global generator where numpy is first imported inside a run",
        "verify",
        "Cause: an id made from chance. Import numpy before, and it starts from the run's seed.",
        f"{_HERE}::test_entropy_that_c_code_draws_is_real",
    ),
    # -- differs
    Limit(
        "separate memory of processes",
        "differs",
        "Simulated processes share modules: what a module keeps, all of them see, but for `random`, `os.environ`, "
        "signals, exit hooks, thread names and what a dead process held. `isolate=[...]` imports modules afresh.",
        f"{_HERE}::test_processes_share_modules",
    ),
    Limit(
        "CPU time",
        "differs",
        "Code takes no virtual time; only waits and service calls do, and a handler's declared service time.",
        f"{_HERE}::test_code_takes_no_virtual_time",
    ),
    Limit(
        "the process id, the time zone, the host's users and limits",
        "differs",
        "They are the machine's.",
        f"{_HERE}::test_pid_and_time_zone_are_the_machines",
    ),
    Limit(
        "collection of cycles while a run goes on",
        "differs",
        "Finalizers of cycles run when the run is over; without cycles `__del__` runs at once.",
        f"{_SIM}/test_finalizers.py::test_cycles_are_collected_when_the_run_is_over",
    ),
    Limit(
        "`weakref.finalize` at the exit of a process",
        "differs",
        "What is still alive then is not finalized by the simulated exit; `atexit` functions run.",
        f"{_HERE}::test_finalizers_of_living_objects_do_not_run_at_a_simulated_exit",
    ),
    Limit(
        "a stopped process that is sent a deadly signal",
        "differs",
        "It dies at once; a real one dies when it goes on.",
        f"{_HERE}::test_a_paused_process_dies_of_a_signal_at_once",
    ),
    Limit(
        "a subclass of `threading.local` with instances from before harness was imported",
        "differs",
        "Its values are shared by all actors. Import harness first.",
        f"{_HERE}::test_old_instances_of_subclasses_of_local_are_shared",
    ),
    Limit(
        "the order in which CPython wakes asyncio tasks",
        "differs",
        "It is a scheduling choice: an order that no interpreter promises, though CPython's loop is first come first "
        "served where nothing from outside decides.",
        "tests/unit/sim/patches/test_asyncio_loops.py::test_plain_callbacks_keep_their_order",
    ),
)


def markdown() -> str:
    """The page."""
    lines = [
        "# What the simulation does not simulate",
        "",
        "<!-- Made from the code: python -m harness.sim.limits > docs/not-simulated.md -->",
        "",
        "A verdict is worth what the simulation is worth. [kernel.md](kernel.md) says what is simulated; this page",
        "what is not, and how you learn of it. Each line names the test that shows it.",
    ]
    for outcome, meaning in _MEANINGS.items():
        lines += ["", f"## {_TITLES[outcome]}", meaning, "", "| what | remark | test |", "| --- | --- | --- |"]
        lines += [f"| {one.what} | {one.detail} | `{one.test}` |" for one in LIMITS if one.outcome == outcome]
    lines += [
        "",
        "## The last line",
        "An audit hook sees the C functions below by whatever name an actor calls them, and refuses them:",
        "",
        *(f"- `{event}`: {what.rstrip(',')}" for event, (what, _) in sorted(REFUSED.items())),
    ]
    return "\n".join(lines) + "\n"


_TITLES: dict[Outcome, str] = {
    "refused": "Refused",
    "stopped": "Stopped",
    "told": "Told",
    "verify": "Found by --verify",
    "differs": "Different",
}


def main() -> None:
    """Print the page."""
    sys.stdout.write(markdown())


if __name__ == "__main__":
    main()
