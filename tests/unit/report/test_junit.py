"""JUnit XML says of each verdict what the usual viewers understand."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import xmlschema

from harness.report.junit import dumps
from tests.unit.report.entries import entry, failed, one_of_each


def _cases(data: bytes) -> dict[str, list[ElementTree.Element]]:
    root = ElementTree.fromstring(data)
    return {
        case.attrib["name"]: [child for child in case if child.tag != "system-out"] for case in root.iter("testcase")
    }


def test_each_verdict_has_its_element() -> None:
    """A violation is a failure, an error an error, what was left out is skipped, a pass has nothing."""
    cases = _cases(dumps(one_of_each()))
    assert {name: [child.tag for child in children] for name, children in cases.items()} == {
        "calm": [],
        "lossy": ["failure"],
        "broken": ["error"],
        "vague": ["failure"],
        "elsewhere": ["skipped"],
    }


def test_a_failure_carries_invariant_evidence_and_command() -> None:
    """The failure's type is the invariant; its text has the event numbers and the command."""
    (failure,) = _cases(dumps([failed()]))["lossy"]
    assert failure.attrib["type"] == "no-message-loss"
    assert failure.text is not None
    assert "evidence: events 12, 40" in failure.text
    assert "again: harness run lossy --seed 7" in failure.text


def test_several_violations_are_one_failure() -> None:
    """A test fails once, however many invariants it broke; its text names each."""
    two = [{"name": name, "verdict": "violated", "detail": "d", "evidence": []} for name in ("a", "b")]
    data = dumps([entry("twice", "failed", invariants=two)])
    (failure,) = _cases(data)["twice"]
    assert failure.text is not None
    assert "a: d\nb: d\n" in failure.text
    assert ElementTree.fromstring(data).attrib["failures"] == "1"
    assert data.startswith(b"<?xml")


def test_an_allowed_inconclusive_run_is_skipped() -> None:
    """With --allow-inconclusive a run that could not be judged does not fail the suite."""
    (child,) = _cases(dumps(one_of_each(), allow_inconclusive=True))["vague"]
    assert child.tag == "skipped"
    root = ElementTree.fromstring(dumps(one_of_each(), allow_inconclusive=True))
    assert root.attrib["failures"] == "1"


def test_what_xml_cannot_hold_is_replaced() -> None:
    """Control characters of a message body do not make the file unreadable."""
    bad = {"name": "x", "verdict": "violated", "detail": "\x00\x1b[31m & <b>", "evidence": []}
    (failure,) = _cases(dumps([entry("odd\x01", "failed", invariants=[bad])]))["odd\ufffd"]
    assert failure.attrib["message"] == "x: \ufffd\ufffd[31m & <b>"


def test_statistics_are_counted() -> None:
    """The counts that viewers show are those of the cases."""
    root = ElementTree.fromstring(dumps(one_of_each()))
    assert (root.attrib["tests"], root.attrib["failures"], root.attrib["errors"]) == ("5", "2", "1")


@pytest.mark.parametrize("allowed", [False, True])
def test_the_document_fits_the_schema(allowed: bool) -> None:
    """Elements, their order and their attributes are those that CI servers accept, whatever the texts are."""
    schema = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))
    odd = {"name": "x", "verdict": "violated", "detail": "\x00 ]]> & <b>", "evidence": [1]}
    schema.validate(dumps([*one_of_each(), entry("odd", "failed", invariants=[odd])], allow_inconclusive=allowed))
    schema.validate(dumps([]))
    with pytest.raises(xmlschema.XMLSchemaValidationError):
        schema.validate(b'<testsuites tests="1" failures="0" errors="0"><testcase/></testsuites>')
