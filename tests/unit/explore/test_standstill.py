"""A run that stops at one event: the actor's real frames, redacted and bounded, and virtual time that stands still."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from harness import runner
from harness.explore.standstill import FRAMES_MAX, Lookout, Prompt, Standstill, debug, stopping_at
from harness.history import Event
from harness.points import effect
from harness.result import Result
from tests.unit.explore.searched import made


class _Odd:
    def __repr__(self) -> str:
        raise ValueError("no")


class _Ill(list[int]):
    def __len__(self) -> int:
        raise KeyError("no")


_Ill.__name__ = "list"


def _deep(env: Any, depth: int) -> None:
    if depth:
        return _deep(env, depth - 1)
    api_token = "abc"  # noqa: F841  # looked at
    odd, ill, long = _Odd(), _Ill(), "x" * 1_000  # noqa: F841  # looked at
    address = "see postgres://root:hunter2@db"  # noqa: F841  # looked at
    try:
        effect("done", 0)
        time.sleep(5)
        effect("done", 1)
    finally:
        effect("done", 2)


def _shallow(env: Any) -> None:
    _deep(env, 0)


def _very_deep(env: Any) -> None:
    _deep(env, 50)


def _run(worker: Callable[..., None], act: Callable[[Event], object], number: int | None = None) -> Result:
    scenario = made(worker, 1)
    if number is None:
        number = _first_effect(scenario)
    return runner.run(scenario, options=runner.Options(witness=stopping_at(number, act), watchdog_seconds=5))


def _first_effect(scenario: Any) -> int:
    return int(next(event["n"] for event in runner.run(scenario).history if event["kind"] == "effect"))


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    yield
    sys.settrace(None)


def test_the_frames_of_the_actor() -> None:
    """File, line, source and locals of who made the event; the run is left there, as a killed actor is."""
    lookout = Lookout()
    result = _run(_shallow, lookout)
    assert result.verdict == "error"
    seen = lookout.seen
    assert seen is not None
    assert [frame.function for frame in seen.frames] == ["_shallow", "_deep"]
    inner = seen.frames[-1]
    assert inner.file.endswith("test_standstill.py")
    assert dict(inner.source)[inner.line].strip() == 'effect("done", 0)'
    assert inner.values["depth"] == "0"


def test_secrets_are_not_shown() -> None:
    """Names that say so, and what looks like one; what is long is cut, and a repr that fails says so."""
    lookout = Lookout()
    _run(_shallow, lookout)
    assert lookout.seen is not None
    values = lookout.seen.frames[-1].values
    assert values["api_token"] == "[redacted]"
    assert "hunter2" not in values["address"]
    assert len(values["long"]) <= 100
    assert values["odd"] == "<_Odd instance at 0x...>"
    assert values["ill"] == "<list, whose repr raised KeyError>"
    assert "0x" not in str(lookout.seen).replace("0x...", "")


def test_it_is_bounded() -> None:
    """Fifty calls deep: the innermost frames alone."""
    lookout = Lookout()
    _run(_very_deep, lookout)
    assert lookout.seen is not None
    assert len(lookout.seen.frames) == FRAMES_MAX
    assert lookout.seen.frames[-1].values["depth"] == "0"


def test_an_event_that_nobody_of_the_code_made() -> None:
    """The workload's send has no frames of the user's code, and it is said."""
    lookout = Lookout()
    number = next(e["n"] for e in runner.run(made(_shallow, 1)).history if e["kind"] == "send")
    _run(_shallow, lookout, number)
    assert lookout.seen is not None
    assert lookout.seen.frames == ()
    assert "no code of yours" in str(lookout.seen)
    told = json.loads(json.dumps(lookout.seen.to_json()))
    assert (told["event"]["kind"], told["frames"]) == ("send", [])


def test_an_event_that_never_comes() -> None:
    """The run goes to its end, and nothing was seen."""
    lookout = Lookout()
    assert _run(_shallow, lookout, 10_000).verdict != "error"
    assert lookout.seen is None


def test_nothing_happens_after_it() -> None:
    """No line of the code under test runs any more: what it does in a finally is in no history."""
    number = _first_effect(made(_shallow, 1))
    result = _run(_shallow, Lookout())
    assert [event["kind"] for event in result.history.events[number:]] == ["run.end"]


def _talk(monkeypatch: pytest.MonkeyPatch, *lines: str) -> tuple[Result, Prompt, str]:
    said = io.StringIO()
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    monkeypatch.setattr(sys, "stdout", said)
    prompt = Prompt()
    result = _run(_shallow, prompt)
    return result, prompt, said.getvalue()


def test_pdb_stands_in_the_users_frame_and_time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first prompt is at the line that made the event, before anything else runs; stepping moves virtual time."""
    result, prompt, said = _talk(
        monkeypatch, "p ('here', depth, time.time())", "next", "next", "p ('there', time.time())", "continue"
    )
    assert not prompt.left
    assert result.verdict != "error"
    assert '-> effect("done", 0)' in said
    effects = [event["t"] for event in result.history if event["kind"] == "effect"]
    assert effects[1] == pytest.approx(effects[0] + 5)
    here, there = (next(line for line in said.splitlines() if f"('{word}'" in line) for word in ("here", "there"))
    began = float(here.rpartition(" ")[2].rstrip(")"))
    assert float(there.rpartition(" ")[2].rstrip(")")) == pytest.approx(began + 5)


def test_continue_gives_the_same_history(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looks changes nothing."""
    plain = runner.run(made(_shallow, 1)).history.to_bytes()
    assert _talk(monkeypatch, "p depth", "continue")[0].history.to_bytes() == plain


def test_quit_leaves_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run ends as error, and it is known that somebody wanted that."""
    result, prompt, _ = _talk(monkeypatch, "quit")
    assert prompt.left
    assert result.verdict == "error"


def test_the_debugger_in_force_is_called_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """breakpoint() leads to whatever hook is set, with the user's frames above it."""
    calls: list[list[str]] = []

    def hook() -> None:
        frame: Any = sys._getframe()
        names = []
        while frame is not None:
            names.append(frame.f_code.co_name)
            frame = frame.f_back
        calls.append(names)

    monkeypatch.setattr(sys, "breakpointhook", hook)
    assert _run(_shallow, debug).verdict != "error"
    assert len(calls) == 1
    assert "_deep" in calls[0]


def test_a_standstill_in_words() -> None:
    """One line for the event, cut where it is long."""
    event = {"n": 3, "t": 1.5, "actor": "worker", "kind": "effect", "name": "x" * 500}
    text = str(Standstill(event, ()))
    assert text.startswith("event 3 at 1.500000 s (virtual time): worker effect name=xxx")
    assert max(map(len, text.splitlines())) < 300
