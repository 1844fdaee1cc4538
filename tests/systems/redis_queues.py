"""Broken consumers of queues in Redis: each has one mistake that people make."""

from __future__ import annotations

import json
from typing import Any

import redis

from harness.points import effect, point


def pops_before_it_works(env: Any) -> None:
    """BLPOP: the job is nobody's while it is worked on, so a crash loses it."""
    client = redis.Redis.from_url(env.redis)
    while True:
        popped = client.blpop("jobs", timeout=5)
        if popped is not None:
            point("took")
            effect("done", json.loads(popped[1])["job"])


def never_looks_into_its_own_list(env: Any) -> None:
    """BLMOVE and LREM, but nobody takes up what a killed worker had in hand."""
    client = redis.Redis.from_url(env.redis)
    mine = f"jobs:processing:{env.process}"
    while True:
        job = client.blmove("jobs", mine, timeout=5, src="LEFT", dest="LEFT")
        if job is not None:
            point("took")
            effect("done", json.loads(job)["job"])
            client.lrem(mine, 1, job)


def acknowledges_before_it_works(env: Any) -> None:
    """XACK comes first: who is killed after it has lost the entry."""
    client = redis.Redis.from_url(env.redis, decode_responses=True)
    while True:
        for _, entries in client.xreadgroup("workers", env.process, {"orders": ">"}, count=5, block=5000):
            for entry_id, fields in entries:
                client.xack("orders", "workers", entry_id)
                point("took")
                effect("shipped", json.loads(fields["data"])["order_id"])


def never_claims(env: Any) -> None:
    """XREADGROUP reads new entries only: what a killed consumer had stays pending for ever."""
    client = redis.Redis.from_url(env.redis, decode_responses=True)
    while True:
        for _, entries in client.xreadgroup("workers", env.process, {"orders": ">"}, count=5, block=5000):
            for entry_id, fields in entries:
                point("took")
                effect("shipped", json.loads(fields["data"])["order_id"])
                client.xack("orders", "workers", entry_id)
