"""The pytest plugin: the fixtures ``sim`` and ``toxiproxy``, the marker ``chaos``, and ``--chaos-sweep``.

It decides at start, by text only, whether it takes part: a ``harness.toml``,
``[tool.harness]`` in pyproject.toml, ``chaos = true`` among pytest's settings
or an option ``--chaos-*``. Then the simulation's shims go in before anything
is collected, so that the modules under test see them. Otherwise nothing of
the harness is imported until a test asks for ``sim``.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.sim_fixture import Sim

_INI = "chaos"
_ACTIVE = pytest.StashKey[bool]()
_SIM = pytest.StashKey["Sim"]()
_DONE = pytest.StashKey[bool]()
_MARKER = (
    "chaos(faults=[...], seed=0, examples=1): faults for the test's `sim`, and its seed; with examples=n the body "
    "runs n times, with the seeds seed, seed + 1, ..."
)
_LATE = (
    "The simulation was installed after the modules of this test were imported, so that a lock, a clock or a queue "
    "of theirs may have escaped it: add `chaos = true` under [tool.pytest.ini_options]"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(_INI, "install the simulation before tests are collected (resilience-harness)", "bool", False)
    group = parser.getgroup("chaos", "resilience-harness")
    group.addoption("--chaos-seed", type=int, default=None, metavar="N", help="seed of each `sim` (else the marker's)")
    group.addoption(
        "--chaos-examples", type=int, default=None, metavar="N", help="runs of each `sim` test (else the marker's)"
    )
    group.addoption(
        "--chaos-sweep",
        action="store_true",
        help="repeat each test once for each fault that could strike an AWS or Redis call in it (moto, fakeredis, sim)",
    )
    group.addoption(
        "--chaos-sweep-budget",
        default="first,10m",
        metavar="WHAT,TIME",
        help="how much: `first` (of each call and kind) or `all`, and a time such as 90s, 10m, 1h (default: first,10m)",
    )
    group.addoption(
        "--chaos-sweep-kinds", default=None, metavar="KIND,...", help="with --chaos-sweep: only these kinds of fault"
    )
    group.addoption(
        "--chaos-sweep-fault", default=None, metavar="NAME", help="with --chaos-sweep: this fault alone, as reported"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config, args: list[str]) -> None:
    active = early_config.stash[_ACTIVE] = wanted(early_config, args)
    if active:
        _install(early_config)


def wanted(config: pytest.Config, args: Iterable[str]) -> bool:
    """Whether the shims go in at start; looks at text alone."""
    if any(argument.startswith("--chaos-") for argument in args) or config.getini(_INI):
        return True
    folder = config.rootpath
    return (folder / "harness.toml").is_file() or _mentions(folder / "pyproject.toml", b"[tool.harness")


def _mentions(path: Path, text: bytes) -> bool:
    try:
        return text in path.read_bytes()
    except OSError:
        return False


def _install(config: pytest.Config) -> None:
    """Put the shims in, once. What they must not touch is imported first."""
    from harness import runner

    runner.install()
    config.add_cleanup(runner.uninstall)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)
    if config.getoption("--chaos-sweep"):
        from harness.pytest_sweep import ChaosSweep

        config.pluginmanager.register(ChaosSweep(config), "chaos-sweep")


# --- seeds and examples


def _marked(item: pytest.Item | Any) -> dict[str, Any]:
    """The arguments of the test's ``chaos`` markers; a nearer one replaces, faults add up."""
    found: dict[str, Any] = {"faults": [], "seed": 0, "examples": 1}
    for marker in reversed(list(item.iter_markers("chaos"))):
        unknown = sorted(set(marker.kwargs) - set(found))
        if unknown or marker.args:
            what = ", ".join([*unknown, *(repr(one) for one in marker.args)])
            raise pytest.UsageError(f"{item.nodeid}: chaos() does not take {what}. It is {_MARKER.partition(':')[0]}")
        faults = [*found["faults"], *marker.kwargs.get("faults", ())]
        found = {**found, **marker.kwargs, "faults": faults}
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "sim" not in metafunc.fixturenames:
        return
    first, examples = _seeds(metafunc.config, _marked(metafunc.definition))
    if examples > 1:
        seeds = range(first, first + examples)
        metafunc.parametrize("sim", seeds, indirect=True, ids=[f"seed-{seed}" for seed in seeds])


