"""A consumer whose module refuses to be imported."""

from __future__ import annotations


def main() -> None:
    """Never reached."""


raise RuntimeError("no such setting: PAYMENTS_URL")
