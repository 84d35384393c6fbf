"""Gradescope's export: `submission_metadata.yml` says whose each folder is and when it was handed in.

submission_123:
  :submitters:
  - :name: Ada Lovelace
    :sid: '42'
    :email: ada@uni.example
  :created_at: 2026-12-14 20:15:00.000000000 Z
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from autograder.errors import UsageError
from autograder.installed import needs
from autograder.intake.layouts import METADATA, Owner
from autograder.intake.times import parse_time


def read_metadata(data: bytes, where: str) -> dict[str, list[Owner]]:
    """Folder -> the owners of what lies in it; a group has several. Raises UsageError."""
    try:
        import yaml
    except ImportError:
        raise UsageError(f"{where} needs PyYAML: {needs('nbgrader')}") from None

    class Loader(yaml.SafeLoader):
        """Safe: Ruby's own tags, which the file may hold, are read as plain values."""

    def plain(loader: Any, suffix: str, node: Any) -> Any:
        if isinstance(node, yaml.MappingNode):
            return loader.construct_mapping(node)
        return loader.construct_sequence(node) if isinstance(node, yaml.SequenceNode) else node.value

    Loader.add_multi_constructor("!", plain)
    try:
        found = yaml.load(data, Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError(
            f"{where}: not YAML: {' '.join(str(error).split())[:200]}; download the export again"
        ) from None
    if not isinstance(found, Mapping):
        raise UsageError(f"{where}: not Gradescope's list of submissions; download the export again")
    return {str(folder): _owners(str(folder), record) for folder, record in found.items()}


def _owners(folder: str, record: Any) -> list[Owner]:
    submitters = _get(record, "submitters") or []
    when, problem = _time(_get(record, "created_at"))
    owners = []
    for submitter in submitters if isinstance(submitters, list) else []:
        names = [str(value) for key in ("name", "sid", "email") if (value := _get(submitter, key))]
        if names:
            owners.append(
                Owner(
                    names[0],
                    tuple(names),
                    names[-1],
                    when=when,
                    no_time=f"{METADATA}: {folder}: {problem}" if problem else None,
                )
            )
    return owners


def _get(record: Any, key: str) -> Any:
    """A value by its name, which Ruby writes with a colon before it."""
    return record.get(f":{key}", record.get(key)) if isinstance(record, Mapping) else None


def _time(value: Any) -> tuple[datetime | None, str | None]:
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC), None
    if value is None:
        return None, "no time of submission (created_at)"
    try:
        return parse_time(str(value)), None
    except ValueError as error:
        return None, str(error)
