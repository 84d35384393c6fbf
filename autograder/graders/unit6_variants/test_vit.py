"""Hidden grader of the page `vit`."""

import math

import pytest
import torch

from autograder.grading import agree, agree_gradients, close, raises
from autograder.grading.compare import GRADIENT, Disagreement

# ---------------------------------------------------------------- patchify

patchify = pytest.mark.exercise("patchify")

SIZES = (((2, 3, 10, 15), 5), ((3, 2, 6, 4), 2), ((1, 1, 7, 7), 7), ((2, 5, 3, 2), 1), ((1, 2, 3, 15), 3))


@patchify
@pytest.mark.weight(3)
@pytest.mark.names("column_major_patches")
def test_pixels_in_their_places(student, draw):
    """A single bright pixel comes to the right patch and the right place in it, (channel, row, column)."""
    for y, x, c in ((0, 0, 0), (3, 1, 1), (1, 8, 2), (5, 11, 0), (4, 4, 1)):
        img = torch.zeros(1, 3, 6, 12, dtype=torch.float64)
        img[0, c, y, x] = 1 + draw.integers(0, 90)
        expected = torch.zeros(1, 8, 27, dtype=torch.float64)
        expected[0, (y // 3) * 4 + x // 3, c * 9 + (y % 3) * 3 + x % 3] = img[0, c, y, x]
        close(student.patchify(img, 3), expected, what=f"the patches, with one pixel in row {y} and column {x},")


@patchify
@pytest.mark.weight(3)
def test_patches(student, reference, draw):
    """Patches row by row, inside (c, p, p): for images of any size and number of channels."""
    for shape, P in SIZES:
        agree(student.patchify, reference.patchify, draw.tensor(*shape), P)


@patchify
def test_other_images(student, reference, draw):
    """Whole numbers, float32, and images that are not contiguous in memory, such as channels_last."""
    agree(student.patchify, reference.patchify, draw.integers(0, 256, 2, 3, 4, 6).to(torch.uint8), 2)
    agree(student.patchify, reference.patchify, draw.tensor(2, 3, 4, 6, dtype=torch.float32), 2)
    img = draw.tensor(2, 4, 6, 3).permute(0, 3, 1, 2)
    agree(student.patchify, reference.patchify, img, 2)
    agree(student.patchify, reference.patchify, draw.tensor(2, 3, 6, 4).mT, 2)


@patchify
@pytest.mark.weight(3)
def test_unpatchify(student, reference, draw):
    """unpatchify puts patches at their places, those of the reference and the student's own."""
    for shape, P in SIZES:
        B, C, H, W = shape
        patches = draw.tensor(B, H * W // P**2, C * P * P)
        agree(student.unpatchify, reference.unpatchify, patches, P, H, W)
    img = draw.integers(0, 256, 2, 3, 4, 6)
    close(student.unpatchify(student.patchify(img, 2), 2, 4, 6), img, what="an image, there and back,")


@patchify
@pytest.mark.weight(2)
def test_what_does_not_fit(student, draw):
    """A side that P does not divide is a ValueError, height or width; and so are too many, too few or wrong patches."""
    for H, W in ((4, 5), (5, 4), (5, 5)):
        raises(ValueError, student.patchify, draw.tensor(1, 2, H, W), 2)
    for shape, P, H, W in (
        ((1, 6, 8), 2, 4, 7),
        ((1, 6, 8), 2, 7, 4),
        ((1, 6, 8), 2, 4, 4),
        ((1, 6, 8), 2, 4, 8),
        ((1, 6, 10), 2, 4, 6),
    ):
        raises(ValueError, student.unpatchify, draw.tensor(*shape), P, H, W)


@patchify
def test_patches_are_differentiable(student, reference, draw):
    """Gradients go through both functions."""
    agree_gradients(student.patchify, reference.patchify, draw.tensor(2, 3, 4, 6), 2)
    agree_gradients(student.unpatchify, reference.unpatchify, draw.tensor(2, 6, 12), 2, 4, 6)


@patchify
def test_pictures(student):
    """The picture: shuffled and put in order again, the image is the image."""
    if not student.has("figure_data"):
        return
    data = torch.from_numpy(student.figure_data())
    close(data, torch.zeros(4, 48, 64, 3), rtol=0.0, atol=math.inf, what="the picture")
    close(data[2], data[0], what="the image that was put in order again")
    close(data[1].flatten().sort().values, data[0].flatten().sort().values, what="the pixels of the shuffled image")


# ---------------------------------------------------------------- vit_model

vit_model = pytest.mark.exercise("vit_model")

VIT = {"image": 6, "patch": 2, "C": 3, "d": 6, "n_layers": 2, "n_heads": 3, "d_ff": 5, "n_classes": 7}


def vits(student, reference, draw, dtype=torch.float64, **options):
    """The student's model, the reference's and their state: random weights, all of them apart."""
    ours = reference.ViT(**(VIT | options)).to(dtype)
    state = {}
    for name, p in ours.named_parameters():
        state[name] = draw.tensor(*p.shape, dtype=dtype, scale=1.2 * p.shape[-1] ** -0.5 if p.ndim == 2 else 0.7)
        if "norm" in name and name.endswith("weight"):
            state[name] = 1 + state[name] / 2
    ours.load_state_dict(state)
    theirs = student.ViT(**(VIT | options))
    theirs.load_reference(state)
    return theirs, ours, state


def same(theirs, ours, img, tolerance=None):
    """The student's tokens and logits are the reference's. Returns the student's."""
    with torch.no_grad():
        logits, tokens = ours(img)
    answer = theirs(img)
    close(answer, (logits, tokens), rtol=0.0, atol=math.inf, what="the pair")
    close(answer[1], tokens, tolerance=tolerance, what="tokens")
    close(answer[0], logits, tolerance=tolerance, what="logits")
    return answer


@vit_model
@pytest.mark.weight(2)
def test_embedded_patches(student, reference, draw):
    """Without layers: the class token at place 0, then the patches, positions added to all of them, then the norm."""
    theirs, ours, _ = vits(student, reference, draw, n_layers=0)
    same(theirs, ours, draw.tensor(2, 3, 6, 6))
    theirs, ours, _ = vits(student, reference, draw, n_layers=0, image=4, C=1, patch=4)
    same(theirs, ours, draw.tensor(3, 1, 4, 4))


@vit_model
@pytest.mark.weight(4)
def test_tokens_and_logits(student, reference, draw):
    """Pre-LN layers with GELU and eps 1e-12, a norm at the end, and a head that reads the class token."""
    theirs, ours, _ = vits(student, reference, draw)
    same(theirs, ours, draw.tensor(2, 3, 6, 6))
    options = {"image": 10, "patch": 5, "C": 1, "d": 10, "n_heads": 2, "n_layers": 1, "d_ff": 13, "n_classes": 2}
    theirs, ours, _ = vits(student, reference, draw, **options)
    same(theirs, ours, draw.tensor(3, 1, 10, 10))


@vit_model
@pytest.mark.weight(2)
def test_small_numbers(student, reference, draw):
    """Where the stream is tiny eps decides: it is 1e-12 in all norms."""
    theirs, ours, state = vits(student, reference, draw, n_layers=1)
    small = {name: value * 1e-5 if name in ("patch_proj.weight", "patch_proj.bias", "cls_token", "pos_embed") else value
             for name, value in state.items()}  # fmt: skip
    small |= {name: value * 1e-5 for name, value in state.items() if "out_proj" in name or "fc2" in name}
    for model in (theirs, ours):
        (model.load_state_dict if model is ours else model.load_reference)(small)
    same(theirs, ours, draw.tensor(2, 3, 6, 6))


@vit_model
@pytest.mark.weight(2)
def test_shuffled_patches(student, reference, draw):
    """If patches and their positions are shuffled alike, the tokens are shuffled, and the logits stay."""
    theirs, ours, state = vits(student, reference, draw)
    patches, order = draw.tensor(2, 9, 12), draw.permutation(9)
    before = same(theirs, ours, reference.unpatchify(patches, 2, 6, 6))
    moved = torch.cat([torch.tensor([0]), 1 + order])
    theirs.load_reference(state | {"pos_embed": state["pos_embed"][:, moved]})
    logits, tokens = theirs(reference.unpatchify(patches[:, order], 2, 6, 6))
    close(logits, before[0], what="the logits of shuffled patches")
    close(tokens, before[1][:, moved], what="the tokens of shuffled patches")


@vit_model
@pytest.mark.weight(2)
def test_images_are_independent(student, reference, draw):
    """An image alone gives what it gives among others, and a second call what the first gave."""
    theirs, ours, _ = vits(student, reference, draw)
    img = draw.tensor(5, 3, 6, 6)
    together = same(theirs, ours, img)
    alone = theirs(img[1:2])
    close(alone, tuple(part[1:2] for part in together), what="the results of an image by itself")
    close(theirs(img), together, what="the results of the second call")


@vit_model
def test_wrong_sizes(student, reference, draw):
    """An image of another height or width is a ValueError, even if patches fit; the image is not changed."""
    theirs, ours, _ = vits(student, reference, draw)
    for H, W in ((8, 6), (6, 8), (4, 9), (8, 8), (2, 18), (18, 2)):  # at last as many patches as there should be
        raises(ValueError, theirs, draw.tensor(2, 3, H, W))
    img = draw.tensor(2, 3, 6, 6)
    called = student.call(theirs, img)
    close(called.value, ours(img), rtol=0.0, atol=math.inf, what="the pair")
    close(called.echo[0][0], img, tolerance=(0, 0), what="img after the call")


@vit_model
def test_vit_in_float32(student, reference, draw):
    """Weights in float32 give results in float32; so does a new model; channels_last images work."""
    theirs, ours, _ = vits(student, reference, draw, dtype=torch.float32)
    img = draw.tensor(2, 6, 6, 3, dtype=torch.float32).permute(0, 3, 1, 2)
    same(theirs, ours, img, tolerance=(2e-3, 2e-3))
    new = student.ViT(**VIT)(draw.tensor(2, 3, 6, 6, dtype=torch.float32))
    close(new, (torch.zeros(2, 7), torch.zeros(2, 10, 6)), rtol=0.0, atol=math.inf, what="the pair")


@vit_model
@pytest.mark.weight(3)
def test_vit_gradients(student, reference, draw):
    """Gradients reach the image and all parameters, cls_token as the sum over the batch; there are as many numbers."""
    theirs, ours, _ = vits(student, reference, draw)
    img = draw.tensor(3, 3, 6, 6)
    cotangent = [draw.tensor(3, 7), draw.tensor(3, 10, 6)]
    seen = student.vjp(theirs, img, cotangent=cotangent, parameters=True)
    found = seen.parameters or {}
    for name, gradient in found.items():
        if gradient is None or not gradient.isfinite().all():
            raise Disagreement(f"no gradient, or one that is not finite, reaches the parameter {name}")
    leaf, named = img.clone().requires_grad_(), dict(ours.named_parameters())
    wanted = torch.autograd.grad(ours(leaf), [leaf, *named.values()], cotangent)
    close(seen.grads, [wanted[0]], tolerance=GRADIENT[torch.float64], what="the gradient of the image")
    count, expected = sum(g.numel() for g in found.values()), sum(p.numel() for p in named.values())
    if count != expected:
        raise Disagreement(f"there are {count} trainable numbers in {len(found)} parameters, expected {expected}")
    if set(found) == set(named):  # else the student's parameters have names of their own, see load_reference
        expected = dict(zip(named, wanted[1:], strict=True))
        close(found, expected, tolerance=GRADIENT[torch.float64], what="the gradient")


# ---------------------------------------------------------------- pos_embed_interpolation

interpolation = pytest.mark.exercise("pos_embed_interpolation")


@interpolation
@pytest.mark.weight(2)
def test_same_grid(student, draw):
    """For the old grid the table is the old table."""
    for g, D in ((3, 5), (1, 7), (5, 1)):
        pos = draw.tensor(1, 1 + g * g, D)
        close(student.interpolate_pos(pos, g, g), pos, what="the table for the old grid")


@interpolation
@pytest.mark.weight(2)
def test_class_token_stays(student, draw):
    """The first row is as it was, whatever the grid."""
    pos = draw.tensor(1, 10, 5)
    for size in ((5, 5), (2, 7), (1, 1)):
        out = student.interpolate_pos(pos, *size)
        close(out, torch.zeros(1, 1 + size[0] * size[1], 5, dtype=pos.dtype), rtol=0.0, atol=math.inf)
        close(out[:, 0], pos[:, 0], tolerance=(0, 0), what="the row of the class token")


@interpolation
def test_constant_table(student, draw):
    """A table whose rows are all alike stays so, in every channel."""
    pos = draw.tensor(1, 1, 5).expand(1, 10, 5).contiguous()
    close(student.interpolate_pos(pos, 4, 7), pos[:, :1].expand(1, 29, 5), what="the rows of a constant table")


@interpolation
@pytest.mark.weight(4)
def test_larger_grids(student, reference, draw):
    """Bicubic, align_corners=False: to larger square grids, each channel by itself."""
    for g, new, D in ((3, 5, 7), (4, 6, 3), (2, 4, 1), (1, 3, 5)):
        agree(student.interpolate_pos, reference.interpolate_pos, draw.tensor(1, 1 + g * g, D), new, new)


@interpolation
@pytest.mark.weight(3)
def test_other_grids(student, reference, draw):
    """Rows and columns may differ in number, and may be fewer than before (without antialiasing), or as many in all."""
    for g, h, w, D in (
        (3, 5, 4, 2),
        (3, 4, 7, 5),
        (3, 3, 6, 2),
        (5, 2, 3, 7),
        (4, 1, 9, 3),
        (5, 5, 3, 2),
        (4, 2, 8, 3),
        (3, 9, 1, 2),
        (11, 15, 2, 1),
    ):
        agree(student.interpolate_pos, reference.interpolate_pos, draw.tensor(1, 1 + g * g, D), h, w)


@interpolation
def test_no_square(student, draw):
    """A table that is no class token and a square grid is a ValueError."""
    for rows in (4, 9, 12):
        raises(ValueError, student.interpolate_pos, draw.tensor(1, rows, 3), 3, 3)


@interpolation
def test_dtypes_and_views(student, reference, draw):
    """float32 stays float32; tables that are not contiguous work."""
    agree(student.interpolate_pos, reference.interpolate_pos, draw.tensor(1, 10, 5, dtype=torch.float32), 4, 6)
    agree(student.interpolate_pos, reference.interpolate_pos, draw.tensor(1, 5, 10).mT, 4, 6)


@interpolation
def test_interpolation_gradient(student, reference, draw):
    """The gradient reaches all rows of the table."""
    agree_gradients(student.interpolate_pos, reference.interpolate_pos, draw.tensor(1, 10, 5), 4, 7)
