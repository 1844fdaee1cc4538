"""AWS services that are not simulated fall through to moto: in virtual time, under faults, the same twice."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from harness import compat
from harness.errors import SimulationError
from harness.seeds import Seeds
from harness.sim import patches
from harness.sim.verdicts import Answer, Lost
from harness.sim.wire import botocore as wire
from harness.sim.wire.botocore_moto import ACCOUNT, MotoServices
from tests.unit.sim.wire.aws import Run, client

TABLE = {
    "TableName": "records",
    "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
    "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
    "BillingMode": "PAY_PER_REQUEST",
}


@pytest.fixture(autouse=True, scope="module")
def _wired() -> Iterator[None]:
    patches.install()
    wire.install()
    yield
    wire.uninstall()
    patches.uninstall()


@contextmanager
def run(seed: int = 1) -> Iterator[Run]:
    made = Run(seed)
    made.world.elsewhere = MotoServices(made.world, Seeds(seed))
    try:
        yield made
    finally:
        made.world.elsewhere.close()


def go(main: Callable[[], Any], **options: Any) -> Any:
    with run(**options) as made:
        return made.go(main)


def test_an_object_is_kept_and_its_date_is_virtual() -> None:
    """S3 answers from moto, on the run's clock: the date of an object is that of 2030."""

    def main() -> Any:
        s3 = client(service="s3")
        s3.create_bucket(Bucket="letters")
        s3.put_object(Bucket="letters", Key="a b/1", Body=b"payload")
        found = s3.get_object(Bucket="letters", Key="a b/1")
        return found["Body"].read(), found["LastModified"]

    body, date = go(main)
    assert body == b"payload"
    assert date == datetime(2030, 1, 1, tzinfo=UTC)


def test_a_bucket_is_found_whatever_way_it_is_addressed() -> None:
    """By its host at AWS, by a path, and at an endpoint of the user's own: the same bucket."""

    def main() -> list[bytes]:
        client(service="s3").create_bucket(Bucket="letters")
        found = []
        for number, options in enumerate(
            (
                {"s3": {"addressing_style": "virtual"}, "ignore_configured_endpoint_urls": True},
                {"s3": {"addressing_style": "path"}},
                {"s3": {"addressing_style": "virtual"}},
            )
        ):
            s3 = client(service="s3", **options)
            s3.put_object(Bucket="letters", Key=str(number), Body=b"%d" % number)
            found.append(client(service="s3").get_object(Bucket="letters", Key=str(number))["Body"].read())
        s3 = boto3.client("s3", endpoint_url="http://storage.internal:4566", region_name="us-east-1")
        found.append(s3.get_object(Bucket="letters", Key="2")["Body"].read())
        return found

    assert go(main) == [b"0", b"1", b"2", b"2"]


@pytest.mark.parametrize(
    ("service", "operation", "call"),
    [
        ("s3", "ListBuckets", lambda one: one.list_buckets()),
        ("dynamodb", "ListTables", lambda one: one.list_tables()),
        ("iam", "ListUsers", lambda one: one.list_users()),
        ("ec2", "DescribeVpcs", lambda one: one.describe_vpcs()),
        ("efs", "DescribeFileSystems", lambda one: one.describe_file_systems()),
    ],
)
def test_every_protocol_carries_a_fault(service: str, operation: str, call: Callable[[Any], Any]) -> None:
    """A fault's answer reaches the client in each of AWS's protocols, and the next call succeeds."""

    def main() -> str:
        one = client(service=service, retries={"max_attempts": 0, "mode": "legacy"})
        with pytest.raises(ClientError) as caught:
            call(one)
        call(one)
        return str(caught.value.response["Error"]["Code"])

    with run() as made:
        made.faults.plan[f"aws.{service}.{operation}", "before"] = [Answer(400, "ThrottledForTest", "slow down")]
        assert made.go(main) == "ThrottledForTest"
        assert made.faults.passed.count((f"aws.{service}.{operation}", "after")) == 1
        assert [event["error"] for event in made.of("call.failed")] == ["ThrottledForTest"]


def test_an_answer_that_is_lost_had_its_effect() -> None:
    """After: the table was made, the client waited its whole read timeout for nothing."""

    def main() -> tuple[list[str], float]:
        dynamodb = client(service="dynamodb", read_timeout=7, retries={"max_attempts": 0, "mode": "legacy"})
        with pytest.raises(ReadTimeoutError):
            dynamodb.create_table(**TABLE)
        import time

        return dynamodb.list_tables()["TableNames"], time.time()

    with run() as made:
        made.faults.plan["aws.dynamodb.CreateTable", "after"] = [Lost()]
        tables, at = made.go(main)
    assert tables == ["records"]
    assert 7 < at - 1_893_456_000 < 7.1


def test_a_refusal_of_the_service_itself_stands_in_the_history_by_its_code() -> None:
    """What moto refuses is a failed call like any other."""

    def main() -> None:
        dynamodb = client(service="dynamodb")
        dynamodb.create_table(**TABLE)
        item = {"id": {"S": "1"}}
        dynamodb.put_item(TableName="records", Item=item)
        with pytest.raises(dynamodb.exceptions.ConditionalCheckFailedException):
            dynamodb.put_item(TableName="records", Item=item, ConditionExpression="attribute_not_exists(id)")

    with run() as made:
        made.go(main)
        assert [event["error"] for event in made.of("call.failed")] == ["ConditionalCheckFailedException"]


