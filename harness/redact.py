"""The one place where secrets are taken out before anything is written.

Every event passes :func:`redact` on its way into a history: access keys,
bearer tokens, passwords in URLs and e-mail addresses become ``[redacted]``.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

__all__ = ["MASK", "mask_addresses", "names_a_secret", "redact", "redact_name", "redact_text"]

MASK = "[redacted]"

_SECRET = re.compile(
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access key ids
    r"|(?i:\b(?:bearer|basic)\s+)[A-Za-z0-9+/=._~-]{8,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user:password in a URL
    r"|\b[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+\b"  # e-mail addresses
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"  # JSON web tokens
)
_NAMED = re.compile(
    r"(?i)(\"?(?:password|passwd|secret|secret[_-]?(?:access[_-]?)?key|api[_-]?key|access[_-]?token|auth[_-]?token"
    r"|session[_-]?token|authorization)\"?\s*[:=]\s*\"?)([^\s\",}&]+)"
)
# A cheap test that almost every text fails: one of these must be there for a pattern to match.
_HINTS = ("akia", "asia", "bearer", "basic", "@", "eyj", "passw", "secret", "key", "token", "authorization")
_HINT = re.compile("(?i)" + "|".join(_HINTS))
_SECRET_NAMES = ("password", "passwd", "secret", "token", "api_key", "apikey", "authorization", "credential")
_SHORTEST_SECRET = 5  # a@b.c
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{6,}")


def names_a_secret(name: str) -> bool:
    """Whether a variable of this name holds a secret, whatever it looks like."""
    return any(word in name.lower() for word in _SECRET_NAMES)


def redact_text(text: str) -> str:
    """*text* without what looks like a secret."""
    if text.isascii():
        lowered = text.lower()
        for hint in _HINTS:  # a fifth of the regular expression's cost, and every body passes here
            if hint in lowered:
                break
        else:
            return text
    elif not _HINT.search(text):
        return text
    # The named ones second: of "Authorization: Bearer <token>" they would take the word and leave the token.
    return _NAMED.sub(rf"\1{MASK}", _SECRET.sub(MASK, text))


def redact_name(text: str) -> str:
    """A message's key or another name without secrets: what names two things apart still does, by a keyed digest."""
    if len(text) < _SHORTEST_SECRET:
        return text
    shown = redact_text(text)
    if shown == text:
        return text
    return f"{shown}{hashlib.blake2b(text.encode('utf-8', 'replace'), digest_size=6, key=b'harness').hexdigest()}"


def mask_addresses(text: str) -> str:
    """*text* without memory addresses, which differ from run to run."""
    return _ADDRESS.sub("0x...", text) if "0x" in text else text


def redact(value: Any) -> Any:
    """*value* (text, or lists and dicts of it) without what looks like a secret."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {name: redact(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [redact(one) for one in value]
    return value
