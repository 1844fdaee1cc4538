"""Sequence charts: who sent what to whom, on one screen, in text, Mermaid and JSON."""

from __future__ import annotations

import json

from harness import invariants
from harness.explore.chart import HEIGHT, WIDTH, Chart, draw
from tests.histories import HistoryBuilder


def _chart(h: HistoryBuilder, invariant: str) -> Chart:
    verdict = h.judge(getattr(invariants, invariant)())
    assert verdict.status == "violated", verdict
    return draw(h.history, verdict)


def _twice(http: bool = False) -> HistoryBuilder:
    h = HistoryBuilder(effects=["POST {http:payments}/charges" if http else "charged"])
    name = "POST {http:payments}/charges" if http else "charged"
    h.send("m1", "7")
    h.receive("m1", actor="worker.1")
    h.add("effect", actor="worker.1", name=name, key="7", source="http" if http else "point")
    h.add(
        "fault.strike",
        actor="worker.1",
        fault=0,
        point="aws.sqs.DeleteMessage.after",
        fault_kind="timeout",
        did="no answer came; then #1",
    )
    h.add("call.failed", actor="worker.1", point="aws.sqs.DeleteMessage", error="ReadTimeoutError", fault=0, took=1.0)
    h.receive("m1", actor="worker.2", at=31)
    h.add("effect", actor="worker.2", name=name, key="7", source="http" if http else "point")
    h.delete("m1", actor="worker.2")
    return h


def test_arrows_go_where_the_messages_went() -> None:
    """Workload, queue, workers, dependency from left to right; each event is one arrow."""
    chart = _chart(_twice(http=True), "effects_once")
    assert chart.lanes == ("workload", "orders", "worker.1", "worker.2", "payments")
    steps = [(step.frm, step.to, step.text, step.lost) for step in chart.steps]
    assert steps == [
        ("workload", "orders", "send", False),
        ("orders", "worker.1", "receive", False),
        ("worker.1", "payments", "POST /charges", False),
        ("orders", "worker.1", "DeleteMessage: no answer came; then #1", True),
        ("orders", "worker.2", "receive (2nd)", False),
        ("worker.2", "payments", "POST /charges", False),
        ("worker.2", "orders", "delete", False),
    ]


def test_the_text_fits_on_a_screen_and_ends_with_the_reason() -> None:
    """Within its lines and columns; arrows point the right way; the last lines are expected, seen, because."""
    lines = _chart(_twice(), "effects_once").text().splitlines()
    assert len(lines) <= HEIGHT
    assert max(map(len, lines)) <= WIDTH
    assert lines[0].split() == ["workload", "orders", "worker.1", "worker.2", "effects"]
    assert "- send --" in lines[1]
    assert lines[1].rstrip("| ").endswith(">")
    assert [line.split()[0] for line in lines if line.startswith(("expected:", "seen:", "because:"))] == [
        "expected:",
        "seen:",
        "because:",
    ]
    lost = next(line for line in lines if "DeleteMessage" in line)
    assert "x" in lost


def test_mermaid() -> None:
    """A sequence diagram with the same arrows, lost ones crossed; what would end a statement is written as a code."""
    lines = _chart(_twice(), "effects_once").mermaid().splitlines()
    assert lines[0] == "sequenceDiagram"
    assert "    participant p1 as orders" in lines
    assert "    p1-xp2: 0.040 s DeleteMessage: no answer came#59; then #35;1" in lines
    assert sum("->>" in line for line in lines) == 6
    assert lines[-1].startswith("    Note over p0,p4: because: ")


def test_json() -> None:
    """The same content as values."""
    chart = _chart(_twice(), "effects_once")
    told = json.loads(json.dumps(chart.to_json()))
    assert told["participants"] == list(chart.lanes)
    assert told["steps"][0] == {
        "event": 1,
        "t": 0.01,
        "from": "workload",
        "to": "orders",
        "text": "send",
        "lost": False,
    }
    assert told["because"] == chart.story.because


def test_what_happens_to_one_alone_is_a_note() -> None:
    """A crash is written over who died, from wherever it was struck."""
    h = HistoryBuilder()
    h.send("m1", "7")
    h.receive("m1")
    h.delete("m1")
    h.add("fault.strike", actor="faults", fault=0, point="process.worker.before", fault_kind="crash", did="killed")
    h.add("process.crash", actor="faults", process="worker")
    chart = _chart(h, "no_message_loss")
    assert [(step.frm, step.to, step.text) for step in chart.steps][-1] == ("worker", None, "killed")
    assert "[killed]" in chart.text()


def test_a_long_history_still_fits() -> None:
    """However often a message came and went, and to however many: the most telling of it, and how much is not shown."""
    h = HistoryBuilder(max_receives=None)
    h.send("m1", "7")
    for number in range(20):
        h.receive("m1", actor=f"worker.{number}")
        h.effect("7", actor=f"worker.{number}")
    chart = _chart(h, "effects_once")
    lines = chart.text().splitlines()
    assert chart.left_out > 0
    assert len(chart.lanes) <= 6
    assert len(lines) <= HEIGHT
    assert max(map(len, lines)) <= WIDTH
    assert any(f"({chart.left_out} events of it not shown)" in line for line in lines)


def test_a_finding_about_no_message() -> None:
    """A breaker's fault has no queue: the evidence is told over who did it."""
    h = HistoryBuilder()
    h.add("breaker.created", breaker="b", library="x", failure_threshold=2, recovery_timeout=30.0)
    number = h.transition("open", "closed", 1, breaker="b")
    verdict = h.judge(invariants.breaker_transitions())
    chart = draw(h.history, verdict)
    assert [(step.event, step.frm, step.to) for step in chart.steps][-1] == (number, "worker", None)
    assert "breaker b went from open to closed" in chart.mermaid()
