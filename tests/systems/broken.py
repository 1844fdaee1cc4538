"""Consumers with one thing broken each, as they are found in the wild."""

from __future__ import annotations

import dataclasses
import json
import random
import time
from typing import Any

import boto3
import redis
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.points import effect
from harness.resilience import (
    CircuitBreaker,
    CircuitBreakerOpenException,
    CircuitState,
    Constant,
    ConsumerOptions,
    Hysteresis,
    PermanentError,
    RedisBreakerStore,
    ResilientConsumer,
    Retry,
    ServiceDegradationManager,
    json_body,
)
from harness.resilience.breaker_store import Question, View


def order_of(message: dict[str, Any]) -> Any:
    return json.loads(message["Body"])["order_id"]


def receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    answer: dict[str, Any] = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=20, AttributeNames=["All"]
    )
    return list(answer.get("Messages", []))


def dies_of_the_first_error(env: Any) -> None:
    """No error handling at all: one throttled call too many ends the process."""
    sqs = boto3.client("sqs", config=Config(retries={"mode": "standard", "max_attempts": 1}))
    url = env.queue_url("orders")
    while True:
        for message in receive(sqs, url):
            effect("charged", order_of(message))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def waits_ten_minutes_after_an_error(env: Any) -> None:
    """A backoff that somebody set in minutes: the outage is long over when it wakes."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        try:
            for message in receive(sqs, url):
                effect("charged", order_of(message))
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except (ClientError, BotoCoreError):
            time.sleep(600)


def remembers_in_a_dict(env: Any) -> None:
    """Idempotency in the memory of one process, by message id: the other worker knows nothing of it."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    seen: set[str] = set()
    while True:
        for message in receive(sqs, url):
            if message["MessageId"] not in seen:
                requests.post(f"{env.http_url('payments')}/charges", data=message["Body"], timeout=5)
                seen.add(message["MessageId"])
            try:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            except (ClientError, BotoCoreError):
                continue


def deletes_before_it_dead_letters(env: Any) -> None:
    """Delete, then send to the dead-letter queue: what dies between loses the message."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        for message in receive(sqs, url):
            order = order_of(message)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            if order % 10 == 7:
                sqs.send_message(QueueUrl=env.queue_url("orders-dlq"), MessageBody=message["Body"])
            else:
                effect("charged", order)


def ships(message: dict[str, Any]) -> None:
    effect("shipped", order_of(message))


def does_not_extend_visibility(env: Any) -> None:
    """No heartbeat: a slow handler's message is delivered to the next worker."""
    options = ConsumerOptions(heartbeat=False)
    ResilientConsumer(env.queue_url("orders"), ships, dlq_url=env.queue_url("orders-dlq"), options=options).run()


def charges(message: dict[str, Any]) -> None:
    effect("charged", order_of(message))


def never_asks_for_the_receive_count(env: Any) -> None:
    """Retries for ever: poison comes back until its retention ends."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        for message in receive(sqs, url):
            try:
                charges(message)
            except Exception:
                continue
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def lets_redis_errors_through(env: Any) -> None:
    """Counts failures in Redis before anything else: no Redis, no consumer."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    counts = redis.Redis.from_url(env.redis, socket_timeout=2)
    while True:
        for message in receive(sqs, url):
            key = f"message_failures:{message['MessageId']}"
            if int(counts.get(key) or 0) >= 3:
                sqs.send_message(QueueUrl=env.queue_url("orders-dlq"), MessageBody=message["Body"])
            else:
                try:
                    charges(message)
                except Exception:
                    counts.incr(key)
                    continue
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def trusts_redis_with_the_only_copy(env: Any) -> None:
    """Moves each order to a Redis list, deletes it from the queue, and works from the list."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    store = redis.Redis.from_url(env.redis)
    while True:
        for message in receive(sqs, url):
            store.rpush("todo", message["Body"])
            try:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            except (ClientError, BotoCoreError):
                continue
        if (store.llen("todo") or 0) >= 10:
            for _ in range(10):
                body = store.lpop("todo")
                if body is not None:
                    effect("charged", json.loads(body)["order_id"])


def _charging(env: Any) -> Any:
    def charge(message: dict[str, Any]) -> None:
        answer = requests.post(f"{env.http_url('payments')}/charges", json=json_body(message), timeout=5)
        answer.raise_for_status()

    return charge


class Turnstile(CircuitBreaker):
    """Forgets the probes that are under way."""

    _probes = property(lambda self: 0, lambda self, value: None)  # type: ignore[assignment]  # what is broken


def lets_everybody_in_at_half_open(env: Any) -> None:
    """The breaker says that it permits one probe and admits any number."""
    breaker = Turnstile(failure_threshold=5, recovery_timeout=20, name="payments")
    ResilientConsumer(
        env.queue_url("orders"),
        lambda message: breaker.call(_charging(env), message),
        dlq_url=env.queue_url("orders-dlq"),
        max_receives=50,
        options=ConsumerOptions(concurrency=8),
    ).run()


class OpenDoor(RedisBreakerStore):
    """Shares the state, and keeps no count of the permits."""

    def ask(self, breaker: str, question: Question) -> View:
        view = super().ask(breaker, question)
        half_open = question.kind == "admit" and view.state is CircuitState.HALF_OPEN
        return dataclasses.replace(view, yes=True) if half_open else view


def probes_in_every_process(env: Any) -> None:
    """The breaker's state is shared, its permits are not: at half-open each process sends its own probe."""
    store = OpenDoor(redis.Redis.from_url(env.redis, socket_timeout=1))
    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=20, name="payments", store=store)
    ResilientConsumer(
        env.queue_url("orders"),
        _charging(env),
        dlq_url=env.queue_url("orders-dlq"),
        breaker=breaker,
        max_receives=5,
        options=ConsumerOptions(concurrency=2),
    ).run()


