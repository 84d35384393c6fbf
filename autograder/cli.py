"""The command line: parse, call, render. What a command does lives in the module that it calls."""

import contextlib
import errno
import gc
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

try:
    import typer
    from rich.console import Console
except ImportError:  # a machine with a GPU and little else
    if __name__ != "__main__":
        raise
    from autograder.commands.bare import main as bare

    sys.exit(bare())

from autograder import installed
from autograder.course import Course, find_root, load_course
from autograder.errors import UsageError
from autograder.sandbox import systems

# The base of Typer's own errors has a public name in no version; its subclass has.
_COMMAND_LINE_ERROR: Any = typer.BadParameter.__mro__[2]

DONE, FAILED, OUR_FAULT, BAD_USAGE, STOPPED = 0, 1, 3, 4, 130

app = typer.Typer(
    help="A graded course on attention and transformers, and its autograder.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for _name in ("stdout", "stderr"):  # closed by whoever started us (`>&-`, pythonw)
    if getattr(sys, _name) is None:
        setattr(sys, _name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
# A pipe or a file has no width; a table must not lose its columns there.
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160)
err = Console(stderr=True, highlight=False, soft_wrap=True)

CourseOption = Annotated[
    Path | None, typer.Option("--course", metavar="DIR", help="The folder with course.toml (found from here upwards).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
IsolationOption = Annotated[
    str, typer.Option("--isolation", metavar="R", help="auto, bubblewrap or none (code you trust, no wall).")
]


def main() -> None:
    """Entry point: a UsageError becomes one sentence and exit code 4."""
    for stream in (sys.stdout, sys.stderr):  # a terminal without UTF-8 shows \u738b, never a question mark
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)
        sys.stdout.flush()
        if code == STOPPED:  # what Typer makes of Ctrl-C
            raise KeyboardInterrupt
    except UsageError as error:
        err.print(f"autograder: {error}", style="red", markup=False)
        code = BAD_USAGE
    except (typer.Abort, KeyboardInterrupt):
        kept = "; what was graded is kept, run the same command again to go on" if "grade" in sys.argv[1:2] else ""
        err.print(f"autograder: stopped{kept}")
        code = STOPPED
    except _COMMAND_LINE_ERROR as error:  # an unknown option, a missing argument
        err.print(f"autograder: {error.format_message()}", style="red", markup=False)
        code = BAD_USAGE
    except BrokenPipeError:
        _drop_output()
        code = DONE
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _drop_output()
        err.print(f"autograder: no room to write: {error}", style="red", markup=False)
        code = BAD_USAGE
    gc.freeze()  # the interpreter's last collections have nothing to free then: 0.2 s with nbgrader imported
    sys.exit(code or DONE)


def _drop_output() -> None:
    """Let what is still buffered go nowhere, so that the end of the process does not complain about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(asked: bool) -> None:
    if asked:
        out.print(f"autograder {installed.version()}", markup=False)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """A graded course on attention and transformers, and its autograder."""
    for sentence in installed.strangers():
        err.print(f"autograder: {sentence}", style="red", markup=False)


def _print_json(text: str) -> None:
    """The machine's output, not the console's: UTF-8 whatever the terminal's encoding is, as JSON has to be."""
    sys.stdout.flush()
    sys.stdout.buffer.write(f"{text}\n".encode())


@app.command()
def check(
    path: Annotated[Path, typer.Argument(help="A page, a unit's folder, or the folder above.")] = Path("."),
    exercise: Annotated[str | None, typer.Option(help="Only this exercise.")] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Check a page again whenever it is saved.")] = False,
    course: CourseOption = None,
) -> int:
    """Student: run the public checks on your pages."""
    from autograder.commands.check import check_path, watch_path
    from autograder.commands.checked import render_checks

    if watch:
        out.print("watching; Ctrl-C ends it")
        watch_path(_course(course, path), path, exercise, lambda checked: render_checks(checked, out))
        return DONE
    checked = check_path(_course(course, path), path, exercise)
    render_checks(checked, out)
    return DONE if checked.all_passed else FAILED


@app.command()
def grade(
    submitted: Annotated[
        Path, typer.Argument(help="<student>/<unit>/<page>.py|.ipynb, a platform's download, or an archive of either.")
    ],
    unit: Annotated[str | None, typer.Option(help="Only this unit.")] = None,
    student: Annotated[str | None, typer.Option(help="Only this student.")] = None,
    output: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where results go.")] = Path("graded"),
    jobs: Annotated[int, typer.Option(min=1, help="Submissions graded at once.")] = os.cpu_count() or 1,
    isolation: IsolationOption = "auto",
    regrade: Annotated[bool, typer.Option("--regrade", help="Grade again what stands already.")] = False,
    seed: Annotated[str | None, typer.Option(metavar="HEX", help="Draw the inputs of an earlier run again.")] = None,
    json_: JsonOption = False,
    min_score: Annotated[
        float | None, typer.Option(metavar="F", help="Exit 1 if a submission scores below this share (0 to 1).")
    ] = None,
    layout: Annotated[
        str,
        typer.Option(metavar="L", help="auto, nbgrader, moodle, canvas, gradescope, blackboard, brightspace or repos."),
    ] = "auto",
    roster: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Student ids (first column) with the names and ids they stand for."),
    ] = None,
    submitted_at: Annotated[
        Path | None,
        typer.Option("--submitted-at", metavar="CSV", help="When each student handed in; counts before all."),
    ] = None,
    no_gradebook: Annotated[bool, typer.Option("--no-gradebook", help="Write result files only.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Grade, show who would change and why, and write nothing.")
    ] = False,
    only_pending: Annotated[
        bool,
        typer.Option("--only-pending", help="Only what waits for a GPU, of results or of a bundle, on this machine."),
    ] = False,
    device: Annotated[str, typer.Option(hidden=True)] = "auto",
    course: CourseOption = None,
) -> int:
    """Instructor, CI: grade a folder of submissions behind the wall."""
    systems.need_linux("autograder grade")
    from autograder.commands.grade import Options, run_grade
    from autograder.intake.finding import Asked

    asked = Asked(unit=unit, student=student, layout=layout, roster=roster, submitted_at=submitted_at)
    if only_pending:
        return _only_pending(submitted, output, asked, isolation, device, _seed(seed), not no_gradebook, course)

    if min_score is not None and not 0 <= min_score <= 1:
        raise UsageError(f"--min-score {min_score:g}: give a share between 0 and 1")
    options = Options(
        submitted=submitted,
        asked=asked,
        out=output,
        jobs=jobs,
        isolation=isolation,
        regrade=regrade,
        seed=_seed(seed),
        gradebook=not no_gradebook,
        dry_run=dry_run,
    )
    report = run_grade(_course(course, Path.cwd()), options, quiet=json_, console=out)
    if json_:
        sys.stdout.flush()
        report.write_json(sys.stdout.buffer)
    if report.our_fault:
        return OUR_FAULT
    missed = min_score is not None and any(not g.excused and g.score < min_score * g.max_score for g in report.grades)
    return FAILED if missed else DONE


def _only_pending(
    submitted: Path,
    output: Path,
    asked: Any,
    isolation: str,
    device: str,
    seed: bytes | None,
    gradebook: bool,
    course: Path | None,
) -> int:
    from autograder.commands import pending
    from autograder.rooms.bundle import is_bundle

    options = pending.Options(isolation=isolation, device=device, seed=seed)
    if is_bundle(submitted):
        pending.complete_bundle(submitted, options, _say)
        return DONE
    found = _course(course, Path.cwd())
    with _results(found, output, gradebook) as changed:
        changed += pending.complete_here(found, submitted, output, asked, options, _say)
    return DONE


@contextlib.contextmanager
def _results(course: Course, out_folder: Path, gradebook: bool) -> Iterator[list[Any]]:
    """Alone in the folder of results; what is put into the list goes into the gradebook."""
    from autograder.commands.grade import exclusive, fill_gradebook

    if not out_folder.is_dir():
        raise UsageError(f"{out_folder} does not exist: give the folder that `grade` wrote to with --out")
    changed: list[Any] = []
    with exclusive(out_folder):
        yield changed
        if gradebook and changed:
            _say(f"gradebook: {fill_gradebook(course, out_folder, changed)}")


def _say(text: str) -> None:
    out.print(text, markup=False)


pending_app = typer.Typer(
    help="Instructor: take what waits for a GPU to another machine and back.", no_args_is_help=True
)
app.add_typer(pending_app, name="pending")


@pending_app.command()
def pack(
    submitted: Annotated[Path, typer.Argument(help="The submissions, as `grade` was given them.")],
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.zip", help="The file to write.")],
    output: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results are.")] = Path("graded"),
    unit: Annotated[str | None, typer.Option(help="Only this unit.")] = None,
    student: Annotated[str | None, typer.Option(help="Only this student.")] = None,
    layout: Annotated[str, typer.Option(metavar="L", help="As `grade` was given it.")] = "auto",
    roster: Annotated[Path | None, typer.Option(metavar="CSV", help="As `grade` was given it.")] = None,
    submitted_at: Annotated[Path | None, typer.Option("--submitted-at", metavar="CSV", help="As above.")] = None,
    course: CourseOption = None,
) -> int:
    """Write a bundle of all results that wait, for `python3 BUNDLE.zip` on a machine with a GPU."""
    systems.need_linux("autograder pending")
    from autograder.commands import pending
    from autograder.intake.finding import Asked

    found = _course(course, Path.cwd())
    asked = Asked(unit=unit, student=student, layout=layout, roster=roster, submitted_at=submitted_at)
    with _results(found, output, gradebook=False):
        pending.pack(found, submitted, bundle, output, asked, _say)
    return DONE


@pending_app.command()
def merge(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE.zip", help="The file that came back.")],
    output: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the results are.")] = Path("graded"),
    no_gradebook: Annotated[bool, typer.Option("--no-gradebook", help="Write result files only.")] = False,
    course: CourseOption = None,
) -> int:
    """Take what was completed into the results and the gradebook."""
    systems.need_linux("autograder pending")
    from autograder.commands import pending

    found = _course(course, Path.cwd())
    with _results(found, output, not no_gradebook) as changed:
        changed += pending.merge(found, bundle, output, _say)
    return DONE


@app.command()
def show(
    student: Annotated[str, typer.Argument(metavar="STUDENT", help="The name that the results have.")],
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="The unit's id.")],
    output: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where `grade --out` put the results.")] = Path(
        "graded"
    ),
    json_: JsonOption = False,
    course: CourseOption = None,
) -> int:
    """Instructor: how a score came about, test by test, and the command that repeats it."""
    from autograder.commands.show import find, render

    found = _course(course, Path.cwd())
    shown = find(found, student, found.unit(unit), output)
    if json_:
        _print_json(shown.to_json())
    else:
        render(shown, out)
    return DONE