def _seeds(config: pytest.Config, marked: dict[str, Any]) -> tuple[int, int]:
    seed, examples = config.getoption("--chaos-seed"), config.getoption("--chaos-examples")
    first = marked["seed"] if seed is None else seed
    count = marked["examples"] if examples is None else examples
    for name, value, least in (("seed", first, 0), ("examples", count, 1)):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise pytest.UsageError(f"chaos: {name} is {value!r}. Give a whole number, {least} or more")
    return first, count


# --- the fixture


@pytest.fixture
def sim(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Generator[Sim, None, None]:
    """A scenario made step by step and run in the test's body; see ``harness.sim_fixture.Sim``."""
    active = request.config.stash.get(_ACTIVE, False)
    if not active:
        _install(request.config)
    from harness.sim_fixture import Sim as NewSim

    marked = _marked(request.node)
    seed = getattr(request, "param", None)
    if seed is None:
        seed, _ = _seeds(request.config, marked)
    made = NewSim(
        request.node.originalname if hasattr(request.node, "originalname") else request.node.name,
        seed=seed,
        faults=[*marked["faults"], *_swept_faults(request.config)],
        command=_command(request.node, seed),
        remedy="" if active else _LATE,
        out=tmp_path_factory.getbasetemp() / "chaos",
    )
    request.node.stash[_SIM] = made
    if request.config.getoption("--chaos-sweep"):
        from harness.pytest_child import SIM

        request.node.stash[SIM] = made
    yield made
    if made.result is None and request.node.stash.get(_DONE, False):
        pytest.fail("this test asked for `sim` and never ran it: call sim.run()", pytrace=False)


def _swept_faults(config: pytest.Config) -> list[Any]:
    """The fault that a sweep tries now."""
    if not config.getoption("--chaos-sweep"):
        return []
    from harness.pytest_child import SWEPT_FAULTS

    return config.stash.get(SWEPT_FAULTS, None) or []


@pytest.fixture
def toxiproxy() -> Generator[Any, None, None]:
    """toxiproxy-python's client on a proxy server of this test; ``TOXIPROXY_URL`` names another one."""
    from harness.toxiproxy.library import client_of_a_test

    with client_of_a_test() as client:
        yield client


def _command(item: pytest.Item, seed: int) -> str:
    """The command that runs this test alone with this seed."""
    nodeid = re.sub(r"(?<=\[)seed-\d+-|-?seed-\d+(?=[-\]])", "", item.nodeid).replace("[]", "")
    quoted = f"'{nodeid}'" if re.search(r"[^\w./:-]", nodeid) else nodeid
    return f"pytest {quoted} --chaos-seed {seed} --chaos-examples 1"


# --- failures


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    made = item.stash.get(_SIM, None)
    if made is None:
        return report
    if report.when == "call":
        item.stash[_DONE] = report.passed
    if report.failed:
        report.sections.append(("chaos", _told(made)))
    return report


def _told(made: Sim) -> str:
    """Seed, command, and what the run shows, for the failure's report."""
    lines = [f"seed {made.seed}", f"again: {made.command}"]
    result = made.result
    if result is None:
        return "\n".join(lines)
    from harness.report.entries import event_in_words
    from harness.report.words import fault_in_words

    lines.append(f"verdict: {result.verdict}" + (f" ({result.reason})" if result.reason else ""))
    lines += [f"fault: {fault_in_words(fault)}" for fault in result.history.header["plan"]["faults"]]
    events = result.history.events
    for verdict in result.violated:
        lines.append(f"{verdict.name}: {verdict.detail}")
        lines += [f"  {n:>6} {event_in_words(events[n - 1])}" for n in verdict.evidence if 0 < n <= len(events)]
    for actor, stack in result.stacks.items():
        lines += [f"stack of {actor}:", stack.rstrip()]
    path = made.save()
    if path is not None:
        lines.append(f"history: {path}")
    return "\n".join(lines)
