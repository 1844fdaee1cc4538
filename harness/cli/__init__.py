"""The command line: ``harness``, one file a command.

``main`` is the entry. It turns the harness's own errors into one line on
standard error and the exit code of the design:

===== ==========================================================================
130   interrupted
2     wrong usage or input
1     a violation or finding
3     an environment could not be started, or a run ended as error
4     nothing worse than inconclusive or flaky, or everything was left out
0     all is well
===== ==========================================================================
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from harness.errors import EnvironmentFailed, HarnessError, UsageError

__all__ = ["ERROR", "FINDING", "INTERRUPTED", "OK", "UNSURE", "USAGE", "main", "run_command"]

INTERRUPTED, USAGE, FINDING, ERROR, UNSURE, OK = 130, 2, 1, 3, 4, 0

_EXTRAS = {
    "moto": "moto",
    **dict.fromkeys(("toxiproxy", "httptools", "cbor2"), "live"),
    "locust": "load",
    "pytest": "pytest",
}


def main() -> NoReturn:
    """The console script: never returns. Starts itself anew with a fixed hash seed first."""
    try:
        _fix_hash_seed()
        code = run_command(sys.argv[1:])
    except KeyboardInterrupt:
        code = _say("interrupted", INTERRUPTED)
    except Exception:
        # A defect of ours. Python's own exit code would be 1, which means a violation here.
        traceback.print_exc()
        code = ERROR
    sys.exit(code)


def _fix_hash_seed() -> None:
    """Make the order of sets of strings, in users' code too, the same in every process.

    A PYTHONHASHSEED that the user has set is kept. The process is replaced,
    so that signals and the exit code stay as they are.
    """
    if os.environ.get("PYTHONHASHSEED", "random") != "random" or not sys.flags.hash_randomization:
        return
    environ = {**os.environ, "PYTHONHASHSEED": "0"}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command in this process; returns its exit code."""
    try:
        from harness.cli.root import root
    except ModuleNotFoundError as error:
        return _missing(error)
    import click

    try:
        outcome = root.main(list(arguments) or ["--help"], prog_name="harness", standalone_mode=False)
        return outcome if isinstance(outcome, int) else OK
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return _say("interrupted", INTERRUPTED)
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "harness"
        return _say(f"{error.format_message()} (see `{usage} --help`)", USAGE)
    except UsageError as error:
        return _say(str(error), USAGE)
    except EnvironmentFailed as error:
        return _say(str(error), ERROR)
    except HarnessError as error:
        return _say(str(error), ERROR)
    except BrokenPipeError:
        # The reader (head, less) has gone: nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except ModuleNotFoundError as error:
        if error.name and error.name.split(".")[0] in _EXTRAS | dict.fromkeys(_SIM_MODULES, "sim"):
            return _missing(error)
        raise


_SIM_MODULES = (
    "greenlet", "boto3", "botocore", "redis", "fakeredis", "hypothesis", "matplotlib", "orjson", "click", "rich",
    "jinja2", "junitparser", "jsonpath",
)  # fmt: skip


def _missing(error: ModuleNotFoundError) -> int:
    module = (error.name or "").split(".")[0]
    extra = _EXTRAS.get(module, "sim")
    return _say(f"{module} is not installed. Install it with: pip install 'resilience-harness[{extra}]'", ERROR)


def _say(text: str, code: int) -> int:
    """One line on standard error, then the exit code."""
    print("harness: " + " ".join(text.split()), file=sys.stderr)
    return code
