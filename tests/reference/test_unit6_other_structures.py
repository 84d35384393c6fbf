"""The pages' examples and pictures for modules with another structure inside, which load by `load_reference`."""

import doctest
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
UNIT = "unit6_variants"
PAGES = {
    "bert_embeddings": "bert",
    "bert_model": "bert",
    "gpt_model": "gpt",
    "t5_block": "t5",
    "moe_top_k": "modern",
    "vit_model": "vit",
}
PICTURES = {"t5_block": "heads", "moe_top_k": "experts"}
VARIANTS = [(exercise, file) for exercise in PAGES for file in (ROOT / "tests/accepted" / UNIT / exercise).glob("*.py")]


def page_with(exercise: str, file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names of the solved page, and the same with the accepted variant's code run behind it."""
    source = ROOT / "solutions" / UNIT / f"{PAGES[exercise]}.py"
    solved: dict[str, Any] = {"__name__": PAGES[exercise]}
    exec(compile(source.read_text(encoding="utf-8"), str(source), "exec"), solved)
    changed = dict(solved)
    for text, path in ((source.read_text(encoding="utf-8"), source), (file.read_text(encoding="utf-8"), file)):
        exec(compile(text, str(path), "exec"), changed)
    return solved, changed


every_variant = pytest.mark.parametrize(
    ("exercise", "file"), VARIANTS, ids=[f"{exercise}-{file.stem}" for exercise, file in VARIANTS]
)


@every_variant
def test_the_examples_hold_for_every_structure(exercise: str, file: Path) -> None:
    """The examples in the docstrings ask nothing of a module that the text does not."""
    solved, changed = page_with(exercise, file)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    seen = 0
    for name, value in solved.items():
        if isinstance(value, type) and value is not changed.get(name) and value.__module__ == PAGES[exercise]:
            for test in doctest.DocTestFinder(recurse=True).find(value, name, module=False, globs=dict(changed)):
                seen += len(test.examples)
                runner.run(test)
    assert seen
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("exercise", PICTURES)
def test_the_pictures_are_the_same_for_every_structure(exercise: str) -> None:
    """What the page draws of a module does not hang on the names inside it."""
    files = [file for other, file in VARIANTS if other == exercise]
    assert files
    for file in files:
        solved, changed = page_with(exercise, file)
        expected, answer = (names["figure_data"](PICTURES[exercise]) for names in (solved, changed))
        np.testing.assert_allclose(answer, expected, rtol=1e-3, atol=1e-4 if exercise == "t5_block" else 3.0)
