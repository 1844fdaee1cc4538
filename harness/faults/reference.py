"""The reference of all kinds of faults, as Markdown, made from the code."""

from __future__ import annotations

import sys
from typing import Any

from harness.faults.kinds import Kind, Parameter, layer_kinds

__all__ = ["main", "markdown"]

_INTRODUCTION = """\
# Faults

<!-- Made from the code: python -m harness.faults.kinds > docs/faults.md -->

A fault is a value:

```python
Fault(target, kind, side="before", start=None, end=None, nth=None, probability=1.0, **parameters)
```

- **target**: a point without its side (`aws.sqs.DeleteMessage`, `redis.INCR`, `handler`, `dependency.payments`,
  `point.after-charge`, `process.worker`, `clock.worker`, `network.sqs`, `workload.orders`), a pattern in which `*`
  stands for any run of characters (`aws.sqs.*`), a whole layer (`redis`), or `*` for any passing of a point. An
  AWS target may name a region (`aws.sqs.SendMessage@eu-west-1`, `aws.*@us-east-1` for a region that is down); without
  one it strikes in all regions. Points of another region than the run's own (us-east-1) have it in their names.
- **side**: `before` the effect (the request was lost), `after` it (the answer was lost); the handler also has a
  `middle`: its first service call, sleep or point.
- **start**, **end**: the window in seconds since the start of the run; `start` belongs to it, `end` does not.
- **nth**: the n-th passing only, counted from 1 over all processes from the start of the run.
- **probability**: strikes each passing with this probability, drawn from the run's seed.

Window, nth and probability all apply. Handler and process kinds can be given at any point that a process passes:
they strike whoever passes it. At `process.NAME` and `clock.NAME` a fault strikes once, when its window opens; with
`nth` it strikes the process of that name at its n-th passing of any point. `flushed` and `failover` act once: when
the window opens, or, without `start`, at the first (or n-th) passing.

As JSON a plan is

```json
{"version": 1, "faults": [{"target": "aws.sqs.DeleteMessage", "kind": "timeout", "side": "after", "start": 10,
 "end": 70, "nth": null, "probability": 1.0, "parameters": {}}]}
```

Unknown fields are errors. A parameter that is left out takes its default, which is written into the JSON, so that a
saved plan means the same for ever.
"""

_LAYERS = (
    (
        "workload",
        "Workload: `workload.QUEUE`",
        "What the outside world sends; strikes in decoding, before any handler.",
    ),
    (
        "handler",
        "Handler: `handler`, `lambda.NAME`, or any point",
        "The code that works on a message. `lambda.NAME` is a call of the Lambda function of that name, in its "
        "sandbox; the request to invoke it, which Lambda makes, is `aws.lambda.Invoke`.",
    ),
    ("aws", "AWS: `aws.SERVICE.OPERATION`", "Every botocore operation of every service."),
    ("sqs", "SQS besides: `aws.sqs.OPERATION`", "What SQS may do without anything being broken."),
    ("redis", "Redis: `redis.COMMAND`", "`redis.CONNECT` is the making of a connection."),
    ("dependency", "Dependency: `dependency.NAME`", "A stub HTTP service under the real client."),
    (
        "network",
        "Network: `network.NAME`",
        "What stands behind a proxy: `sqs`, `redis`, or a dependency. The side follows from `stream`.",
    ),
    (
        "process",
        "Process: `process.NAME`, or any point",
        "A process with all its threads; of a Lambda function every sandbox, idle or not.",
    ),
    ("clock", "Clock: `clock.NAME`", "A process's wall clock; never its monotonic clock."),
)


def markdown() -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for layer, title, text in _LAYERS:
        parts.append(f"## {title}\n\n{text}\n")
        parts.append("| kind | parameters | sides | what breaks |\n| --- | --- | --- | --- |")
        parts[-1] += "".join(f"\n{_row(kind)}" for kind in layer_kinds(layer)) + "\n"
    return "\n".join(parts)


def _row(kind: Kind) -> str:
    text = kind.summary
    if kind.layer == "sqs" and kind.operations is not None:
        text += f" Strikes {', '.join(sorted(kind.operations))}."
    if kind.live_only:
        text += " Live runs only."
    if kind.beyond_moto:
        text += f" Not on moto: {kind.beyond_moto}."
    if kind.source:
        text += f" *({kind.source})*"
    parameters = "; ".join(_parameter(parameter) for parameter in kind.parameters) or "none"
    return f"| `{kind.name}` | {parameters} | {', '.join(kind.sides)} | {text} |"


def _parameter(parameter: Parameter) -> str:
    return f"`{parameter.name}` = {_default(parameter.default)}: {parameter.doc}"


def _default(value: Any) -> str:
    return "none" if value is None else f"`{value}`"


def main() -> None:
    """Print the page."""
    sys.stdout.write(markdown())
