"""What ``GET /metrics`` shows, in the text format of Prometheus: names and labels as Toxiproxy has them."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import Final

from harness.toxiproxy.chain import DIRECTIONS
from harness.toxiproxy.collection import Collection

__all__ = ["metrics_of"]

_CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_COUNTERS: Final = (
    ("received", "Bytes that were read from a proxy's source."),
    ("sent", "Bytes that were written to a proxy's sink."),
)


def metrics_of(collection: Collection, *, proxies: bool, runtime: bool) -> Callable[[], tuple[str, bytes]] | None:
    """The function that gives content type and text, or None where neither part is asked for."""
    if not (proxies or runtime):
        return None
    began = time.time()

    def text() -> tuple[str, bytes]:
        lines = _of_proxies(collection) if proxies else []
        if runtime:
            lines += _of_runtime(began)
        return _CONTENT_TYPE, ("\n".join(lines) + "\n").encode()

    return text


def _of_proxies(collection: Collection) -> list[str]:
    lines = []
    for index, (what, meaning) in enumerate(_COUNTERS):
        name = f"toxiproxy_proxy_{what}_bytes_total"
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} counter"]
        for proxy in collection.proxies.values():
            for direction in DIRECTIONS:
                labels = {
                    "direction": direction,
                    "listener": str(proxy.listen),
                    "proxy": proxy.name,
                    "upstream": proxy.upstream_text,
                }
                shown = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels.items())
                lines.append(f"{name}{{{shown}}} {proxy.bytes_of(direction)[index]}")
    return lines


def _of_runtime(began: float) -> list[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    values = {
        "process_cpu_seconds_total": ("counter", usage.ru_utime + usage.ru_stime),
        "process_max_resident_memory_bytes": ("gauge", usage.ru_maxrss * 1024),
        "process_start_time_seconds": ("gauge", began),
    }
    return [line for name, (kind, value) in values.items() for line in (f"# TYPE {name} {kind}", f"{name} {value}")]


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
