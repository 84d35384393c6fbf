"""What is wrong in a table of settings, key by key: every wrong one with its path, what was expected and what to write.

The types say what is right: structs for tables, and the limits that stand beside a field's type. All mistakes are found
at once, where a decoder stops at the first.
"""

import difflib
import math
import re
from datetime import date, datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from autograder.text import listed

_EXAMPLES = {
    bool: "true or false",
    str: "a text in quotes",
    datetime: "a time with its zone, like 2026-11-30T23:59:00+01:00, or name the course's at the top: timezone = ...",
}


def did_you_mean(word: str, choices: list[str]) -> str:
    """`; did you mean 'x'?`, or the choices where none is near, to end an error sentence with."""
    near = difflib.get_close_matches(word, choices, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; it has {listed(choices, 20) or 'none'}"


def wrong_settings(value: Any, expected: Any, path: str = "$") -> list[str]:
    """Every key that no table knows, every one that lacks and every value of a wrong type, as sentences."""
    table = _table_type(expected)
    if get_origin(table) is tuple and isinstance(value, list) and value:
        inner = get_args(table)[0]
        return [p for i, item in enumerate(value) for p in wrong_settings(item, inner, f"{path}[{i}]")]
    if table is None or get_origin(table) is tuple or not isinstance(value, dict):
        return _wrong_value(value, expected, path)
    fields = {field.encode_name: field for field in msgspec.structs.fields(table)}
    problems = []
    for key, item in value.items():
        if key in fields:
            problems += wrong_settings(item, fields[key].type, f"{path}.{key}")
        else:
            problems.append(f"unknown key {path}.{key}{did_you_mean(key, sorted(fields))}")
    for key, field in fields.items():
        if key not in value and field.default is NODEFAULT and field.default_factory is NODEFAULT:
            where = "" if path == "$" else f" - at `{path}`"
            problems.append(f"Object missing required field `{key}`{where}; {_write(field.type, f'{path}.{key}')}")
    return problems


def _wrong_value(value: Any, expected: Any, path: str) -> list[str]:
    try:
        msgspec.convert(value, expected)
    except msgspec.ValidationError as error:
        said, _, within = str(error).partition(" - at `$")
        if isinstance(value, datetime | date) and datetime in _choices(expected):
            said = f"Expected `datetime`, got {value.isoformat()}"
        return [f"{said} - at `{path}{within.rstrip('`')}`; {_write(expected, path)}"]
    if isinstance(value, float) and math.isinf(value) and not path.endswith("_days"):  # days without end are none
        return [f"{path} is endless; {_write(expected, path)}"]
    return []


def _write(expected: Any, path: str) -> str:
    """What to write at a path, for a person."""
    table, name = _table_type(expected), re.sub(r"\[\d+\]", "", path).removeprefix("$.")
    if get_origin(table) is tuple:
        return f"begin each with a line [[{name}]]"
    return f"write a table, [{name}]" if table is not None else f"write {name.rsplit('.')[-1]} = {_wanted(expected)}"


def _wanted(expected: Any) -> str:
    kind = next(kind for kind in _choices(expected) if kind is not type(None))
    limits = next((meta for meta in get_args(kind)[1:] if isinstance(meta, Meta)), Meta())
    kind = get_args(kind)[0] if get_origin(kind) is Annotated else kind
    if get_origin(kind) is Literal:
        return " or ".join(f'"{choice}"' for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return 'a list of texts, like ["softmax"]'
    if limits.description is not None:
        return limits.description
    if kind in (int, float):
        number = "a whole number" if kind is int else "a number"
        above = f" above {limits.gt:g}" if limits.gt is not None else ""
        least = f" from {limits.ge:g}" if limits.ge is not None else ""
        most = f" to {limits.le:g}" if limits.le is not None else ""
        return f"{number}{above}{least}{most}{' (0.1 is 10 %)' if limits.le == 1 else ''}"
    return _EXAMPLES.get(kind, f"a {getattr(kind, '__name__', kind)}")


def _choices(annotation: Any) -> list[Any]:
    """The types of a union, also of one within `Annotated`."""
    if get_origin(annotation) is Annotated and get_origin(get_args(annotation)[0]) is Union:
        return _choices(get_args(annotation)[0])
    if get_origin(annotation) is Annotated and datetime in get_args(annotation):
        return [datetime]
    if get_origin(annotation) is Union or type(annotation).__name__ == "UnionType":
        return [kind for one in get_args(annotation) for kind in _choices(one)]
    return [annotation]


def _table_type(annotation: Any) -> Any:
    """The table, or tuple of tables, inside an annotation; None where it holds neither."""
    if get_origin(annotation) is Annotated:
        return _table_type(get_args(annotation)[0])
    if get_origin(annotation) is tuple:
        return annotation if _table_type(get_args(annotation)[0]) is not None else None
    if get_origin(annotation) is Union:
        return next((t for t in map(_table_type, get_args(annotation)) if t is not None), None)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Struct) else None
