"""The timeline as SVG: one drawing for a file of its own and for pages of both themes.

It is drawn once in placeholder colours, one for each role. A file gets the
colours of one theme; in a page each becomes a CSS variable, so that the
reader's theme, and paper, colours it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from harness.history import Event, Header
from harness.report.palette import DARK, LIGHT, Theme
from harness.report.timeline import Caption, render

__all__ = ["css_variables", "draw", "for_file", "for_page", "token_theme"]

_PLAIN = ("paper", "panel", "ink", "soft", "grid", "sent", "processed", "failed", "backlog", "in_flight", "dead")
_ROLES = (*_PLAIN, "fault", "recovery")
_PARTS = ("face", "edge", "ink")


def _colours(theme: Theme) -> dict[str, str]:
    """Every role of a theme with its colour, by the name that its CSS variable has."""
    found = {role.replace("_", "-"): str(getattr(theme, role)) for role in _ROLES}
    found |= {f"verdict-{verdict.replace(' ', '-')}": colour for verdict, colour in theme.verdicts.items()}
    for state, (face, _, edge, ink) in theme.breaker.items():
        found |= {f"breaker-{state}-{part}": colour for part, colour in zip(_PARTS, (face, edge, ink), strict=True)}
    return found


#: Role -> a colour that stands for it and that nothing else has.
_TOKENS = {role: f"#fe{index:02x}b7" for index, role in enumerate(_colours(LIGHT))}


def token_theme() -> Theme:
    """The theme of placeholder colours, for whatever becomes part of a page."""
    breaker = {
        state: (
            _TOKENS[f"breaker-{state}-face"],
            hatch,
            _TOKENS[f"breaker-{state}-edge"],
            _TOKENS[f"breaker-{state}-ink"],
        )
        for state, (_, hatch, _, _) in LIGHT.breaker.items()
    }
    verdicts = {verdict: _TOKENS[f"verdict-{verdict.replace(' ', '-')}"] for verdict in LIGHT.verdicts}
    plain = {role: _TOKENS[role.replace("_", "-")] for role in _ROLES}
    return replace(LIGHT, name="tokens", verdicts=verdicts, breaker=breaker, **plain)  # type: ignore[arg-type]  # all texts


def draw(header: Header, events: Sequence[Event], caption: Caption) -> str:
    """The drawing in placeholder colours."""
    return render(header, events, caption, theme=token_theme(), format="svg").decode("utf-8")


def for_file(drawing: str, theme: Theme = LIGHT) -> str:
    """A whole SVG document in the colours of *theme*."""
    return _replaced(drawing, _colours(theme))


def for_page(drawing: str, prefix: str) -> str:
    """An ``<svg>`` element for a page: colours by CSS variables, ids made the page's own by *prefix*."""
    start = drawing.index("<svg")
    text = _replaced(drawing[start:], {role: f"var(--p-{role})" for role in _TOKENS})
    text = re.sub(r"\s*<(metadata|style)[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)  # a page's parser knows what svg is
    used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    text = re.sub(r' id="([^"]*)"', lambda match: f' id="{prefix}{match[1]}"' if match[1] in used else "", text)
    text = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}", text)
    return re.sub(
        r'<svg([^>]*?) width="[^"]*"', r"<svg\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text, count=1), count=1
    )


def css_variables(theme_name: str) -> str:
    """The declarations ``--p-sent: #0072b2; ...`` of the theme called *theme_name* (light or dark)."""
    theme = {"light": LIGHT, "dark": DARK}[theme_name]
    return " ".join(f"--p-{role}: {colour};" for role, colour in _colours(theme).items())


_ANY_TOKEN = re.compile("|".join(_TOKENS.values()))
_ROLE_OF = {token: role for role, token in _TOKENS.items()}


def _replaced(text: str, by: dict[str, str]) -> str:
    return _ANY_TOKEN.sub(lambda match: by[_ROLE_OF[match[0]]], text)