def test_regions_keep_apart() -> None:
    """A secret of one region is unknown in another; its ARN names region and account."""

    def main() -> str:
        here = client(service="secretsmanager", region="eu-west-1")
        arn = here.create_secret(Name="key", SecretString="x")["ARN"]
        with pytest.raises(ClientError, match="ResourceNotFound"):
            client(service="secretsmanager").get_secret_value(SecretId="key")
        return str(arn)

    assert go(main).startswith(f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret:key-")


def test_the_service_lives_by_its_own_clock() -> None:
    """A process whose clock is ten minutes slow gets the service's dates, not its own."""

    def main() -> datetime:
        s3 = client(service="s3")
        s3.create_bucket(Bucket="letters")
        s3.put_object(Bucket="letters", Key="1", Body=b"")
        found: datetime = s3.head_object(Bucket="letters", Key="1")["LastModified"]
        return found

    with run() as made:

        def behind() -> datetime:
            actor = made.kernel.current
            assert actor is not None
            actor.process.clock_offset_us = -600_000_000
            return main()

        assert made.go(behind) == datetime(2030, 1, 1, tzinfo=UTC)


def test_ids_of_the_services_move_none_of_the_users() -> None:
    """A call that draws ids within moto leaves the process's next uuid what it was."""

    def with_moto() -> str:
        client(service="secretsmanager").list_secrets()  # makes the account: a uuid of moto's
        return str(uuid.uuid4())

    assert go(with_moto) == go(lambda: str(uuid.uuid4()))


def test_the_same_seed_gives_the_same_answers() -> None:
    """Ids, dates and headers of two runs of one seed are equal; another seed gives others."""

    def main() -> str:
        return str(client(service="secretsmanager").create_secret(Name="key", SecretString="x"))

    assert go(main) == go(main)
    assert go(main) != go(main, seed=2)


def test_what_moto_lacks_is_said() -> None:
    """A service or an operation that nobody simulates is refused by name."""

    def main() -> list[str]:
        found = []
        for call in (
            lambda: client(service="braket").search_devices(filters=[]),
            lambda: client(service="s3").get_bucket_metadata_configuration(Bucket="letters"),
        ):
            with pytest.raises(ClientError) as caught:
                call()
            found.append(str(caught.value))
        return found

    nobody, lacking = go(main)
    assert "NotSimulated" in nobody
    assert "braket.SearchDevices reaches nothing in this run" in nobody
    assert "s3.GetBucketMetadataConfiguration reaches nothing" in lacking or "NoSuchBucket" in lacking


def test_a_failure_of_moto_is_an_internal_failure_and_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception inside moto is no exception of the consumer's: a 500, and a line for whoever reads the verdict."""

    def broken(self: object, request: object) -> None:
        raise KeyError("defect")

    monkeypatch.setattr(compat.Moto, "answer", broken)

    def main() -> str:
        with pytest.raises(ClientError) as caught:
            client(service="s3", retries={"max_attempts": 0, "mode": "legacy"}).list_buckets()
        return str(caught.value.response["Error"]["Code"])

    with run() as made:
        assert made.go(main) == "InternalFailure"
        assert ["failed in aws.s3.ListBuckets: KeyError" in text for text in made.world.elsewhere.failures] == [True]


def test_what_stood_in_moto_before_stands_there_after() -> None:
    """A run begins with empty backends, and a test suite's own moto data outlives it."""
    from moto.s3.models import s3_backends

    s3_backends["123456789012"]["aws"].create_bucket("mine", "us-east-1")
    try:

        def main() -> list[str]:
            s3 = client(service="s3")
            s3.create_bucket(Bucket="theirs")
            return [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]

        assert go(main) == ["theirs"]
        assert go(main) == ["theirs"]
        assert list(s3_backends["123456789012"]["aws"].buckets) == ["mine"]
        assert ACCOUNT not in list(s3_backends)
    finally:
        s3_backends["123456789012"].reset()


def test_a_run_that_never_calls_such_a_service_never_loads_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    """moto is an extra: a scenario that stays with SQS needs none of it."""
    monkeypatch.setattr(MotoServices, "open", lambda self: pytest.fail("moto was opened"))
    with run() as made:
        made.sqs.create_queue("orders")
        made.go(lambda: client().send_message(QueueUrl="orders", MessageBody="x"))


def _starts_a_thread(self: object, request: object) -> None:
    import threading

    threading.Thread(target=int).start()


def _sleeps(self: object, request: object) -> None:
    import time

    time.sleep(1)


@pytest.mark.parametrize("work", [_starts_a_thread, _sleeps])
def test_a_service_that_works_on_in_the_background_ends_the_run_with_the_reason(
    work: Callable[[object, object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto's code is over at once or not at all: it can start no thread and wait for nothing."""
    monkeypatch.setattr(compat.Moto, "answer", work)
    with run() as made, pytest.raises(SimulationError):
        made.go(lambda: client(service="batch").list_jobs(jobQueue="q"))
