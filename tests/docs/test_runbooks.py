"""The documentation is true: its commands are typed, its Python is run, its links and names lead somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

from harness.cli.root import COMMANDS
from harness.loading import load, scenario_files
from tests.docs.desk import Desk, is_test
from tests.docs.pages import DOCS, ROOT, RUNBOOKS, Block, Link, anchors, blocks, headings, links, section
from tests.docs.services import Services

INDEX = RUNBOOKS / "README.md"
OUTAGES = [page for page in sorted(RUNBOOKS.glob("*.md")) if page != INDEX]
GUIDELINES = DOCS / "guidelines.md"
README = ROOT / "README.md"
HOW_TO = DOCS / "writing-a-scenario.md"
LAMBDA = DOCS / "lambda.md"
PROBE = DOCS / "probe.md"
SEARCH = DOCS / "search.md"

#: Pages whose commands and Python are run.
RUN = [*OUTAGES, INDEX, GUIDELINES, HOW_TO, LAMBDA, PROBE, SEARCH, DOCS / "README.md", README]
#: Pages whose links are followed.
LINKED = sorted({*RUN, *DOCS.rglob("*.md")})

SCENARIOS = {scenario.name: path for path in scenario_files(ROOT / "scenarios") for scenario in load(path)}
#: The outages that have a page.
NAMED = {
    "breaker-flapping",
    "dead-letter-queue-growing",
    "duplicate-effects",
    "poison-loop",
    "queue-backed-up",
    "redis-down",
    "restoring-after-data-loss",
    "retry-storm",
    "throttling",
}
#: Components that a scenario uses through another one.
TAKES_IN = {
    "errors": ["json_body"],
    "poison": ["ResilientConsumer"],
    "dlq": ["ResilientConsumer"],
    "queue_settings": ["ResilientConsumer"],
}
SECTIONS = ["The pager says", "Look", "Do", "It is over when", "Rehearse it"]
PYTHON = [block for page in RUN for block in blocks(page) if block.language == "python"]


def _name(value: object) -> str:
    if isinstance(value, Block | Link):
        return value.name
    assert isinstance(value, Path)
    return str(value.relative_to(ROOT))


@pytest.mark.parametrize("page", RUN, ids=_name)
def test_every_command_does_what_the_page_says(page: Path, desk: Desk) -> None:
    """Each command ends with the exit code that the page shows (0 unless it says otherwise) and prints its lines."""
    wrong = desk.follow(page, ("console", "") if page == README else ("console",))
    assert not wrong, "\n\n".join(wrong)


def test_every_python_block_runs(desk: Desk) -> None:
    """Each block of Python runs by itself in a new namespace."""
    assert len(PYTHON) >= 12
    failures = desk.run_blocks(PYTHON)
    assert not failures, "\n".join(f"{name}\n{text}" for name, text in failures.items())


def test_every_test_that_a_page_shows_passes(desk: Desk) -> None:
    """The examples for pytest pass, in a project that has `chaos = true`."""
    tests = [block for block in PYTHON if is_test(block) and block.file is None]
    assert tests
    done = desk.run_tests(tests)
    assert done.code == 0, done.shown
    assert f"{len(tests)} passed" in done.shown


@pytest.mark.parametrize("page", LINKED, ids=_name)
def test_every_block_has_a_language_that_is_checked(page: Path) -> None:
    """No block escapes: each is run, parsed, or held against the source."""
    for block in blocks(page):
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif page in RUN and page != README:
            assert block.language in ("python", "console", "log"), block.name


def test_every_log_line_is_one_that_the_components_write() -> None:
    """What a runbook quotes of the log is in the source, piece by piece between its ellipses."""
    source = "\n".join(path.read_text() for path in sorted((ROOT / "harness" / "resilience").glob("*.py")))
    lines = [
        line for page in RUN for block in blocks(page) if block.language == "log" for line in block.text.splitlines()
    ]
    assert lines
    for line in lines:
        kind, colon, rest = line.partition(": ")
        if colon and f'"{kind}"' in source:  # an event's line starts with its kind
            line = rest
        for piece in (piece.strip() for piece in line.split("…")):
            assert piece in source, f"{line!r}: {piece!r}"


@pytest.mark.parametrize("link", [link for page in LINKED for link in links(page)], ids=_name)
def test_every_link_leads_somewhere(link: Link) -> None:
    """A link leads to a file that is there, and to a heading in it; one to a scenario has the scenario's name."""
    if re.match(r"https?://", link.target):
        return
    path, _, fragment = link.target.partition("#")
    target = (link.page.parent / path).resolve() if path else link.page
    assert target.exists(), link.target
    if fragment:
        assert fragment in anchors(target), link.target
    if target.parent == ROOT / "scenarios":
        assert SCENARIOS.get(link.text.strip("`")) == target, f"{link.text} is not what {target.name} holds"