def breaker_on_the_wall_clock(env: Any) -> None:
    """The breaker counts its recovery timeout on a clock that can jump."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    charge = _charging(env)
    breaker = CircuitBreaker(failure_threshold=5, recovery_timeout=30, name="payments", clock=time.time)
    while True:
        for message in receive(sqs, url):
            try:
                breaker.call(charge, message)
            except (requests.RequestException, CircuitBreakerOpenException):
                continue
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def gives_up_when_refused(env: Any) -> None:
    """Takes a refused signature for a configuration error and exits."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        try:
            for message in receive(sqs, url):
                charges(message)
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except ClientError as error:
            raise SystemExit(1) from error


def skips_what_it_cannot_read(env: Any) -> None:
    """Deletes malformed messages, so that they do not come back."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        for message in receive(sqs, url):
            try:
                order = json_body(message, required=["order_id"])["order_id"]
            except PermanentError:
                order = None
            if order is not None:
                effect("charged", order)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def deletes_in_finally(env: Any) -> None:
    """The tutorial's consumer: whatever happened, the message is deleted."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    charge = _charging(env)
    while True:
        try:
            for message in receive(sqs, url):
                try:
                    charge(message)
                finally:
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except (ClientError, BotoCoreError, requests.RequestException):
            time.sleep(1)


