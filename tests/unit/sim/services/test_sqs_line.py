"""The line of messages: order by key, whatever the order of arrival."""

from __future__ import annotations

import random

import pytest

from harness.sim.services.sqs_line import NEVER, Line, Message


def message(name: str) -> Message:
    return Message(name, "", "", 0)


def test_pops_in_order_of_keys() -> None:
    """Keys pushed in any order come out rising, equal ones in the order of their arrival."""
    for seed in range(20):
        chance = random.Random(seed)
        line = Line()
        pushed = [(chance.randint(0, 50), str(number)) for number in range(200)]
        for key, name in pushed:
            line.push(key, message(name))
        popped = []
        while line.next_key != NEVER:
            assert line.peek() is not None
            key, found = line.pop()
            popped.append((key, found.id))
        assert [key for key, _ in popped] == sorted(key for key, _ in pushed)
        assert sorted(popped) == sorted(pushed)


def test_next_key() -> None:
    """next_key is the smallest key, NEVER when the line is empty."""
    line = Line()
    assert line.next_key == NEVER
    for key, smallest in ((5, 5), (7, 5), (3, 3), (4, 3)):
        line.push(key, message("m"))
        assert line.next_key == smallest
    assert [line.pop()[0] for _ in range(4)] == [3, 4, 5, 7]
    assert line.next_key == NEVER
    with pytest.raises(IndexError):
        line.pop()


def test_keep_drops_what_is_not_valid() -> None:
    """A sweep keeps the valid entries of row and heap, in order."""
    line = Line()
    for key in (5, 9, 3, 8, 1, 7):
        line.push(key, message(str(key)))
    line.keep(lambda key, _: key % 2 == 1)
    assert len(line) == 5
    assert [line.pop()[0] for _ in range(5)] == [1, 3, 5, 7, 9]
