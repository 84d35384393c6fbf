"""The picture code of a page works with each accepted variant, whatever the structure inside."""

from pathlib import Path

import numpy as np
import pytest
import torch

from autograder.course import load_course

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = ROOT / "tests" / "accepted"
# The exercises whose modules the picture code makes; with True it draws the same for every right module.
DRAWN = {"learned_positions": True, "feed_forward": True, "swiglu": True, "transformer_embedding": True}
DRAWN |= {"rms_norm": True, "layer_norm": True, "encoder_layer": False, "encoder_stack": False, "decoder_layer": False}

cases = [
    pytest.param(unit.id, page.name, exercise.id, file, id=f"{exercise.id}-{file.stem}")
    for unit in load_course(ROOT).units
    for page in unit.pages
    for exercise in page.exercises
    if exercise.id in DRAWN
    for file in sorted((ACCEPTED / unit.id / exercise.id).glob("*.py"))
]


def drawn(unit: str, page: str, *more: Path):
    """What the solved page draws, with the definitions of `more` in place of its own."""
    namespace = {"__name__": page}
    for path in (ROOT / "solutions" / unit / f"{page}.py", *more):
        exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), namespace)
    torch.manual_seed(0)
    return namespace["figure_data"]()


@pytest.mark.parametrize(("unit", "page", "exercise", "variant"), cases)
def test_every_structure_inside_is_drawn(unit: str, page: str, exercise: str, variant: Path) -> None:
    """A right module with parameters of its own gives the page's picture."""
    answer, expected = drawn(unit, page, variant), drawn(unit, page)
    if DRAWN[exercise]:
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-6)
    else:
        assert np.shape(answer[0]) == np.shape(expected[0])