def idempotent_by_nothing(env: Any) -> None:
    """No idempotency at all, where effects are promised once."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        for message in receive(sqs, url):
            charges(message)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def checks_then_acts(env: Any) -> None:
    """Asks Redis whether the order was charged, charges it, and writes that down: two workers ask at the same time."""
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    store = redis.Redis.from_url(env.redis)
    while True:
        for message in receive(sqs, url):
            key = f"charged:{order_of(message)}"
            if not store.get(key):
                time.sleep(2)
                charges(message)
                store.set(key, "1")
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def replays_past_its_visibility(env: Any) -> None:
    """Replays ten dead letters at a time, looking at each: the last ones are visible again before it comes to them."""
    sqs = boto3.client("sqs")
    url, dlq = env.queue_url("orders"), env.queue_url("orders-dlq")
    began = time.monotonic()
    replayed = False
    while True:
        for message in receive(sqs, url):
            try:
                charges(message)
            except Exception:
                sqs.send_message(QueueUrl=dlq, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        if not replayed and time.monotonic() - began > 75:
            while letters := receive(sqs, dlq):
                for message in letters:
                    time.sleep(4)
                    sqs.send_message(QueueUrl=url, MessageBody=message["Body"])
                    sqs.delete_message(QueueUrl=dlq, ReceiptHandle=message["ReceiptHandle"])
            replayed = True


_payments = {"url": ""}


def pays(message: dict[str, Any]) -> None:
    answer = requests.post(f"{_payments['url']}/charges", json=json_body(message), timeout=5)
    answer.raise_for_status()


def _consume(env: Any, on_error: Any) -> None:
    """A plain consumer of the payments, which tells its errors to *on_error*."""
    _payments["url"] = env.http_url("payments")
    sqs = boto3.client("sqs")
    url = env.queue_url("orders")
    while True:
        for message in receive(sqs, url):
            try:
                pays(message)
            except requests.RequestException as error:
                on_error(error)
            else:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


def _tells_each_error(cloudwatch: Any, dimensions: list[dict[str, str]]) -> Any:
    def tell(error: Exception) -> None:
        datum = {"MetricName": "ErrorCount", "Value": 1, "Unit": "Count", "Dimensions": dimensions}
        try:
            cloudwatch.put_metric_data(Namespace="Messaging/Errors", MetricData=[datum])
        except (ClientError, BotoCoreError):
            return

    return tell


def _error_alarm(cloudwatch: Any, **more: Any) -> None:
    try:
        cloudwatch.put_metric_alarm(
            AlarmName="HighErrorRate",
            MetricName="ErrorCount",
            Threshold=100,
            ComparisonOperator="GreaterThanThreshold",
            Period=300,
            EvaluationPeriods=2,
            **more,
        )
    except ClientError:
        return


def one_call_for_each_error(env: Any) -> None:
    """Each error is a request of its own, which is dropped if CloudWatch does not take it."""
    cloudwatch = boto3.client("cloudwatch")
    _error_alarm(cloudwatch, Namespace="Messaging/Errors", Statistic="Sum", TreatMissingData="notBreaching")
    _consume(env, _tells_each_error(cloudwatch, []))


def alarm_without_namespace_and_statistic(env: Any) -> None:
    """The guide's alarm: CloudWatch refuses it, and nobody looks."""
    cloudwatch = boto3.client("cloudwatch")
    _error_alarm(cloudwatch)
    _consume(env, _tells_each_error(cloudwatch, []))


def alarm_without_the_dimensions_of_its_metric(env: Any) -> None:
    """The alarm watches the sum of all services, which CloudWatch does not make."""
    cloudwatch = boto3.client("cloudwatch")
    _error_alarm(cloudwatch, Namespace="Messaging/Errors", Statistic="Sum", TreatMissingData="notBreaching")
    _consume(env, _tells_each_error(cloudwatch, [{"Name": "ServiceName", "Value": "orders"}]))


def alarm_that_takes_silence_for_an_outage(env: Any) -> None:
    """Missing data counts as breaching: without errors there is no data, and the alarm never clears."""
    cloudwatch = boto3.client("cloudwatch")
    _error_alarm(cloudwatch, Namespace="Messaging/Errors", Statistic="Sum", TreatMissingData="breaching")
    _consume(env, _tells_each_error(cloudwatch, []))


def degrades_without_hysteresis(env: Any) -> None:
    """The level follows each reading at once, up and down: what it switches off makes it switch it on again."""
    shop = env.http_url("shop")
    degradation = ServiceDegradationManager(
        features=["recommendations"],
        thresholds={"queue_depth": (50, 100, 400, 10_000)},
        hysteresis=Hysteresis(rise_seconds=0, fall_seconds=0, dwell_seconds=0, recovery_share=1, growth=1),
        window=5,
        interval=1,
        queue_interval=1,
        name="shop",
    )

    def handle(message: dict[str, Any]) -> None:
        if degradation.features.enabled("recommendations"):
            requests.get(f"{shop}/recommendations", timeout=5).raise_for_status()
        requests.post(f"{shop}/charges", json=json_body(message), timeout=5).raise_for_status()

    ResilientConsumer(
        env.queue_url("orders"),
        handle,
        dlq_url=env.queue_url("orders-dlq"),
        degradation=degradation,
        breaker=CircuitBreaker(failure_threshold=8, recovery_timeout=5, name="shop"),
        max_receives=50,
        retry_delay=lambda receives: min(60, 2**receives),
        options=ConsumerOptions(concurrency=4),
    ).run()


def retries_without_a_budget(env: Any) -> None:
    """Ten tries for each order, whatever the service can bear: the storm outlives what began it."""
    ResilientConsumer(
        env.queue_url("orders"),
        _charging(env),
        dlq_url=env.queue_url("orders-dlq"),
        retry=Retry(Constant(0.2), max_retries=9, name="payments"),
        max_receives=1_000,
        retry_delay=lambda receives: random.uniform(20, 40),
        options=ConsumerOptions(concurrency=16),
    ).run()