@pytest.mark.parametrize("page", OUTAGES, ids=_name)
def test_a_runbook_has_its_sections_and_a_rehearsal(page: Path) -> None:
    """Symptom, what to look at, what to type, how to know that it is over, a scenario: in this order, none empty."""
    assert [title for level, title in headings(page) if level == 2] == SECTIONS
    assert all(section(page, title).strip() for title in SECTIONS)
    assert re.search(r"^ *\$ harness (dlq|quarantine|doctor|run|check|replay)\b", section(page, "Do"), re.M)
    names = re.findall(r"^\$ harness run ([\w-]+)", section(page, "Rehearse it"), re.M)
    assert names
    assert set(names) <= set(SCENARIOS)


def test_the_index_leads_to_every_runbook() -> None:
    """No page is missing in the index, which names all nine outages."""
    found = {link.target for link in links(INDEX)}
    assert {page.name for page in OUTAGES} <= found
    assert {page.stem for page in OUTAGES} >= NAMED


def test_each_guideline_has_component_scenario_runbook_and_example() -> None:
    """A practice without code, rehearsal and procedure is a wish."""
    practices = [title for level, title in headings(GUIDELINES) if level == 3]
    assert len(practices) == 11
    for title in practices:
        text = section(GUIDELINES, title)
        targets = [found[1] for found in re.finditer(r"\]\(([^)#]+)", text)]
        for part in ("../harness/", "../scenarios/", "runbooks/"):
            assert any(target.startswith(part) for target in targets), f"{title}: no link to {part}"
        (example,) = re.findall(r"```python\n(.*?)```", text, re.S)
        lines = [line for line in example.splitlines() if line.strip()]
        assert len([line for line in lines if not re.match(r"(import|from) ", line)]) <= 4, title


def test_the_table_of_guidelines_names_what_there_is() -> None:
    """Each practice and strategy: components that can be imported, or commands; a scenario; a runbook; its section."""
    table = [line.strip("|").split("|") for line in GUIDELINES.read_text().splitlines() if line.startswith("| [")]
    assert len(table) == len([title for level, title in headings(GUIDELINES) if level == 3]) == 11
    for title, components, scenario, runbook in table:
        for name in re.findall(r"`([^`]+)`", components):
            program, _, command = name.partition(" ")
            if command:
                assert (program, command in COMMANDS) == ("harness", True), name
            else:
                assert importlib.util.find_spec(f"harness.resilience.{name}") is not None, name
        assert scenario.strip() in SCENARIOS, title
        (target,) = re.findall(r"\]\((runbooks/[\w-]+\.md)\)", runbook)
        text = section(GUIDELINES, re.sub(r"\[(.*)\]\(.*\)", r"\1", title.strip()))
        assert SCENARIOS[scenario.strip()].name in text, title
        assert target in text, title
        uses = set(re.findall(r"`(\w+)`", components))
        source = SCENARIOS[scenario.strip()].read_text()
        assert not uses or any(set(names) & set(re.findall(r"\w+", source)) for names in map(_names_of, uses)), title


def _names_of(component: str) -> list[str]:
    """What somebody who uses *component* writes: its public names, and those that take it in."""
    module = importlib.import_module(f"harness.resilience.{component}")
    return [*module.__all__, *TAKES_IN.get(component, ())]


def test_the_procedures_act(desk: Desk, services: Services) -> None:
    """What the pages replay, release and erase is where they say: the commands did not only print."""
    dead, held = services.depth("ORDERS_DLQ_URL"), services.quarantined()
    assert not desk.follow(RUNBOOKS / "restoring-after-data-loss.md", only="harness dlq replay")
    assert services.depth("ORDERS_URL") == 3
    assert services.depth("ORDERS_DLQ_URL") == dead - 3
    assert not desk.follow(RUNBOOKS / "poison-loop.md", only="harness quarantine")
    assert services.depth("ORDERS_URL") == 4
    assert services.quarantined() == held - 2
