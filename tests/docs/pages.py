"""Pages of documentation as data: fenced blocks, the commands in them, links and headings."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
RUNBOOKS = DOCS / "runbooks"

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[\w-]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```\s*$", re.M | re.S)
_INLINE_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"!?\[(?P<text>[^\]\[]*)\]\((?P<target>[^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands (line of its first line of text), its language and its text."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the block shows, from a first line such as ``# scenarios/orders.py``."""
        first = re.match(r"# ([\w./-]+\.(?:py|toml))\n", self.text)
        return first[1] if first else None


@dataclass(frozen=True)
class Command:
    """A command line of a block, and the lines that the page shows under it."""

    name: str
    line: str
    output: list[str] = field(default_factory=list)

    def arguments(self, environ: Mapping[str, str]) -> list[str]:
        """Split as a shell does, variables of *environ* filled in. One that is not there is an error."""
        return shlex.split(Template(self.line).substitute(environ), comments=True)


@dataclass(frozen=True)
class Link:
    page: Path
    text: str
    target: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.target}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of *page*, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(page, text.count("\n", 0, found.start("text")) + 1, found["language"], textwrap.dedent(found["text"]))
        for found in _FENCE.finditer(text)
    ]


def commands(block: Block) -> list[Command]:
    """The commands of a ``console`` block (``$ `` before each, output below), or of a bare one (one a line)."""
    found: list[Command] = []
    for offset, line in enumerate(block.text.splitlines()):
        name = f"{block.page.relative_to(ROOT)}:{block.line + offset}"
        if block.language != "console":
            if line.strip():
                found.append(Command(name, line.strip()))
        elif line.startswith("$ "):
            found.append(Command(name, line[2:]))
        elif line.strip():
            if not found:
                raise ValueError(f"{name}: output before the first command")
            found[-1].output.append(line)
    return found


def links(page: Path) -> list[Link]:
    """The links of *page*, images too, but not those in code."""
    text = _INLINE_CODE.sub(lambda code: "" if "](" in code[0] else code[0], _FENCE.sub("", _read(page)))
    return [Link(page, found["text"], found["target"]) for found in _LINK.finditer(text)]


def anchors(page: Path) -> set[str]:
    """The fragments that lead to the headings of *page*, made as GitHub makes them."""
    return {slug(title) for _, title in headings(page)}


def headings(page: Path) -> list[tuple[int, str]]:
    """Level and title of each heading."""
    text = _FENCE.sub("", _read(page))
    return [(len(found[1]), found[2].strip()) for found in re.finditer(r"^(#+) (.+)$", text, re.M)]


def section(page: Path, title: str) -> str:
    """The text under the heading *title*, up to the next heading of its level or above."""
    text = _read(page)
    heading = re.search(rf"^(#+) {re.escape(title)}$\n", text, re.M)
    if heading is None:
        raise KeyError(f"{page.name} has no section {title!r}")
    rest = text[heading.end() :]
    end = re.search(rf"^#{{1,{len(heading[1])}}} \S", _FENCE.sub(lambda block: " " * len(block[0]), rest), re.M)
    return rest[: end.start()] if end else rest


def slug(title: str) -> str:
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def shows(expected: list[str], output: str) -> str | None:
    """The first of the *expected* lines that *output* does not have in this order; ``None`` if it has them all.

    Blanks count once however many; ``…`` stands for anything within a line.
    """
    rest = [_plain(line) for line in output.splitlines()]
    for line in expected:
        if _plain(line) == "…":
            continue
        pattern = re.compile(".*?".join(re.escape(part) for part in _plain(line).split("…")))
        place = next((number for number, one in enumerate(rest) if pattern.fullmatch(one)), None)
        if place is None:
            return line
        rest = rest[place + 1 :]
    return None


def _plain(line: str) -> str:
    return re.sub(r"\s*…\s*", "…", " ".join(line.split()))


def _read(page: Path) -> str:
    return page.read_text(encoding="utf-8")