@app.command()
def export(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="FORMAT",
            help="csv canvas moodle gradescope actions classroom50 junit markdown, or gradescope-bundle.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where `grade --out` put the results.")],
    output: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="The file, or the folder, to write (a bundle has no DIR).")
    ] = None,
    unit: Annotated[str | None, typer.Option(help="Only this unit.")] = None,
    student: Annotated[str | None, typer.Option(help="Only this student.")] = None,
    roster: Annotated[
        Path | None,
        typer.Option(metavar="CSV", help="Student ids (first column) with the names and ids they stand for."),
    ] = None,
    worksheet: Annotated[
        Path | None, typer.Option(metavar="CSV", help="moodle: the grading worksheet that Moodle exported.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=HEADER", help="moodle: what a column is called there (grade=Bewertung)."),
    ] = None,
    scale: Annotated[bool, typer.Option("--scale", help="moodle: convert to the worksheet's maximum grade.")] = False,
    visibility: Annotated[
        str, typer.Option(metavar="V", help="gradescope: visible, after_due_date, after_published or hidden.")
    ] = "visible",
    course: CourseOption = None,
) -> int:
    """Instructor, CI: write results for another system; no student code runs."""
    from autograder.commands.export import BUNDLE, asked_columns, asked_environment, export_bundle, run_export
    from autograder.results.exports.gathered import Asked

    if kind == BUNDLE:
        export_bundle(_course(course, Path.cwd()), unit, folder, output, out)
        return DONE
    if output is None:
        raise UsageError(f"export {kind} DIR OUT: give the folder of results, and what to write")
    asked = Asked(
        student=student,
        unit=unit,
        worksheet=worksheet,
        columns=asked_columns(column or []),
        scale=scale,
        visibility=visibility,
        environment=asked_environment(),
    )
    run_export(_course(course, Path.cwd()), kind, folder, output, asked, roster, out)
    return DONE


