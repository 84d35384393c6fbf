"""The `compiler` fixture: would a page's kernels compile for a GPU that this machine does not have?

    @pytest.mark.exercise("triton_flash_forward")
    @pytest.mark.weight(0)
    @pytest.mark.parametrize("card", CARDS)
    def test_compiles(student, compiler, card):
        q = blank(1, 16, 8192, 64)
        compiler(student.flash_fwd, card, q, q, q, True)

The interpreter accepts much that the compiler refuses. What the compiler says comes out of a process that the student's
code shares: it is information, and no points may hang on it. So such a test weighs nothing.
"""

import torch
from msgspec import Struct

from autograder.course import Exercise
from autograder.grading.compare import Disagreement
from autograder.grading.context import Context
from autograder.sandbox import wire
from autograder.sandbox.client import Page, Remote, nonce
from autograder.sandbox.failures import StudentBroke, StudentTimedOut, raise_failure
from autograder.sandbox.packing import Packer
from autograder.sandbox.shared import Laid, spec_of
from autograder.text import readable


class Card(Struct, frozen=True):
    """A card that kernels are compiled for. `shared_bytes` is the most that one program may have of shared memory."""

    capability: int
    title: str
    shared_bytes: int


# Shared memory per thread block: CUDA C++ Programming Guide, table of technical specifications per compute capability.
CARDS = {"sm_80": Card(80, "an A100 (sm_80)", 163 << 10), "sm_90": Card(90, "an H100 (sm_90)", 227 << 10)}

_MOST_KERNELS, _MOST_NAME, _MOST_NUMBER = 20, 80, 1 << 30
_UNITS = {"wgmma.mma_async": "wgmma", "mma.sync": "mma", "tcgen05.mma": "tcgen05"}


def blank(*shape: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    """A tensor to compile for: shape and dtype, no numbers."""
    return torch.empty(shape, dtype=dtype, device="meta")


class Compiler:
    """Compiles what a function of the page under test launches; see the module."""

    def __init__(self, context: Context, page: Page, exercise: Exercise) -> None:
        self._context, self._page, self._exercise = context, page, exercise

    def __call__(self, student: Remote, card: str, *arguments: object) -> None:
        """Have `student`, a function of the page, called with such arguments, and say what the compiler makes of it.

        Args:
            card: a name in CARDS.
            arguments: tensors by `blank`; other values as they are.
        Raises Disagreement where a kernel is refused or does not fit on the card; StudentError where the page raises.
        """
        target, symbol = CARDS[card], str(student._target.path[-1])
        try:
            found = self._ask(symbol, target, arguments)
        except StudentTimedOut:
            self._context.cannot_compile = "an earlier call of this page's did not end in time"
            raise
        lines = [_line(kernel, target) for kernel in found.kernels[:_MOST_KERNELS]]
        if found.refused:
            raise Disagreement(
                f"{_name(found.kernel)} will not run on {target.title}, although the interpreter runs it: "
                + "\n  ".join([readable(found.refused), *lines])
            )
        if found.untried:
            self._context.told = f"this cannot be tried without a GPU: {readable(found.untried)}"
            return
        if not lines:
            raise Disagreement(f"{symbol} has launched no kernel for tensors on a GPU")
        if any(kernel.shared > target.shared_bytes for kernel in found.kernels):
            raise Disagreement("this will not run:\n  " + "\n  ".join(lines))
        self._context.told = "\n  ".join(lines)

    def _ask(self, symbol: str, card: Card, arguments: tuple[object, ...]) -> wire.Compiled:
        page = self._context.compiling_page(self._page.name, self._exercise.id, card.capability)
        tensors = [value for value in arguments if isinstance(value, torch.Tensor)]
        positions = [n for n, value in enumerate(arguments) if isinstance(value, torch.Tensor)]
        fixed = tuple(value for value in arguments if not isinstance(value, torch.Tensor))
        remote = Remote(page, wire.Target(None, [symbol]))
        try:
            page._prepare(remote)
            slots = list(Laid([spec_of(tensor) for tensor in tensors]))
            packed = Packer().pack(fixed)
            request = wire.Compile(nonce(), remote._target, slots, positions, packed)  # type: ignore[arg-type]
            reply, _, _ = page._exchange(request, [], [], f"compiling {symbol}")
            if isinstance(reply, wire.Raised):
                raise_failure(reply)
            if not isinstance(reply, wire.Compiled):
                raise StudentBroke(f"compiling {symbol}: not the kind of answer that was asked for")
            return reply
        finally:  # what a page leaves running must not run beside the tests that count
            page.end()


def _line(kernel: wire.Kernel, card: Card) -> str:
    """What the compiler made of one kernel. SECURITY: the worker's own word; nothing but text is made of it."""
    registers, spilled, shared = (
        max(-1, min(n, _MOST_NUMBER)) for n in (kernel.registers, kernel.spilled, kernel.shared)
    )
    unit = _UNITS.get(kernel.products)
    parts = [
        f"{registers} registers per thread" if registers >= 0 else "",
        f"{spilled} bytes per thread spilled to slow memory (try smaller tiles, or more warps)" if spilled > 0 else "",
        "nothing spilled" if registers >= 0 and spilled <= 0 else "",
        f"{round(shared / 1024, 1):g} KiB of shared memory",
        f"of which it has {card.shared_bytes >> 10} (try smaller tiles, or fewer stages)"
        if shared > card.shared_bytes
        else "",
        f"products on the matrix units ({unit})" if unit else "no products on the matrix units",
    ]
    return f"{_name(kernel.name)} on {card.title}: {', '.join(filter(None, parts))}"


def _name(name: str) -> str:
    return readable(name)[:_MOST_NAME]
