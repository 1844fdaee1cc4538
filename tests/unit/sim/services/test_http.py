"""The stubs themselves."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.sim.services.http import HttpRequest, HttpResponse
from tests.unit.sim.wire.bench import Run


def test_a_stub_is_made_when_its_url_is_first_mentioned() -> None:
    """And has one address from then on."""
    with Run() as run:
        stubs = run.world.http
        assert stubs.names == []
        assert stubs.url("payments") == stubs.url("payments") == "http://payments.stub.internal:80"
        assert stubs.name_of("PAYMENTS.stub.internal") == "payments"
        assert stubs.name_of("mail.stub.internal") == "mail"
        assert stubs.names == ["payments", "mail"]


@pytest.mark.parametrize("name", ["", "Pay", "a b", "-a", "a.b", "a_b"])
def test_a_name_that_cannot_be_a_host_is_refused(name: str) -> None:
    """With the template that was wrong and what to write."""
    with Run() as run, pytest.raises(ScenarioError, match=r"\{http:.*lower-case letters"):
        run.world.http.url(name)


def test_a_stub_answers_as_it_was_told_and_tells_its_observers() -> None:
    """The observer gets what the stub answered, not what became of the answer."""
    told = []
    with Run() as run:
        stubs = run.world.http
        stubs.observers.append(lambda *seen: told.append(seen))
        stubs.respond("pay", lambda request: HttpResponse(409, body=b"twice"))
        assert stubs.carry_out(HttpRequest("pay", "POST", "/c", body=b"x")).status == 409
        stubs.respond("pay", None)
        assert stubs.carry_out(HttpRequest("pay", "GET", "/")).body == b"{}"
    assert told == [("pay", "POST", "/c", b"x", 409), ("pay", "GET", "/", b"", 200)]
