"""The command line of a machine that has a GPU and little else: no typer, no rich, no nbgrader.

`python3 -m autograder.cli` and a bundle's own `python3 BUNDLE.zip` come here; with the full kit installed, the same
commands are in `autograder`.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from autograder.errors import UsageError
from autograder.sandbox import systems

DONE, BAD_USAGE, STOPPED = 0, 4, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; a UsageError becomes one sentence and exit code 4."""
    options = _parser().parse_args(arguments)
    try:
        systems.need_linux("this command")
        options.run(options)
    except ModuleNotFoundError as error:
        print(  # noqa: T201
            f"autograder: {sys.executable} has no {error.name}: this takes a Python with torch, triton, numpy, pytest "
            "and msgspec",
            file=sys.stderr,
        )
        return BAD_USAGE
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
    check = commands.add_parser("gpu-check", help="does everything work on this machine's GPU, and how fast is it")
    check.add_argument("--out", type=Path, metavar="FILE", help="where the JSON goes")
    check.add_argument("--budget", type=float, default=350.0, metavar="S", help="seconds for all steps together")
    check.add_argument("--step", action="append", default=[], help="only this step (may be repeated)")
    check.set_defaults(run=_gpu_check)
    calibrate = commands.add_parser("calibrate", help="thresholds for course.toml, from the solution on this GPU")
    calibrate.set_defaults(run=_calibrate)
    for command in (check, calibrate):
        command.add_argument("--course", type=Path, metavar="DIR", help="the folder with course.toml")
        command.add_argument("--isolation", default="auto", metavar="R")
        command.add_argument("--device", default="auto", help=argparse.SUPPRESS)
        command.add_argument("--quick", action="store_true", help=argparse.SUPPRESS)
    return parser


def _gpu_check(options: argparse.Namespace) -> None:
    from autograder.commands.gpu_check import check_gpu
    from autograder.commands.gpu_steps import STEPS
    from autograder.course import find_root

    known = [step.__name__ for step in STEPS]
    for step in options.step:
        if step not in known:
            raise UsageError(f"--step {step}: choose among {', '.join(known)}")
    root = options.course or find_root(Path.cwd())
    check_gpu(root, options.out, say, options.device, options.isolation, options.budget, options.step, options.quick)


def _calibrate(options: argparse.Namespace) -> None:
    from autograder.commands.gpu_check import calibrate
    from autograder.course import find_root

    root = options.course or find_root(Path.cwd())
    calibrate(root, say, options.device, options.isolation, options.quick)


def _grade(options: argparse.Namespace) -> None:
    from autograder.commands import pending

    pending.refuse_folder(options.bundle)
    pending.complete_bundle(options.bundle, pending.Options(isolation=options.isolation, device=options.device), say)


if __name__ == "__main__":
    sys.exit(main())