@app.command()
def build(
    check_: Annotated[bool, typer.Option("--check", help="Exit 1 if assignments/ is stale; write nothing.")] = False,
    student_kit: Annotated[Path | None, typer.Option(metavar="ZIP", help="Also pack what students need.")] = None,
    course: CourseOption = None,
) -> int:
    """Course author: solutions/ -> assignments/."""
    from autograder.authoring import build as building

    found = _course(course, Path.cwd())
    if check_:
        stale = building.stale(found)
        for path in stale:
            out.print(f"stale: {path.relative_to(found.root)}", markup=False)
        if stale:
            out.print("run `autograder build`", markup=False)
        return FAILED if stale else DONE
    changed = building.build(found)
    for path in changed:
        out.print(f"{'wrote' if path.exists() else 'removed'} {path.relative_to(found.root)}", markup=False)
    if not changed:
        out.print("assignments/ is up to date")
    if student_kit is not None:
        building.student_kit(found, student_kit)
        out.print(f"wrote {student_kit}", markup=False)
    return DONE


@app.command()
def validate(
    unit: Annotated[str | None, typer.Option(help="Only this unit.")] = None,
    repeat: Annotated[int, typer.Option(min=1, metavar="N", help="Grade everything N times with fresh seeds.")] = 1,
    seeds: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Instead: which verdicts hang on the seed, of N; in plain processes."),
    ] = 0,
    jobs: Annotated[int, typer.Option(min=1, help="Submissions graded at once.")] = os.cpu_count() or 1,
    isolation: IsolationOption = "auto",
    json_: JsonOption = False,
    course: CourseOption = None,
) -> int:
    """Course author: solutions full, stubs zero, every misconception caught and named, accepted variants full."""
    systems.need_linux("autograder validate")
    from autograder.authoring.validate import validate as run
    from autograder.authoring.validate_report import render_validation, to_json
    from autograder.sandbox.rungs import choose_rung

    found = _course(course, Path.cwd())
    units = [found.unit(unit)] if unit else list(found.units)
    if seeds:
        from autograder.authoring.seeds import chances, render

        seen = chances(found, units, seeds, jobs)
        if json_:
            _print_json(seen.to_json())
        else:
            render(seen, out)
        return FAILED if seen.found else DONE
    validation = run(found, units, choose_rung(isolation), repeat, jobs)
    if json_:
        _print_json(to_json(validation))
    else:
        render_validation(validation, out)
    return DONE if validation.passed else FAILED


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="[DIR]", help="Where the sample class goes.")] = Path("demo"),
    isolation: IsolationOption = "auto",
    course: CourseOption = None,
) -> int:
    """Newcomer: make a class of sample submissions and grade it."""
    systems.need_linux("autograder demo")
    from autograder.commands.demo import run_demo

    return OUR_FAULT if run_demo(_course(course, Path.cwd()), folder, isolation, out).our_fault else DONE


