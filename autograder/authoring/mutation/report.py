"""What `make mutation` prints."""

from collections.abc import Sequence

import msgspec
from rich.console import Console

from autograder.authoring.mutation.run import WANTED, MutatedUnit


def to_json(units: Sequence[MutatedUnit]) -> str:
    """All figures and survivors."""
    return msgspec.json.format(msgspec.json.encode({"units": units}), indent=2).decode()


def render(units: Sequence[MutatedUnit], console: Console) -> None:
    """A line per exercise, every survivor with its diff, then what is to be mended."""
    for unit in units:
        console.print(unit.id, style="bold", markup=False)
        for e in unit.exercises:
            counted = e.mutants - e.equivalent
            listed = f", {e.equivalent} equivalent" if e.equivalent else ""
            console.print(f"  {e.id:32} {e.score:6.1%}  {e.caught} of {counted} caught{listed}", markup=False)
        caught = sum(e.caught for e in unit.exercises)
        counted = sum(e.mutants - e.equivalent for e in unit.exercises)
        style = "" if unit.score >= WANTED else "red"
        console.print(
            f"  {'together':32} {unit.score:6.1%}  {caught} of {counted} caught, {WANTED:.0%} are asked",
            style=style,
            markup=False,
        )
    for unit in units:
        for e in unit.exercises:
            for survivor in e.survivors:
                console.print(
                    f"survivor: {e.id}, {survivor.symbol}, line {survivor.line}, {survivor.change}",
                    style="yellow",
                    markup=False,
                )
                for line in survivor.diff:
                    console.print(f"    {line}", markup=False)
        for line in unit.stale:
            console.print(f"stale: {line}", style="red", markup=False)
        for line in unit.grader_errors:
            console.print(line, style="red", markup=False)
