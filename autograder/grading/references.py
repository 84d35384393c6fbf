"""Loads the hidden reference modules by path: they are no package and never installed."""

import importlib.util
import sys
from types import ModuleType

from autograder.course import Course
from autograder.errors import UsageError


def load_reference(course: Course, unit: str, page: str) -> ModuleType:
    """The module `reference/<unit>/<page>.py`, imported once."""
    name = f"autograder_reference.{unit}.{page}"
    if name in sys.modules:
        return sys.modules[name]
    path = course.reference / unit / f"{page}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None or not path.is_file():
        raise UsageError(f"{path} does not exist: page {page!r} of {unit} has no reference")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
