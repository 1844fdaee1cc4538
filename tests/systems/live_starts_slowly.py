"""A consumer whose modules take a minute to import: a run that waits for it has not begun."""

import time

time.sleep(60)


def main() -> None:
    """Never reached in a test."""
