"""The command line of a machine that has a GPU and little else: no typer, no rich, no nbgrader.

`python3 -m autograder.cli` and a bundle's own `python3 BUNDLE.zip` come here; with the full kit installed, the same
commands are in `autograder`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from autograder.errors import UsageError

DONE, BAD_USAGE, STOPPED = 0, 4, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a UsageError becomes one sentence and exit code 4."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except UsageError as error:
        print(f"autograder: {error}", file=sys.stderr)  # noqa: T201
        return BAD_USAGE
    except KeyboardInterrupt:
        print("autograder: stopped; what was completed is kept", file=sys.stderr)  # noqa: T201
        return STOPPED
    return DONE


def say(text: str) -> None:
    """One line for the user, at once."""
    print(text, flush=True)  # noqa: T201


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autograder", description="Without typer and rich, only these commands are there."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    grade = commands.add_parser("grade", help="complete the pending tests in a bundle")
    grade.add_argument("--only-pending", action="store_true", required=True)
    grade.add_argument("bundle", type=Path)
    grade.add_argument("--isolation", default="auto", metavar="R")
    grade.add_argument("--device", default="auto", help=argparse.SUPPRESS)
    grade.set_defaults(run=_grade)
    return parser


def _grade(options: argparse.Namespace) -> None:
    from autograder.commands import pending

    pending.refuse_folder(options.bundle)
    pending.complete_bundle(options.bundle, pending.Options(isolation=options.isolation, device=options.device), say)


if __name__ == "__main__":
    sys.exit(main())
