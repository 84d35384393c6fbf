"""The distribution that this package was installed from. On PyPI, `autograder` is the name of another project's."""

import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

DISTRIBUTION = "attention-autograder"
_IMPORT_NAME = "autograder"
_PACKAGE = Path(__file__).resolve().parent


def version() -> str:
    """Of the distribution; "not installed" where the package merely lies in a folder on the path."""
    found = _find(DISTRIBUTION)
    return found.version if found else "not installed"


def needs(extra: str) -> str:
    """How to get what an extra brings, to end a sentence with. No package of an index is named: ours is on none."""
    return f"run  make setup  in the course's folder, or  pip install '.[{extra}]'  there"


def strangers(thorough: bool = False) -> list[str]:
    """What others put files into this package's folder, as sentences that say what to do.

    Args:
        thorough: ask every installed distribution (some 100 ms), not only the one on PyPI that is called like us.
    """
    names: Iterable[str] = [_IMPORT_NAME]
    if thorough:
        names = {_IMPORT_NAME, *importlib.metadata.packages_distributions().get(_IMPORT_NAME, [])}
    found = [distribution for name in sorted(names) if name != DISTRIBUTION and (distribution := _find(name))]
    return [
        f"files of another distribution, {other.metadata['Name']} {other.version}, lie in {_PACKAGE}: "
        f"pip uninstall {other.metadata['Name']}, then install this kit again"
        for other in found
        if any(Path(str(other.locate_file(file))).resolve().is_relative_to(_PACKAGE) for file in other.files or [])
    ]


def _find(name: str) -> importlib.metadata.Distribution | None:
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
