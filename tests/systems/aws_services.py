"""Consumers that lean on other services of AWS, with one thing broken each."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import boto3
import requests
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from harness.points import effect
from tests.systems.broken import order_of


def receive(sqs: Any, url: str, wait: int = 20) -> list[dict[str, Any]]:
    answer: dict[str, Any] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=wait)
    return list(answer.get("Messages", []))


def charges(message: dict[str, Any]) -> None:
    effect("charged", order_of(message))


def drops_what_it_cannot_fetch(env: Any) -> None:
    """Puts large bodies into S3 and does not look whether they arrived; its replay deletes what it cannot fetch."""
    sqs, s3 = boto3.client("sqs"), boto3.client("s3", config=Config(read_timeout=3))
    s3.create_bucket(Bucket="letters")
    url, dlq = env.queue_url("orders"), env.queue_url("orders-dlq")
    while True:
        for message in receive(sqs, url):
            try:
                charges(message)
            except Exception:
                key = f"{message['MessageId']}"
                try:
                    s3.put_object(Bucket="letters", Key=key, Body=message["Body"].encode())
                except (BotoCoreError, ClientError):
                    pass  # the reference is sent all the same
                letter = json.dumps({"originalMessageId": key, "payload": key})
                sqs.send_message(QueueUrl=dlq, MessageBody=letter)
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        if time.time() - 1_893_456_000 > 75:
            for letter in sqs.receive_message(QueueUrl=dlq, MaxNumberOfMessages=10).get("Messages", []):
                try:
                    found = s3.get_object(Bucket="letters", Key=json.loads(letter["Body"])["payload"])
                    sqs.send_message(QueueUrl=url, MessageBody=found["Body"].read().decode())
                except ClientError:
                    pass  # "it will have been replayed before"
                sqs.delete_message(QueueUrl=dlq, ReceiptHandle=letter["ReceiptHandle"])


def writes_what_it_read(env: Any) -> None:
    """Looks the order up in DynamoDB, charges, and writes it down: no condition, so two workers both find nothing."""
    sqs = boto3.client("sqs", config=Config(read_timeout=22))
    dynamodb = boto3.client("dynamodb", config=Config(read_timeout=3))
    try:
        dynamodb.create_table(
            TableName="claims",
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    except ClientError:
        pass  # the other worker was first
    url = env.queue_url("orders")
    while True:
        try:
            for message in receive(sqs, url):
                key = {"id": {"S": str(order_of(message))}}
                if "Item" not in dynamodb.get_item(TableName="claims", Key=key, ConsistentRead=True):
                    body = json.loads(message["Body"])
                    requests.post(f"{env.http_url('payments')}/charges", json=body, timeout=60).raise_for_status()
                    dynamodb.put_item(TableName="claims", Item=key)
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        except (BotoCoreError, ClientError):
            continue


def remembers_in_each_region(env: Any) -> None:
    """Fails over as it should, but remembers region by region what it charged: an order that is in both is twice."""
    options = Config(read_timeout=2, retries={"total_max_attempts": 1})
    east, west = (boto3.client("sqs", region_name=region, config=options) for region in ("us-east-1", "us-west-2"))
    places = {"orders-east": east, "orders-west": west}
    charged: dict[str, set[Any]] = {name: set() for name in places}
    while True:
        for message in receive(west, env.queue_url("intake"), wait=1):
            try:
                east.send_message(QueueUrl=env.queue_url("orders-east"), MessageBody=message["Body"])
            except (BotoCoreError, ClientError):
                west.send_message(QueueUrl=env.queue_url("orders-west"), MessageBody=message["Body"])
            west.delete_message(QueueUrl=env.queue_url("intake"), ReceiptHandle=message["ReceiptHandle"])
        for name, sqs in places.items():
            try:
                for message in receive(sqs, env.queue_url(name), wait=0):
                    if order_of(message) not in charged[name]:
                        charges(message)
                        charged[name].add(order_of(message))
                    sqs.delete_message(QueueUrl=env.queue_url(name), ReceiptHandle=message["ReceiptHandle"])
            except (BotoCoreError, ClientError):
                continue


def publishes_and_forgets(env: Any) -> None:
    """Announces an order, logs what fails, and deletes the order either way; charges what comes through."""
    sqs, sns = boto3.client("sqs"), boto3.client("sns", config=Config(read_timeout=5))
    topic = sns.create_topic(Name="order-events")["TopicArn"]
    arn = sqs.get_queue_attributes(QueueUrl=env.queue_url("billing"), AttributeNames=["QueueArn"])
    endpoint = arn["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": "true"})
    while True:
        for message in receive(sqs, env.queue_url("intake"), wait=1):
            try:
                sns.publish(TopicArn=topic, Message=message["Body"])
            except (BotoCoreError, ClientError):
                logging.getLogger(__name__).warning("an order was not announced")
            sqs.delete_message(QueueUrl=env.queue_url("intake"), ReceiptHandle=message["ReceiptHandle"])
        for message in receive(sqs, env.queue_url("billing"), wait=1):
            charges(message)
            sqs.delete_message(QueueUrl=env.queue_url("billing"), ReceiptHandle=message["ReceiptHandle"])
