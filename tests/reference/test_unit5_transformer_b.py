"""The reference of unit 5's second half agrees with torch's transformer, and with trying everything."""

import importlib.util
import itertools
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autograder import given

ROOT = Path(__file__).resolve().parents[2]
UNIT = "unit5_transformer"


def load_file(path: Path):
    spec = importlib.util.spec_from_file_location(f"unit5b_{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


decoder, transformer, generation, training = (
    load_file(ROOT / "reference" / UNIT / f"{page}.py") for page in ("decoder", "transformer", "generation", "training")
)
SEEDS = [0, 1]


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def scrambled(module: nn.Module, seed: int) -> nn.Module:
    """The module in float64 with random parameters, norms and biases included."""
    module.double()
    for n, (name, parameter) in enumerate(module.named_parameters()):
        noise = 0.4 * normal(1000 * seed + n, *parameter.shape)
        parameter.data = 1 + noise if "norm" in name and name.endswith("weight") else noise
    return module


def layer_state(theirs: nn.Module) -> dict[str, Tensor]:
    """The state of a torch encoder or decoder layer under the course's names."""
    state, attentions = {}, {"self_attn": theirs.self_attn}
    if isinstance(theirs, nn.TransformerDecoderLayer):
        attentions["cross_attn"] = theirs.multihead_attn
    for name, mha in attentions.items():
        for kind, fused in (("weight", mha.in_proj_weight), ("bias", mha.in_proj_bias)):
            state |= {f"{name}.{n}_proj.{kind}": part for n, part in zip("qkv", fused.chunk(3), strict=True)}
            state[f"{name}.out_proj.{kind}"] = getattr(mha.out_proj, kind)
    for n in (1, 2):
        for kind in ("weight", "bias"):
            state[f"ffn.fc{n}.{kind}"] = getattr(getattr(theirs, f"linear{n}"), kind)
    for n in range(1, len(attentions) + 2):
        state |= {f"norm{n}.{kind}": getattr(getattr(theirs, f"norm{n}"), kind) for kind in ("weight", "bias")}
    return {name: value.detach() for name, value in state.items()}


# decoder


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_decoder_layer_matches_torch(seed, norm_first, masked, activation):
    """Output and gradients equal those of nn.TransformerDecoderLayer; so do those of the layer in `given`."""
    theirs = nn.TransformerDecoderLayer(6, 3, 7, 0.0, activation, batch_first=True, norm_first=norm_first)
    scrambled(theirs, seed)
    x, memory = normal(seed, 2, 5, 6).requires_grad_(), normal(seed + 50, 2, 4, 6).requires_grad_()
    causal, real = torch.ones(5, 5, dtype=torch.bool).tril(), torch.tensor([[True] * 4, [True, True, False, False]])
    options = {"tgt_mask": ~causal, "memory_key_padding_mask": ~real} if masked else {}
    expected = theirs(x, memory, **options)
    wanted = torch.autograd.grad(expected.square().sum(), [x, memory])
    for kind in (decoder.DecoderLayer, given.DecoderLayer):
        ours = kind(6, 3, 7, norm_first=norm_first, activation=activation).double()
        ours.load_state_dict(layer_state(theirs))
        masks = {"tgt_mask": causal, "memory_mask": real[:, None, None]} if masked else {}
        found = ours(x, memory, **masks)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        for a, b in zip(torch.autograd.grad(found.square().sum(), [x, memory]), wanted, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


def test_decoder_layer_with_nothing_to_see():
    """Empty rows of both masks give output biases and finite gradients; the tanh form of gelu is torch's."""
    ours = scrambled(decoder.DecoderLayer(6, 3, 7, norm_first=True, activation="gelu_tanh"), 1)
    blocks = given.DecoderLayer(6, 3, 7, norm_first=True, activation="gelu_tanh").double()
    blocks.load_state_dict(ours.state_dict())
    x, memory = normal(1, 2, 5, 6), normal(2, 2, 4, 6)
    masks = {"tgt_mask": torch.ones(5, 5, dtype=torch.bool).tril(-1), "memory_mask": torch.zeros(4, dtype=torch.bool)}
    out = ours(x, memory, **masks)
    torch.testing.assert_close(out, blocks(x, memory, **masks), rtol=1e-9, atol=1e-11)
    assert all(g.isfinite().all() for g in torch.autograd.grad(out.square().sum(), list(ours.parameters())))
    nothing = torch.zeros(4, dtype=torch.bool)
    torch.testing.assert_close(ours(x, 7 + memory, memory_mask=nothing), ours(x, memory, memory_mask=nothing))


# transformer


def test_shift_and_masks():
    """By hand; and the masks of `given` are the same."""
    tgt = torch.tensor([[5, 6, 2, 0], [7, 2, 0, 0]])
    inp, labels = transformer.make_decoder_io(tgt, 1, 0)
    assert inp.tolist() == [[1, 5, 6, 2], [1, 7, 2, 0]] and labels.tolist() == [[5, 6, 2, -100], [7, 2, -100, -100]]
    logits = normal(0, 2, 4, 9)
    expected = F.cross_entropy(logits.flatten(0, 1), tgt.flatten(), ignore_index=0)
    torch.testing.assert_close(F.cross_entropy(logits.flatten(0, 1), labels.flatten()), expected)
    for ids in (inp, torch.tensor([[0, 5, 0, 3], [0, 0, 0, 0]])):
        assert torch.equal(transformer.src_mask(ids, 0), given.source_mask(ids, 0))
        assert torch.equal(transformer.tgt_mask(ids, 0), given.target_mask(ids, 0))
        assert transformer.tgt_mask(ids, 0).any(dim=-1).all()


SRC = torch.tensor([[3, 4, 5, 10, 9], [8, 6, 7, 0, 0], [9, 0, 0, 0, 0]])
INP = torch.tensor([[1, 4, 3, 6], [1, 6, 0, 0], [1, 5, 2, 0]])


@pytest.mark.filterwarnings("ignore:enable_nested_tensor", "ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("layers", [(2, 1), (1, 2)])
def test_transformer_matches_torch(seed, norm_first, layers):
    """The logits are those of nn.Transformer with the same weights, between embeddings and an output, to 1e-9."""
    core = nn.Transformer(6, 2, *layers, 5, dropout=0.0, batch_first=True, norm_first=norm_first)
    scrambled(core, seed).eval()
    ours = scrambled(transformer.Transformer(11, 7, 6, 2, *layers, 5, 9, 0, norm_first=norm_first), seed)
    state = {name: value for name, value in ours.state_dict().items() if "embed" in name or name == "output.weight"}
    for side in ("encoder", "decoder"):
        for n, layer in enumerate(getattr(core, side).layers):
            state |= {f"{side}_layers.{n}.{name}": value for name, value in layer_state(layer).items()}
        state |= {f"{side}_norm.{name}": value for name, value in getattr(core, side).norm.state_dict().items()}
    ours.load_state_dict(state)
    table = given.sinusoidal_encoding(9, 6)
    x, y = (
        math.sqrt(6) * F.embedding(ids, state[f"{side}_embed.weight"]) + table[: ids.shape[1]]
        for side, ids in (("src", SRC), ("tgt", INP))
    )
    later, pads = torch.ones(4, 4, dtype=torch.bool).triu(1), SRC == 0
    with torch.no_grad():
        hidden = core(
            x, y, tgt_mask=later, src_key_padding_mask=pads, memory_key_padding_mask=pads, tgt_key_padding_mask=INP == 0
        )
        expected, found = hidden @ state["output.weight"].T, ours(SRC, INP)
    assert expected.std() > 0.1
    torch.testing.assert_close(found[INP != 0], expected[INP != 0], rtol=1e-9, atol=1e-11)


def test_transformer_of_the_paper_has_63_million_parameters():
    """The count on the page: V shared by all matrices, D = 512, F = 2048, 6 + 6 layers."""
    with torch.device("meta"):
        layers = transformer.Transformer(1, 1, 512, 8, 6, 6, 2048, 10, 0, tie=True)
        count = sum(p.numel() for p in layers.parameters()) - 2 * 512 + 37000 * 512
    assert round(count / 1e6) == 63 and round(37000 * 512 / 1e6) == 19


def test_tied_and_too_long():
    """Tied weights are one parameter; BOS may have the number of padding; a sequence that is too long is refused."""
    tied = scrambled(transformer.Transformer(11, 7, 6, 2, 1, 1, 5, 4, 0, tie=True), 3)
    assert tied.output.weight is tied.tgt_embed.weight
    inp = torch.tensor([[0, 4, 0, 0]])
    assert tied(SRC[1:2, :3], inp)[0, :2].abs().min() > 0
    with pytest.raises(ValueError, match="symbols"):
        tied(SRC, INP)


@pytest.mark.parametrize("kind", ["copy", "reverse", "sort", "first"])
def test_sequence_task(kind):
    """The kit's tasks hold what they say, row by row; the generator decides."""
    task = given.SequenceTask(kind, vocab=9, length=5, batch=40)
    src, tgt = task(torch.Generator().manual_seed(1))
    lengths = set()
    for row, target in zip(src.tolist(), tgt.tolist(), strict=True):
        content = [s for s in row if s != 0]
        lengths.add(len(content))
        assert row == content + [0] * (5 - len(content)) and all(3 <= s < 9 for s in content)
        wanted = {"copy": content, "reverse": content[::-1], "sort": sorted(content), "first": content[:1]}[kind]
        assert target == [*wanted, 2] + [0] * (tgt.shape[1] - len(wanted) - 1)
    assert lengths == {3, 4, 5}
    assert torch.equal(task(torch.Generator().manual_seed(1))[0], src)


def test_noise_has_the_length_of_its_source():
    """The target of "noise" is as long as the source, and unrelated to it."""
    src, tgt = given.SequenceTask("noise", batch=200)(torch.Generator().manual_seed(1))
    assert torch.equal((tgt != 0).sum(dim=1), (src != 0).sum(dim=1) + 1)
    assert (src == tgt[:, :-1])[src != 0].double().mean() < 0.2
    with pytest.raises(ValueError, match="kind"):
        given.SequenceTask("shuffle")


def test_bare_transformer():
    """Without masks and positions the bare model is a set function of its input; with them it matches the reference."""
    torch.manual_seed(0)
    bare = given.BareTransformer(12, 6, 2, 2, 5).double()
    full = transformer.Transformer(12, 12, 6, 2, 2, 2, 5, 9, 0)
    state = {"src_embed.weight": bare.embed.weight, "tgt_embed.weight": bare.embed.weight}
    names = {"encoder.": "encoder_layers.", "decoder.": "decoder_layers."}
    for name, value in bare.state_dict().items():
        old = next((prefix for prefix in names if name.startswith(prefix)), "")
        if not name.startswith("embed"):
            state[names.get(old, "") + name.removeprefix(old)] = value
    full.double().load_state_dict(state)
    logits = bare(SRC, INP, tgt_mask=given.target_mask(INP, 0), positions=torch.arange(9))
    torch.testing.assert_close(logits[INP != 0], full(SRC, INP)[INP != 0], rtol=1e-9, atol=1e-11)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(bare(SRC, INP[:, order]), bare(SRC, INP)[:, order])


@pytest.mark.slow
def test_the_solved_transformer_learns_to_sort():
    """End to end: the page's own model, trained on the page for 300 steps, sorts fresh sequences without a mistake."""
    torch.set_num_threads(1)
    solved = load_file(ROOT / "solutions" / UNIT / "transformer.py")
    model, curve = solved.train_to_sort()
    assert len(curve) == 15 and curve[-1][0] < 0.1 < curve[0][0]
    assert curve[-1][1] >= 0.9, curve
    src, tgt = given.SequenceTask("sort", length=6, batch=200)(torch.Generator().manual_seed(9))
    right = (solved.write(model, src, 7) == tgt) | (tgt == 0)
    assert right.all(dim=1).double().mean() >= 0.9


# generation


class Chain(nn.Module):
    """What follows depends on the last two symbols and the source's first."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.table = normal(seed, 6, 6, 6, 6)
        self.dropout = nn.Dropout(0.5)

    def forward(self, src: Tensor, inp: Tensor) -> Tensor:
        before = F.pad(inp, (1, 0))[:, :-1]
        return self.dropout(self.table[src[:, :1].expand_as(inp), before, inp])


@pytest.mark.parametrize("seed", range(6))
def test_greedy_matches_a_plain_loop(seed):
    """A batched argmax loop that goes on to the end, cut at each row's EOS, gives the same."""
    model, src = Chain(seed).train(), torch.tensor([[3], [4], [5]])
    found = generation.greedy_decode(model, src, 0, 1, 2, 12)
    assert model.training
    model.eval()
    inp = torch.ones(3, 1, dtype=torch.int64)
    for _ in range(12):
        inp = torch.cat([inp, model(src, inp)[:, -1:].argmax(dim=-1)], dim=1)
    rows = [row[: row.index(2) + 1] if 2 in row else row for row in inp[:, 1:].tolist()]
    width = max(map(len, rows))
    assert found.tolist() == [row + [0] * (width - len(row)) for row in rows]


def language(seed: int, V: int):
    """A function of the whole prefix."""

    def rate(prefix):
        return normal(hash((seed, *prefix)) % 2**31, V).log_softmax(dim=0)

    def logprob_fn(prefixes):
        return torch.stack([rate(tuple(row)) for row in prefixes.tolist()])

    return logprob_fn


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("V", "L"), [(3, 4), (4, 4), (5, 3)])
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_wide_beam_is_exhaustive(seed, V, L, alpha):
    """With a beam of V^L the result is the sorted list of all sequences and their scores."""
    logprob_fn, eos = language(seed, V), V - 1
    everything = []
    for n in range(1, L + 1):
        for symbols in itertools.product(range(V), repeat=n):
            if eos in symbols[:-1] or (n < L and symbols[-1] != eos):
                continue
            total = sum(logprob_fn(torch.tensor([[0, *symbols[:t]]]))[0, s].item() for t, s in enumerate(symbols))
            everything.append((list(symbols), total / n**alpha))
    everything.sort(key=lambda pair: -pair[1])
    found = generation.beam_search(logprob_fn, 0, eos, V**L, L, alpha)
    assert [symbols for symbols, _ in found] == [symbols for symbols, _ in everything]
    assert [score for _, score in found] == pytest.approx([score for _, score in everything], rel=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_beam_of_one_is_greedy(seed):
    """A beam of one takes the likeliest symbol each time, and stops at EOS."""
    logprob_fn = language(seed, 5)
    ((symbols, score),) = generation.beam_search(logprob_fn, 0, 4, 1, 7)
    path, total = [0], 0.0
    while len(path) <= 7 and path[-1] != 4:
        best = logprob_fn(torch.tensor([path]))[0].max(dim=0)
        path, total = [*path, int(best.indices)], total + float(best.values)
    assert symbols == path[1:] and score == pytest.approx(total)


# training


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("eps", [0.0, 0.1, 0.4, 1.0])
@pytest.mark.parametrize("ignored", [(), (0, 3)])
def test_label_smoothing_matches_torch(seed, eps, ignored):
    """Loss and gradient are those of F.cross_entropy(label_smoothing=eps); large logits are no problem."""
    target = torch.tensor([0, 4, 2, 2, 1, 3, 4])
    target[list(ignored)] = -100
    for scale in (1.0, 1e4):
        logits = (scale * normal(seed, 7, 5)).requires_grad_()
        losses = (
            training.label_smoothing_loss(logits, target, eps),
            F.cross_entropy(logits, target, label_smoothing=eps, ignore_index=-100),
        )
        torch.testing.assert_close(*losses, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(*(torch.autograd.grad(loss, logits)[0] for loss in losses), rtol=1e-8, atol=1e-10)


def test_label_smoothing_where_nothing_counts():
    """0, with zero gradients, where torch has NaN."""
    logits = normal(0, 3, 5).requires_grad_()
    loss = training.label_smoothing_loss(logits, torch.full((3,), 1), 0.1, ignore_index=1)
    assert loss.item() == 0 and not torch.autograd.grad(loss, logits)[0].any()


def test_noam_matches_the_closed_form_in_a_scheduler():
    """The rates of a LambdaLR with the paper's formula; step 0 is step 1."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=3.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: 512**-0.5 * min((s + 1) ** -0.5, (s + 1) * 40**-1.5)
    )
    for step in range(1, 120):
        assert training.noam_lr(step, 512, 40, factor=3.0) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        schedule.step()
    assert training.noam_lr(0, 7, 9) == training.noam_lr(1, 7, 9)


@pytest.mark.parametrize("kind", ["copy", "first"])
def test_training_matches_torch_optim(kind):
    """Losses and parameters of some steps equal those of torch's Adam, clipping and LambdaLR."""
    models = []
    for _ in range(2):
        torch.manual_seed(4)
        models.append(given.BareTransformer(12, 6, 2, 1, 5).double())
    task = given.SequenceTask(kind, length=5, batch=3)
    losses = training.train_copy(models[0], task, 8, 0.02, 3, torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(models[1].parameters(), lr=0.02, betas=(0.9, 0.98), eps=1e-9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min((s + 1) / 3, (3 / (s + 1)) ** 0.5))
    generator, expected = torch.Generator().manual_seed(1), []
    for _ in range(8):
        src, tgt = task(generator)
        inp, labels = transformer.make_decoder_io(tgt, 1, 0)
        logits = models[1](src, inp, given.target_mask(inp, 0), torch.arange(9))
        loss = F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(models[1].parameters(), 1.0)
        optimizer.step()
        schedule.step()
        expected.append(loss.item())
    assert losses == pytest.approx(expected, rel=1e-9)
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loop", "copies", "honest"),
    [
        (None, True, True),
        ("no_causal_mask", None, False),
        ("no_target_shift", False, False),
        ("no_positions", False, True),
    ],
)
def test_thresholds_of_the_training(loop, copies, honest):
    """The solution, and the wrong loops that training can tell from it, lie on their sides of the thresholds.

    Three seeds of each; the whole calibration is in docs/calibration.md. (`copies` is None where seeds lie on both
    sides.)
    """
    from autograder.course import load_course
    from autograder.grading.context import Context, Student
    from autograder.grading.misconceptions import load as misconceptions
    from autograder.grading.misconceptions import mutant_page
    from autograder.grading.solution import solution_pages

    torch.set_num_threads(1)
    course = load_course(ROOT)
    unit = course.unit(UNIT)
    grader = load_file(ROOT / "autograder" / "graders" / UNIT / "test_training.py")
    if loop is None:
        source = next(page for page in solution_pages(course, unit) if page.name == "training")
    else:
        wrong = next(m for m in misconceptions(ROOT, UNIT, "training") if m.id == loop)
        source = mutant_page(course, UNIT, "training", wrong)
    student = Student(Context(course, unit, [], None, b"seed").local_page("training", source))
    for seed in range(3):
        model, _ = grader.trained(student, "copy", grader.STEPS, seed)
        accuracy = grader.copies(model, seed)
        assert copies is None or (accuracy >= grader.COPIES) is copies, accuracy
        _, losses = grader.trained(student, "noise", grader.NOISE_STEPS, seed)
        assert (sum(losses[-10:]) / 10 >= grader.NOISE) is honest, losses[-10:]
