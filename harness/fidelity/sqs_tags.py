"""Tags and permissions of a queue."""

from __future__ import annotations

import json

from harness.fidelity.bench import Bench
from harness.fidelity.rows import case, recorded

__all__: list[str] = []


@case(130, "untagged-queue", "The answer for a queue without tags has no Tags key.", recorded("tag_untag_queue"))
def _no_tags(bench: Bench) -> None:
    bench.keys("ListQueueTags' answer", bench.call("ListQueueTags", QueueUrl=bench.queue()))


@case(131, "tag-and-untag", "Tags are added and taken away by key.", recorded("tag_untag_queue"))
def _tags(bench: Bench) -> None:
    url = bench.queue()
    bench.call("TagQueue", QueueUrl=url, Tags={"tag1": "value1", "tag2": "value2"})
    bench.call("UntagQueue", QueueUrl=url, TagKeys=["tag2"])
    bench.equal("the tags", bench.call("ListQueueTags", QueueUrl=url), {"Tags": {"tag1": "value1"}})
    bench.call("UntagQueue", QueueUrl=url, TagKeys=["tag1"])
    bench.keys("ListQueueTags' answer", bench.call("ListQueueTags", QueueUrl=url))


@case(
    132,
    "untag-unknown",
    "Untagging a key that is not there is no error.",
    recorded("untag_queue_ignores_non_existing_tag"),
)
def _untag_unknown(bench: Bench) -> None:
    url = bench.queue()
    bench.call("TagQueue", QueueUrl=url, Tags={"a": "b"})
    bench.call("UntagQueue", QueueUrl=url, TagKeys=["other"])
    bench.equal("the tags", bench.call("ListQueueTags", QueueUrl=url), {"Tags": {"a": "b"}})


@case(133, "tag-keys-by-case", "Upper and lower case make different tag keys.", recorded("tags_case_sensitive"))
def _tag_case(bench: Bench) -> None:
    url = bench.queue()
    bench.call("TagQueue", QueueUrl=url, Tags={"MyTag": "1", "mytag": "2"})
    bench.equal("the tags", bench.call("ListQueueTags", QueueUrl=url), {"Tags": {"MyTag": "1", "mytag": "2"}})


@case(134, "empty-tag-value", "A tag's value may be empty.", recorded("tag_queue_overwrites_existing_tag"))
def _empty_tag(bench: Bench) -> None:
    url = bench.queue()
    bench.call("TagQueue", QueueUrl=url, Tags={"a": "x"})
    bench.call("TagQueue", QueueUrl=url, Tags={"a": ""})
    bench.equal("the tags", bench.call("ListQueueTags", QueueUrl=url), {"Tags": {"a": ""}})


@case(135, "create-with-tags", "CreateQueue takes tags.", recorded("create_queue_with_tags"))
def _create_with_tags(bench: Bench) -> None:
    url = bench.create(bench.name(), tags={"a": "b"})
    bench.equal("the tags", bench.call("ListQueueTags", QueueUrl=url), {"Tags": {"a": "b"}})


_ACCOUNTS = ["111111111111", "222222222222"]


def _allow(bench: Bench, url: str, accounts: list[str], label: str = "first") -> None:
    bench.call("AddPermission", QueueUrl=url, Label=label, AWSAccountIds=accounts, Actions=["ReceiveMessage"])


# On AWS the accounts that a permission names must be there: only the caller's own is known to be.


def _own_account(bench: Bench, url: str) -> str:
    return bench.arn(url).split(":")[4]


@case(
    140,
    "permission-writes-policy",
    "AddPermission writes a policy: version, label as Sid, action, principal, resource.",
    recorded("sqs_permission_lifecycle"),
)
def _permission(bench: Bench) -> None:
    url = bench.queue()
    account = _own_account(bench, url)
    _allow(bench, url, [account])
    arn = bench.arn(url)
    policy = json.loads(bench.attribute(url, "Policy") or "{}")
    bench.equal("the policy's version", policy.get("Version"), "2008-10-17")
    bench.true(str(policy.get("Id")).startswith(f"{arn}/"), f"the policy's id is {policy.get('Id')!r}")
    (statement,) = policy["Statement"]
    bench.equal(
        "the statement",
        statement,
        {
            "Sid": "first",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{account}:root"},
            "Action": "SQS:ReceiveMessage",
            "Resource": arn,
        },
    )


@case(
    141,
    "permission-label-in-use",
    "AddPermission with a label in use is refused.",
    recorded("sqs_permission_lifecycle"),
)
def _label_in_use(bench: Bench) -> None:
    url = bench.queue()
    account = _own_account(bench, url)
    _allow(bench, url, [account])
    bench.refused(
        "AddPermission",
        "InvalidParameterValue",
        "Value first for parameter Label is invalid. Reason: Already exists.",
        shape="InvalidParameterValueException",
        QueueUrl=url,
        Label="first",
        AWSAccountIds=[account],
        Actions=["SendMessage"],
    )


@case(
    142,
    "permission-unknown-label",
    "RemovePermission with a label that is not there is refused.",
    recorded("sqs_permission_lifecycle"),
)
def _unknown_label(bench: Bench) -> None:
    bench.refused(
        "RemovePermission",
        "InvalidParameterValue",
        "Value missing for parameter Label is invalid. Reason: can't find label.",
        shape="InvalidParameterValueException",
        QueueUrl=bench.queue(),
        Label="missing",
    )


@case(
    143,
    "permission-last-label",
    "With its last label removed the queue has no Policy any more.",
    recorded("sqs_permission_lifecycle"),
)
def _last_label(bench: Bench) -> None:
    url = bench.queue()
    _allow(bench, url, [_own_account(bench, url)])
    bench.call("RemovePermission", QueueUrl=url, Label="first")
    bench.equal("Policy", bench.attribute(url, "Policy"), "")


@case(
    144,
    "permission-for-several-accounts",
    "A permission for several accounts has a list of principals.",
    recorded("sqs_permission_lifecycle"),
)
def _several_accounts(bench: Bench) -> None:
    url = bench.queue()
    if bench.remote:
        bench.call("AddPermission", QueueUrl=url, Label="first", AWSAccountIds=["*"], Actions=["ReceiveMessage"])
        return
    _allow(bench, url, _ACCOUNTS)
    (statement,) = json.loads(bench.attribute(url, "Policy") or "{}")["Statement"]
    principals = [f"arn:aws:iam::{account}:root" for account in _ACCOUNTS]
    bench.equal("the principals", sorted(statement["Principal"]["AWS"]), principals)
