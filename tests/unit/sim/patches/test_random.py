"""Tests of randomness inside a run."""

from __future__ import annotations

import os
import random
import secrets
import ssl
import uuid
from random import choice, randint, shuffle
from typing import Any

from harness.sim import real
from tests.unit.sim.simulate import answer, kernel, needs_shims

pytestmark = needs_shims


def draws() -> list[Any]:
    items = list(range(20))
    shuffle(items)
    return [random.random(), randint(0, 10**9), choice("abcdef"), random.gauss(0, 1), random.randbytes(4), items]


def test_functions_of_random_depend_on_the_seed_alone() -> None:
    """By attribute and by name; the same seed gives the same draws, another seed others."""
    assert answer(draws, seed=1) == answer(draws, seed=1)
    assert answer(draws, seed=1) != answer(draws, seed=2)


def test_each_process_has_its_own_random_state() -> None:
    """What one process draws does not depend on what another draws, nor does seeding it."""

    def run(noisy: bool) -> dict[str, list[float]]:
        found: dict[str, list[float]] = {}
        with kernel(4) as k:

            def main(name: str) -> None:
                found[name] = []
                for _ in range(5):
                    found[name].append(random.random())
                    k.sleep_us(1)

            def noise() -> None:
                for _ in range(50):
                    random.seed(1)
                    random.random()
                    k.sleep_us(1)

            k.start_process("a", lambda: main("a"))
            k.start_process("b", lambda: main("b"))
            if noisy:
                k.start_process("noise", noise)
            k.run()
        return found

    quiet = run(noisy=False)
    assert quiet["a"] != quiet["b"]
    assert run(noisy=True) == quiet


def test_a_restarted_process_draws_anew() -> None:
    """The next incarnation has a stream of its own, as a real process that starts again has."""
    found: list[float] = []
    with kernel(4) as k:
        for _ in range(2):
            k.start_process("p", lambda: found.append(random.random()))
        k.run()
    assert found[0] != found[1]


def test_seed_getstate_and_setstate_work_inside() -> None:
    """random.seed(n) gives the documented sequence; the state can be saved and restored."""

    def main() -> bool:
        random.seed(42)
        first = random.random()
        state = random.getstate()
        second = random.random()
        random.setstate(state)
        return (first, second) == (0.6394267984578837, random.random())

    assert answer(main)


def test_generators_without_a_seed_follow_the_runs_seed() -> None:
    """Random(), Random(None), seed(None) and SystemRandom take no entropy of the machine."""

    def main() -> list[float]:
        generator = random.Random(7)
        generator.seed(None)
        return [
            random.Random().random(),
            random.Random(None).random(),
            generator.random(),
            random.SystemRandom().random(),
        ]

    assert answer(main, seed=1) == answer(main, seed=1)
    assert len(set(answer(main, seed=1)) | set(answer(main, seed=2))) == 8


def test_ids_depend_on_the_seed_alone() -> None:
    """uuid4, uuid1, os.urandom, os.getrandom, ssl.RAND_bytes and secrets."""

    def main() -> list[Any]:
        found: list[Any] = [uuid.uuid4(), uuid.uuid1(), os.urandom(8), secrets.token_hex(8), secrets.randbelow(10**9)]
        found.append(ssl.RAND_bytes(8))
        if hasattr(os, "getrandom"):
            found.append(os.getrandom(8))
        return found

    assert answer(main, seed=1) == answer(main, seed=1)
    first, second = answer(main, seed=1), answer(main, seed=2)
    assert not set(map(str, first)) & set(map(str, second))


def test_uuid1_is_of_virtual_time_and_never_repeats() -> None:
    """Its time is the process's wall clock; two at one instant differ."""

    def main() -> list[uuid.UUID]:
        return [uuid.uuid1() for _ in range(3)]

    found = answer(main)
    assert len(set(found)) == 3
    assert all(one.version == 1 for one in found)
    assert (found[0].time - 0x01B21DD213814000) // 10_000_000 == 1_893_456_000


def test_ids_and_random_are_separate_streams() -> None:
    """A library that draws a uuid for itself moves no retry's jitter."""

    def without() -> float:
        return random.random()

    def with_ids() -> float:
        uuid.uuid4()
        os.urandom(100)
        return random.random()

    assert answer(without, seed=5) == answer(with_ids, seed=5)


def test_outside_a_run_the_global_generator_is_the_real_one() -> None:
    """random.seed outside a run seeds the module's own generator, which a run does not touch."""
    random.seed(42)
    first = random.random()
    answer(draws)
    second = random.random()
    generator = real.Random(42)
    assert [first, second] == [generator.random(), generator.random()]
    assert os.urandom(16) != os.urandom(16)
