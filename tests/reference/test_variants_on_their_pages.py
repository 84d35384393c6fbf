"""Pictures and examples of a page ask no more of a right answer than its text: tried with each accepted variant."""

import doctest
from collections.abc import Set
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autograder.course import Exercise, load_course

ROOT = Path(__file__).resolve().parents[2]
Names = dict[str, Any]

# The exercises whose classes a page's picture is made with: what `figure_data` is called with, and how far (rtol, atol)
# two right modules may differ in it. None: only the shape of the first array is the same, the module draws its own.
DRAWN: dict[str, tuple[tuple[str, ...], tuple[float, float] | None]] = {
    **dict.fromkeys(("learned_positions", "feed_forward", "transformer_embedding", "layer_norm"), ((), (1e-4, 1e-6))),
    "swiglu": (("SwiGLU",), (1e-4, 1e-6)),
    "rms_norm": (("RMSNorm",), (1e-4, 1e-6)),
    **dict.fromkeys(("encoder_layer", "encoder_stack", "decoder_layer"), ((), None)),
    "t5_block": (("heads",), (1e-3, 1e-4)),
    "moe_top_k": (("experts",), (1e-3, 3.0)),
}
# The exercises whose examples load their weights by `load_reference`, which every structure inside has.
LOADED = {"bert_embeddings", "bert_model", "gpt_model", "t5_block", "moe_top_k", "vit_model"}

variants = [
    pytest.param(unit.id, page.name, exercise, file, id=f"{exercise.id}-{file.stem}")
    for unit in load_course(ROOT).units
    for page in unit.pages
    for exercise in page.exercises
    for file in sorted((ROOT / "tests" / "accepted" / unit.id / exercise.id).glob("*.py"))
]


def page_with(unit: str, page: str, *more: Path) -> Names:
    """The names of the solved page, and of `more`, which is run behind it."""
    names: Names = {"__name__": page}
    for path in (ROOT / "solutions" / unit / f"{page}.py", *more):
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), names)
    return names


def of(exercises: Set[str]) -> pytest.MarkDecorator:
    """Every accepted variant of these exercises."""
    chosen = [case for case in variants if case.values[2].id in exercises]
    assert {case.values[2].id for case in chosen} == exercises
    return pytest.mark.parametrize(("unit", "page", "exercise", "file"), chosen)


@of(LOADED)
def test_the_examples_hold(unit: str, page: str, exercise: Exercise, file: Path) -> None:
    """The examples in the docstrings of what the exercise asks for give what they say with the variant."""
    solved, changed = page_with(unit, page), page_with(unit, page, file)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert any(solved[symbol] is not changed[symbol] for symbol in exercise.symbols)
    tried = 0
    for symbol in exercise.symbols:
        for test in doctest.DocTestFinder().find(solved[symbol], symbol, module=False, globs=dict(changed)):
            tried += runner.run(test).attempted
    assert tried
    assert runner.summarize(verbose=False).failed == 0


@cache
def drawn(unit: str, page: str, arguments: tuple[str, ...], *more: Path) -> Any:
    """What the solved page draws, with the definitions of `more` in place of its own."""
    names = page_with(unit, page, *more)
    torch.manual_seed(0)
    return names["figure_data"](*arguments)


@of(DRAWN.keys())
def test_the_picture_is_drawn(unit: str, page: str, exercise: Exercise, file: Path) -> None:
    """A right module with parameters of its own gives the page's picture."""
    arguments, tolerance = DRAWN[exercise.id]
    answer, expected = drawn(unit, page, arguments, file), drawn(unit, page, arguments)
    if tolerance:
        np.testing.assert_allclose(answer, expected, *tolerance)
    else:
        assert np.shape(answer[0]) == np.shape(expected[0])
