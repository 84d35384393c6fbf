"""An error costs its points once: what calls a function that failed is tested again, with the grader in its place.

Where the code of an exercise calls an asked symbol of its page that comes before it, and that symbol failed its own
tests, the failed tests of the exercise are run once more, in a fresh worker in which the reference answers for that
symbol, over the wire. What passes then counts as passed, "carried over from" the other exercise. The symbol's own tests
are never run again, and nothing that has passed is.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any

import msgspec
import torch
from torch import Tensor, nn

from autograder.course import Exercise, Page
from autograder.grading.context import Context
from autograder.grading.marks import marks_of, stands_apart
from autograder.grading.references import load_reference
from autograder.grading.shortcuts import reached
from autograder.results.record import Outcome, TestResult
from autograder.sandbox.carried import leaves, replaced

if TYPE_CHECKING:
    from autograder.grading.session import CollectedTests

Results = Mapping[tuple[str, str], TestResult]
_MOST_LAYERS = 10_000
_MOST_NUMBERS = 1 << 24  # in the parameters of all layers that are made for one exercise
_GRADIENTS = frozenset(("torch.autograd.grad", "torch.autograd.backward", "torch.enable_grad"))


def carry_over(tests: "CollectedTests", context: Context, results: Results) -> Iterator[tuple[str, TestResult]]:
    """The exercises and results of failed tests that pass where others' errors are put right.

    Args:
        context: that of the first run, closed. results: of the first run, by exercise and test.
    """
    failed = {exercise for (exercise, _), result in results.items() if _costs(result)}
    for page in context.unit.pages:
        if context.is_broken(page.name):  # it would end the same way, and take as long
            continue
        for exercise in page.exercises:
            if exercise.id not in failed or not (others := _called(context, page, exercise, failed)):
                continue
            again = {
                marks.full_name
                for item in tests.items
                if (marks := marks_of(item)).exercise == exercise.id
                and (known := results.get((exercise.id, marks.name))) is not None
                and _costs(known)
                and not stands_apart(item)  # over the wire, a time says nothing, and nothing compiles
            }
            yield from _again(tests, context, page, exercise, again, others)


def _costs(result: TestResult) -> bool:
    """Whether a test costs points and may be tried again: one that broke in our code is another matter."""
    return not result.outcome.is_fine and result.outcome is not Outcome.GRADER_ERROR


def _called(context: Context, page: Page, exercise: Exercise, failed: set[str]) -> dict[str, str]:
    """The symbols that the exercise's code calls and that failed their own tests, with their exercises.

    SECURITY: only what stands before it on the page, as all does that it builds on. Whoever has a later one
    answered may have the exercise answered: a softmax is the exponential of a log-softmax, and attention over the
    unit matrix shows its causal mask. Nor where that code calls the exercise in turn: two functions of which each
    gives the other's answer could be handed in as each other, and be right with the reference in the other's place.
    """
    source = context.source(page.name)
    if source is None:
        return {}
    others = context.others(page.name)
    names = reached(source, exercise.symbols, others)
    reference = load_reference(context.course, context.unit.id, page.name)
    return {
        symbol: other.id
        for other in itertools.takewhile(lambda other: other.id != exercise.id, page.exercises)
        if other.id in failed and names.intersection(other.symbols)
        if not reached(source, other.symbols, others).intersection(exercise.symbols)
        for symbol in other.symbols
        if symbol in names and _can_be_answered(getattr(reference, symbol, None))
    }


def _can_be_answered(target: Any) -> bool:
    """Functions and layers; an object of another class would have to stay in step on both sides."""
    return issubclass(target, nn.Module) if isinstance(target, type) else callable(target)


def _again(
    tests: "CollectedTests",
    first: Context,
    page: Page,
    exercise: Exercise,
    again: Set[str],
    others: Mapping[str, str],
) -> list[tuple[str, TestResult]]:
    reference = load_reference(first.course, first.unit.id, page.name)
    passed: list[tuple[str, TestResult]] = []
    told = ", ".join(dict.fromkeys(others.values()))

    def note(of: str, result: TestResult) -> None:
        if result.outcome is Outcome.PASSED:
            passed.append((of, msgspec.structs.replace(result, message=f"carried over from {told}")))

    differentiates = _GRADIENTS.isdisjoint(exercise.forbidden)
    answerers = {name: Answerer(getattr(reference, name), differentiates) for name in others}
    context = first.once_more({page.name: answerers})
    context.on_result = note
    try:
        tests.run(context, exercise.id, again)
    finally:
        context.close()
    return passed


class Answerer:
    """A function of the reference, or a class of layers, as a callback: the other end of `sandbox.carried`.

    SECURITY: without `differentiates` it gives no gradients: an exercise that asks for them would have them from here.
    """

    def __init__(self, target: Any, differentiates: bool = True) -> None:
        self.is_module = isinstance(target, type)
        self._differentiates = differentiates
        self._target = target
        self._made: list[nn.Module] = []
        self._numbers = 0

    def __call__(self, operation: str, *rest: Any) -> tuple[Any, ...]:
        """("value", ...), or ("raised", class, message): a refusal of the reference's own is an answer too."""
        operations: dict[str, Callable[..., Any]] = {"new": self._new, "call": self._run, "vjp": self._vjp}
        try:
            with torch.no_grad():
                value = operations[operation](*rest)
            return "value", replaced(value, iter([tensor.detach() for tensor in leaves(value)]))
        except Exception as error:
            return "raised", type(error).__name__, str(error)[:300]

    def _new(self, args: Any, kwargs: Any) -> Any:
        """The layer's number, its parameters, and its plain attributes."""
        layer = self._target(*args, **kwargs)
        # SECURITY: they stay here for as long as the exercise is tested; a student's code decides how many and how wide
        self._numbers += sum(parameter.numel() for parameter in layer.parameters())
        if self._numbers > _MOST_NUMBERS or len(self._made) >= _MOST_LAYERS:
            raise MemoryError("too many layers, or too large ones")
        self._made.append(layer)
        plain = {n: v for n, v in vars(layer).items() if not n.startswith("_") and isinstance(v, int | float | str)}
        return len(self._made) - 1, dict(layer.named_parameters()), plain

    def _run(self, number: int | None, training: bool, parameters: dict[str, Tensor], args: Any, kwargs: Any) -> Any:
        if number is None:
            return self._target(*args, **kwargs)
        layer = self._made[number].train(training)
        if parameters:  # buffers follow them, as in the student's own layer
            layer.to(next(iter(parameters.values())).dtype)
        return torch.func.functional_call(layer, parameters, tuple(args), kwargs)

    def _vjp(
        self, number: int | None, training: bool, parameters: Any, args: Any, kwargs: Any, cotangents: list[Tensor]
    ) -> list[Tensor | None]:
        """A gradient for each floating tensor of args, kwargs and parameters; None where none flows."""
        if not self._differentiates:
            raise RuntimeError("this exercise asks for a gradient that you write yourself")
        inputs = [tensor.requires_grad_() for tensor in leaves((args, kwargs, parameters))]
        with torch.enable_grad():
            outputs = list(leaves(self._run(number, training, parameters, args, kwargs)))
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
        if not pairs:
            return [None] * len(inputs)
        return list(torch.autograd.grad([o for o, _ in pairs], inputs, [c for _, c in pairs], allow_unused=True))