@app.command()
def doctor(json_: JsonOption = False) -> int:
    """Versions, and which isolation works on this machine and why."""
    from autograder.commands.doctor import examine, render_doctor

    findings = examine()
    if json_:
        _print_json(json.dumps(findings, indent=2))
    else:
        render_doctor(findings, out)
    return DONE if findings["usable"] else FAILED


_BARE: Any = {"add_help_option": False, "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True}}


@app.command("gpu-check", **_BARE)
def gpu_check(context: typer.Context) -> int:
    """Instructor: does everything work on this machine's GPU, and how fast is it? (--help tells the options.)"""
    from autograder.commands.bare import main as bare

    return bare(["gpu-check", *context.args])


@app.command("calibrate", **_BARE)
def calibrate(context: typer.Context) -> int:
    """Course author: thresholds for course.toml, from the solution on this machine's GPU."""
    from autograder.commands.bare import main as bare

    return bare(["calibrate", *context.args])


@app.command()
def bench(
    submissions: Annotated[
        int | None, typer.Option(min=2, help="Students of the all-right class (200, or 20 with --quick).")
    ] = None,
    unit: Annotated[str, typer.Option(help="The unit whose classes are graded.")] = "unit2_self_attention",
    quick: Annotated[
        bool, typer.Option("--quick", help="Small classes: a first impression in a minute or two.")
    ] = False,
    isolation: IsolationOption = "auto",
    json_: JsonOption = False,
    course: CourseOption = None,
) -> int:
    """What grading costs on this machine, beside nbgrader and beside the bare computation."""
    systems.need_linux("autograder bench")
    from autograder.commands.bench import FULL, QUICK, run_bench
    from autograder.commands.bench_lines import render_bench

    size = QUICK if quick else FULL
    figures = run_bench(_course(course, Path.cwd()), unit, size.of(submissions), isolation, err)
    if json_:
        _print_json(json.dumps(figures, indent=2))
    else:
        render_bench(figures, out)
    return FAILED if figures["failed"] else DONE


def _course(given: Path | None, start: Path) -> Course:
    if given is not None:
        return load_course(given)
    try:
        return load_course(find_root(start if start.exists() else Path.cwd()))
    except UsageError:
        if start == Path.cwd():
            raise
        return load_course(find_root(Path.cwd()))


def _seed(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        seed = bytes.fromhex(text)
    except ValueError:
        seed = b""
    if not 1 <= len(seed) <= 64:
        raise UsageError(f"--seed {text}: give 2 to 128 hexadecimal digits, as runs.json holds them")
    return seed


if __name__ == "__main__":
    main()
