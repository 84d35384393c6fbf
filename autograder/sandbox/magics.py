"""Cells as Jupyter, Colab and their exports leave them -> Python. Inside the wall; nothing is executed here.

A cell that is Python as it stands is left alone, `%` may also open a continued line. Otherwise the line at which Python
gives up is looked at: if it is a magic or a shell line it is replaced, and the cell is tried again. Line numbers stay.
As in IPython, a margin does not count: what all lines are indented by, and the prompts of a session that was pasted.
"""

import ast
import re

AWAITING = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_RUN = {"time", "timeit", "capture", "prun"}
# The body of any other magic (%%memit, %%wandb) is run if it is Python.
_NOT_RUN = {
    *("!", "sx", "system", "cmd", "bash", "sh", "zsh", "shell", "powershell", "pwsh", "script"),
    *("perl", "ruby", "R", "julia", "js", "javascript"),
    *("html", "HTML", "latex", "markdown", "svg", "SVG", "sql", "bigquery", "cpp", "cu", "cuda", "cython", "fortran"),
    *("python", "python2", "python3", "pypy", "writefile", "file", "writetemplate", "skip"),
}
_MAX_LINES = 1000
_CELL_MAGIC = re.compile(r"\s*%%(?P<name>!|[\w.]+)")
_TIMED = re.compile(r"^(?P<indent>\s*)%(?:time|prun)\s+(?!-)(?P<statement>\S.*)$")
_ASSIGNED = re.compile(r"^(?P<target>\s*[\w.\[\], ]+=\s*)(?P<kind>[!%])[^=].*$")
_LINE = re.compile(r"^(?P<indent>\s*)(?:[%!?].*|[\w.*]+\?+\s*)$")
_RUN_FILE = re.compile(
    r"""^%run\s+(?:-[a-ln-z]\s+)*(?P<quote>["']?)(?:[^"'\s]*[/\\])?(?P<module>[A-Za-z_]\w*)"""
    r"""(?:\.py|\.ipynb)?(?P=quote)(?:\s.*)?$"""
)
_PROMPTS = (re.compile(r"(?:>>>|\.\.\.)(?: |$)"), re.compile(r"In \[\d+\]: ?|\s*\.{3,}: ?"))


def plain_python(code: str) -> tuple[str, str | None]:
    """The cell as Python, and the cell magic for which it is not run (then there is no code left), if there is one."""
    code, magic = _without_cell_magics(code)
    if magic in _NOT_RUN:
        return "", f"%%{magic}"
    lines = code.split("\n")
    if _line_of_error(code) is not None:  # or else an indented comment at the top would be a margin
        lines = _without_margin(lines)
        for _ in range(_MAX_LINES):
            at = _line_of_error("\n".join(lines))
            if at is None or not _replace(lines, at):
                break
    if magic is not None and _line_of_error("\n".join(lines)) is not None:
        return "", f"%%{magic}"
    return "\n".join(lines), None


def runs_body(magic: str) -> bool:
    """Whether a cell magic runs its body as Python in the page's own process, and before the next cell."""
    return magic not in _NOT_RUN


def _without_cell_magics(code: str) -> tuple[str, str | None]:
    """Cell magics are taken off, also one below another, and the name of one whose body may be no Python is told."""
    lines = code.split("\n")
    told = None
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        match = _CELL_MAGIC.match(line)
        if match is None:
            break
        if match["name"] in _NOT_RUN:
            return "", match["name"]
        if match["name"] not in _RUN:
            told = match["name"]
        lines[number] = ""
    return "\n".join(lines), told


def _without_margin(lines: list[str]) -> list[str]:
    first = next((line for line in lines if line.strip()), "")
    margin = first[: len(first) - len(first.lstrip(" \t"))]
    lines = [line.removeprefix(margin) for line in lines]
    for prompt in _PROMPTS:
        if prompt.match(first.lstrip()):
            lines = [prompt.sub("", line, count=1) if prompt.match(line) else line for line in lines]
    return lines


def _line_of_error(code: str) -> int | None:
    """Index of the line at which Python gives up, None where it does not or cannot say."""
    try:
        compile(code, "cell", "exec", ast.PyCF_ONLY_AST | AWAITING, dont_inherit=True)
    except SyntaxError as error:
        return error.lineno - 1 if error.lineno else None
    except (ValueError, RecursionError, MemoryError):
        pass
    return None


def _replace(lines: list[str], at: int) -> bool:
    """Replace what only IPython understands at this line. False where there is nothing of that kind."""
    if not 0 <= at < len(lines):
        return False
    line = lines[at]
    if timed := _TIMED.match(line):
        lines[at] = timed["indent"] + timed["statement"]
        return True
    if run := _RUN_FILE.match(line):
        lines[at] = f"from {run['module']} import *"  # of a module beside the page, or of another page
        return True
    if assigned := _ASSIGNED.match(line):
        new = assigned["target"] + ("[]" if assigned["kind"] == "!" else "None")
    elif other := _LINE.match(line):
        new = other["indent"] + "pass"
    else:
        return False
    end = at
    while lines[end].endswith("\\") and end + 1 < len(lines):  # a shell line goes on behind a backslash
        end += 1
        lines[end - 1] = ""
    last = lines[end]
    lines[end] = last if end == at else ""
    lines[at] = new
    return True
