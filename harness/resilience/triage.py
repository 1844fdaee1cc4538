"""What kind of failure a dead letter tells of: its category by words, and the group of those that failed alike.

Categories are ``timeout``, ``format_error``, ``auth_error``,
``validation_error`` and ``other``, by words in the reason, then in the error's
class. Your own come first::

    DLQAnalyzer(url, patterns={"stripe_down": r"api\\.stripe\\.com", "tenant_7": lambda letter: ...})

A *group* holds the dead letters of one error class and one stack, line numbers
and everything variable left out; where there is no stack, of one reason.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

from harness.resilience.envelope import Envelope, read_envelope
from harness.resilience.payloads import PayloadStore

__all__ = ["CATEGORIES", "DeadLetter", "Pattern", "categorize", "compile_patterns", "guide_fields", "stack_of"]

#: A regular expression (case is ignored), several of them, or a function of the dead letter.
Pattern: TypeAlias = "str | re.Pattern[str] | Iterable[str | re.Pattern[str]] | Callable[[DeadLetter], object]"

_WORDS = {
    "timeout": r"time[ds]?[\s_-]*out|deadline[\s_-]*exceeded",
    # "information" tells of no format.
    "format_error": r"(?<!in)format|pars(?:e|ing)\b|(?<![a-z])parse|json|decod|malformed|deserializ|unterminated",
    # Neither does an author of authorisation.
    "auth_error": r"(?<![a-z])auth(?!or(?!i))|oauth|unauth|permission|forbidden|access[\s_-]*denied|credential"
    r"|expired[\s_-]*token|token[\s\w]*expired",
    "validation_error": r"validat|(?<![a-z])invalid|schema|(?<![a-z])required|missing[\s_-]*(?:field|key|value|param)"
    r"|constraint|out[\s_-]*of[\s_-]*range",
}
#: The categories that are known without any pattern of the user's, in the order in which they are tried.
CATEGORIES = (*_WORDS, "other")

_COMPILED = {name: re.compile(words, re.IGNORECASE) for name, words in _WORDS.items()}

_Test: TypeAlias = "Callable[[DeadLetter], object]"


def categorize(text: str) -> str:
    """The category of an error's text."""
    return next((name for name, words in _COMPILED.items() if words.search(text)), "other")


def compile_patterns(patterns: Mapping[str, Pattern] | None) -> dict[str, _Test]:
    """The user's patterns as functions.

    Raises:
        ValueError: one is no regular expression.
    """
    compiled: dict[str, _Test] = {}
    for name, pattern in (patterns or {}).items():
        if callable(pattern):
            compiled[name] = pattern
            continue
        parts = [pattern] if isinstance(pattern, str | re.Pattern) else list(pattern)
        try:
            expressions = [re.compile(part, re.IGNORECASE) if isinstance(part, str) else part for part in parts]
        except re.error as error:
            raise ValueError(f"the pattern of {name!r} is no regular expression: {error}") from None
        compiled[name] = _matcher(expressions)
    return compiled


def _matcher(expressions: list[re.Pattern[str]]) -> _Test:
    return lambda letter: any(expression.search(letter.text) for expression in expressions)


@dataclass(frozen=True)
class DeadLetter:
    """One message of a dead-letter queue, as boto3 gave it, and what it says of its failure.

    ``payloads``: where the whole of it is, if the message carries a reference only.
    """

    message: Mapping[str, Any]
    payloads: PayloadStore | None = None

    @cached_property
    def envelope(self) -> Envelope:
        """Raises what ``payloads`` raises."""
        envelope = read_envelope(self.message)
        return envelope if self.payloads is None else envelope.fetched(self.payloads)

    @property
    def id(self) -> str:
        """Of the dead letter itself."""
        return str(self.message.get("MessageId", ""))

    @property
    def original_id(self) -> str:
        """Of the message that failed."""
        return self.envelope.message_id or self.id

    @cached_property
    def text(self) -> str:
        """What categories are looked for in: the reason, and the class of the error."""
        return " ".join(part for part in (self.envelope.reason, self.envelope.error_class) if part)

    @property
    def error_class(self) -> str:
        """The class of the error, or its first word where only a reason is known (``KeyError: 'id'``)."""
        if self.envelope.error_class:
            return self.envelope.error_class
        match = re.match(r"([A-Za-z_][\w.]*(?:Error|Exception|Timeout|Warning))\b", self.envelope.reason)
        return match.group(1) if match else ""

    @cached_property
    def group(self) -> str:
        """The group that it belongs to: 12 hexadecimal digits, the same in every process."""
        trace = stack_of(self.envelope.stack) or _constant(self.envelope.reason)
        return hashlib.blake2b(f"{self.error_class}\n{trace}".encode("utf-8", "replace"), digest_size=6).hexdigest()


_FRAME = re.compile(r"^\s*(?:File \")?([^\s\"]+?)\"?, line \d+, in (.+)$", re.MULTILINE)


def stack_of(stack: str | None) -> str:
    """The frames of a stack, without line numbers: it reads the same after the next edit of the file."""
    if not stack:
        return ""
    frames = [f"{place.replace(chr(92), '/')}:{function.strip()}" for place, function in _FRAME.findall(stack)]
    return "\n".join(frames)


_VARIABLE = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE), "<id>"),
    (re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{12,}\b", re.IGNORECASE), "<id>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"\d+(?:[.,:]\d+)*"), "<n>"),
]


def _constant(reason: str) -> str:
    """A reason without what differs from message to message."""
    text = reason[:1_000]
    for expression, instead in _VARIABLE:
        text = expression.sub(instead, text)
    return " ".join(text.split())


def guide_fields(letter: DeadLetter) -> dict[str, Any]:
    """The envelope as a filter gets it: every field of the envelope's JSON, those of the older form always there."""
    fields = letter.envelope.to_json()
    for name in ("originalMessage", "errorReason", "originalMessageId", "failedAt"):
        fields.setdefault(name, None if name == "failedAt" else "")
    return fields
