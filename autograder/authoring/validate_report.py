"""What `autograder validate` prints."""

import msgspec
from rich.console import Console

from autograder.authoring.validate import Validation


def to_json(validation: Validation) -> str:
    """The contract's `units`, and beside it what is wrong in words."""
    return msgspec.json.format(msgspec.json.encode(validation), indent=2).decode()


def render_validation(validation: Validation, console: Console) -> None:
    """A line per exercise, then everything that is to be mended."""
    caught = named = total = 0
    for unit in validation.units:
        console.print(unit.id, style="bold", markup=False)
        for e in unit.exercises:
            good = sum(v.score == e.max_score for v in e.accepted)
            c, n, m = (
                sum(x.caught for x in e.misconceptions),
                sum(x.named for x in e.misconceptions),
                len(e.misconceptions),
            )
            caught, named, total = caught + c, named + n, total + m
            pending = f" and {e.pending:g} pending" if e.pending else ""
            console.print(
                f"  {e.id:32} solution {e.solution_score:g}{pending} of {e.max_score:g}, stub {e.stub_score:g}, "
                f"misconceptions {c} caught and {n} named of {m}, accepted {good} of {len(e.accepted)}",
                markup=False,
            )
    console.print(f"{caught} of {total} misconceptions caught, {named} named by their own explanation", markup=False)
    if validation.runs > 1:
        console.print(
            f"{validation.runs} runs with fresh seeds: {len(validation.changed)} verdicts changed", markup=False
        )
    for heading, lines in (
        ("to be mended", validation.failures),
        ("changed with the seed", validation.changed),
        ("caught, but not named", validation.not_named),
        ("not told apart", validation.not_separated),
    ):
        for line in lines:
            console.print(f"{heading}: {line}", style="red" if lines is validation.failures else "yellow", markup=False)
