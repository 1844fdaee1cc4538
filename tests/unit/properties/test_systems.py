"""The packs for what works on queues: planted defects are found with a right example, what is right is left alone."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness import effects
from harness.errors import UsageError
from harness.properties import (
    ConsumerContract,
    Contract,
    DeadLetterContract,
    IdempotencyContract,
    LambdaContract,
    PropertiesFailed,
    Report,
    check_consumer,
    check_dead_letter_handler,
    check_idempotency,
    check_lambda,
    probe,
)
from tests.mutants import consumers, dead_letters, functions, once
from tests.unit.properties.system_contracts import (
    CHARGED,
    consumer_contract,
    dead_letter_contract,
    lambda_contract,
    once_contract,
    sqlite_contract,
)


def names(report: Report) -> list[str]:
    return [one.property for one in report.findings]


def found(contract: Contract, examples: int = 1, seed: int = 0) -> Report:
    return probe(contract, seed=seed, examples=examples, max_seconds=60)


# what shows by itself, without a fault or with a bad message


@pytest.mark.parametrize("kind", [dead_letters.NeverAsksForTheCount, dead_letters.ForgetsBinaryAttributes])
def test_a_consumer_with_dead_letters_is_found_out(kind: type[dead_letters.Right]) -> None:
    """A defect in how a bad message is set aside shows at once."""
    assert dead_letters.WRONG[kind] in names(found(dead_letter_contract(kind)))


def test_check_then_act_on_sqlite_is_told_as_a_story_of_two_workers(tmp_path: Path) -> None:
    """Two workers get one message, neither sees a record, and both charge: in so many words, and in the evidence."""
    report = found(sqlite_contract(once.check_then_act, tmp_path / "shop.db"))
    (finding,) = report.findings
    assert finding.property == "effects-once"
    assert finding.example == (
        "with two workers and 1 message, where aws.sqs.ReceiveMessage has messages delivered twice, at the 1st "
        'passing: the effect "charged" happened twice for message "1", because the queue delivered the message twice, '
        "as standard queues may, and worker.2 did not know what worker.1 had done"
    )
    assert any('"charged" happened for it for the 2nd time, by worker.2' in line for line in finding.evidence)
    assert finding.evidence[-2].startswith("seen: ")


def test_what_outlives_a_run_does_not_stand_in_the_way(tmp_path: Path) -> None:
    """A file that is there from earlier times, with the keys that come: no finding for what is right."""
    path = tmp_path / "shop.db"
    with once.table(str(path)) as records:
        records.executemany("INSERT INTO done VALUES (?)", [(str(number),) for number in range(10)])
    assert names(found(sqlite_contract(once.unique_constraint, path))) == []


def test_a_function_that_acknowledges_what_failed_is_found_out() -> None:
    """The smallest example is one message that cannot be read."""
    report = found(lambda_contract("swallows_then_acknowledges"))
    assert "no-message-loss" in names(report)
    assert "with 1 message, where the workload of main sends bodies that break off" in report.findings[0].example


def test_a_consumer_that_acknowledges_what_failed_is_found_out() -> None:
    """Likewise without Lambda."""
    assert "no-message-loss" in names(found(consumer_contract(consumers.AcknowledgesOnError)))


def test_effects_may_be_counted_by_a_function() -> None:
    """A counter in memory that two workers raise without asking: told as an effect that happened twice."""
    charged: Counter[str] = Counter()

    def process(message: Mapping[str, Any]) -> None:
        charged[once.key_of(message)] += 1

    contract = IdempotencyContract(process, once.key_of, charged.__getitem__, name="counter")
    assert "effects-once" in names(found(contract))


def test_coroutine_functions_are_probed_too() -> None:
    """A consumer and its handler as coroutines: the same defects, and none in what is right."""

    async def run(sqs: Any, main: str, dlq: str, handler: Any) -> None:
        while True:
            for message in sqs.receive_message(QueueUrl=main).get("Messages", []):
                try:
                    await handler(message)
                finally:
                    sqs.delete_message(QueueUrl=main, ReceiptHandle=message["ReceiptHandle"])

    assert "no-message-loss" in names(found(DeadLetterContract(run, 3)))


def test_keys_may_be_message_ids() -> None:
    """What the component calls a message is led back to it, whatever it is called by."""

    def handler(event: Mapping[str, Any], context: object) -> None:
        from harness import points

        for record in event["Records"]:
            points.effect("charged", record["messageId"])

    assert names(found(LambdaContract(handler, CHARGED))) == []


def test_one_error_tells_the_findings_and_the_same_seed_the_same_report() -> None:
    """check_* raises one report; probing again gives an equal one, which JSON can hold."""
    contract = consumer_contract(consumers.AcknowledgesOnError)
    with pytest.raises(PropertiesFailed) as caught:
        check_consumer(contract, examples=1)
    report = caught.value.report
    assert "✗ no-message-loss" in str(report)
    assert probe(contract, examples=1) == report
    document = json.loads(json.dumps(report.to_json()))
    assert (document["kind"], document["contract"]) == ("consumer", "AcknowledgesOnError")


def test_keys_that_are_no_message_are_refused() -> None:
    """Effects that name nothing that was sent: one message with the remedy, not a finding."""

    def start(sqs: Any, main: str, dlq: str) -> None:
        from harness import points

        while True:
            for message in sqs.receive_message(QueueUrl=main).get("Messages", []):
                points.effect("charged", "of another world")
                sqs.delete_message(QueueUrl=main, ReceiptHandle=message["ReceiptHandle"])

    with pytest.raises(UsageError, match=r'effects: effects were seen for "of another world".*Name the effect'):
        found(ConsumerContract(start, CHARGED))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DeadLetterContract(print, 0), r"DeadLetterContract.max_receives: is 0. Give a whole number"),
        (lambda: ConsumerContract(print, ()), r"ConsumerContract.effects: names nothing"),
        (lambda: ConsumerContract(print, "charged"), r"ConsumerContract.effects: 'charged' is no effect"),  # type: ignore[arg-type]
        (lambda: LambdaContract(print, CHARGED, bathc_size=3), r"LambdaContract.bathc_size: is no setting"),
        (lambda: IdempotencyContract(print, str, CHARGED, remembers=0), r"IdempotencyContract.remembers: is 0"),
    ],
)
def test_an_impossible_contract_is_refused(make: Any, message: str) -> None:
    """A value that can mean nothing is named with its remedy."""
    with pytest.raises(UsageError, match=message):
        make()


# everything, in nightly


@pytest.mark.slow
@pytest.mark.parametrize("kind", dead_letters.WRONG)
def test_every_defect_of_dead_letters_is_found(kind: type[dead_letters.Right]) -> None:
    """Each mutant breaks the property that names its defect."""
    assert dead_letters.WRONG[kind] in names(found(dead_letter_contract(kind), 200))


@pytest.mark.slow
@pytest.mark.parametrize("kind", once.WRONG)
def test_every_defect_of_idempotency_is_found(kind: type[once.Right]) -> None:
    """Each mutant on Redis breaks the property that names its defect."""
    assert once.WRONG[kind] in names(found(once_contract(kind), 200))


@pytest.mark.slow
def test_a_row_before_the_effect_is_found(tmp_path: Path) -> None:
    """SQLite: what dies between the row and the effect is never made good."""
    assert names(found(sqlite_contract(once.record_before_effect, tmp_path / "shop.db"), 200)) == ["at-least-once"]


@pytest.mark.slow
@pytest.mark.parametrize("name", functions.WRONG)
def test_every_defect_of_functions_is_found(name: str) -> None:
    """Each mutant breaks the property that names its defect."""
    assert functions.WRONG[name] in names(found(lambda_contract(name), 200))


@pytest.mark.slow
@pytest.mark.parametrize("kind", consumers.WRONG)
def test_every_defect_of_consumers_is_found(kind: type[consumers.Right]) -> None:
    """Each mutant breaks the property that names its defect."""
    assert consumers.WRONG[kind] in names(found(consumer_contract(kind), 200))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_what_is_right_gives_no_finding(seed: int, tmp_path: Path) -> None:
    """What the mutants differ from is left alone, under ten seeds."""
    check_dead_letter_handler(dead_letter_contract(dead_letters.Right), seed=seed, examples=400)
    check_idempotency(once_contract(once.Right), seed=seed, examples=400)
    check_idempotency(sqlite_contract(once.unique_constraint, tmp_path / "shop.db"), seed=seed, examples=400)
    check_lambda(lambda_contract("right"), seed=seed, examples=400)
    check_consumer(consumer_contract(consumers.Right), seed=seed, examples=400)


def test_what_is_right_is_left_alone() -> None:
    """The fixed part of it in every run of the tests."""
    check_dead_letter_handler(dead_letter_contract(dead_letters.Right), examples=2)
    check_idempotency(once_contract(once.Right), examples=1)
    check_lambda(lambda_contract("right"), examples=1)
    check_consumer(consumer_contract(consumers.Right), examples=2)


def test_effects_are_checked_early() -> None:
    """A connection is no effect: refused when the contract is made."""
    with pytest.raises(UsageError, match="no effect"):
        ConsumerContract(print, [sqlite3.connect(":memory:")])  # type: ignore[list-item]
    assert ConsumerContract(print, [effects.point("a"), effects.point("b")]).effects == (
        effects.point("a"),
        effects.point("b"),
    )


def test_message_ids_are_new_where_something_outlives_a_run(tmp_path: Path) -> None:
    """Code that keeps message ids in a file is right, however often it is run."""
    path = str(tmp_path / "shop.db")

    def process(message: Mapping[str, Any], records: sqlite3.Connection) -> None:
        with records:
            if records.execute("INSERT OR IGNORE INTO done VALUES (?)", (message["MessageId"],)).rowcount:
                once.charge(message["MessageId"])

    contract = IdempotencyContract(
        process, lambda message: message["MessageId"], CHARGED, store=lambda: once.table(path)
    )
    assert names(found(contract)) == []


def test_what_is_counted_is_counted_by_the_contracts_key() -> None:
    """A message's id as key, and a function that counts by it: the effect is seen."""
    charged: Counter[str] = Counter()

    def process(message: Mapping[str, Any]) -> None:
        charged[message["MessageId"]] += 1

    contract = IdempotencyContract(process, lambda message: message["MessageId"], charged.__getitem__)
    assert names(found(contract)) == ["effects-once"]
