"""The `gpu` fixture: a student's function on a GPU, its time against a baseline, and whether its memory suffices.

    @pytest.mark.exercise("triton_flash_forward")
    @pytest.mark.parametrize("tier", TIERS)
    def test_gpu_time(student, gpu, tier):
        n = 8192 if gpu.is_cuda else 128
        result = gpu(
            student.flash_fwd, eager,
            inputs=lambda: (*(gpu.normal(1, 16, n, 64) for _ in "qkv"), True),
            results=lambda inputs: [...], judge=lambda answer, inputs: ...,
        )
        result.must_reach(tier)

Deferred where there is no GPU. Arrays lie in memory that grader and worker share (`sandwich.py`): on a GPU the card's,
or, where a start-up probe finds that this cannot be shared, the machine's, with a chain of dependent calls in one turn
so that carrying does not matter. With the CPU in the card's place all but the CUDA calls is the same.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import torch
from msgspec import Struct

from autograder.course import Exercise
from autograder.grading.accuracy import near_as_plain
from autograder.grading.context import Context, Deferred
from autograder.grading.draw import Draw
from autograder.grading.performance import Race
from autograder.grading.racing import IMPORTS, Racer, Result
from autograder.grading.sandwich import Sandwich, Specs, like_first, overhead_s
from autograder.grading.verdict import PAIRS
from autograder.sandbox.client import Page, Remote
from autograder.sandbox.devices import Device
from autograder.sandbox.driver import DriverError
from autograder.sandbox.failures import StudentError
from autograder.sandbox.shared import CudaHandleMemory, CudaMemory, MachineMemory, Memory
from autograder.sandbox.turns import next_query


class Chain(Struct, frozen=True):
    """What a chain of dependent calls is judged by: the first result of one call, exactly and plainly.

    Attributes:
        exact: in float64, whatever the dtype of its arguments is.
        plain: by the plain formula in the dtype of its arguments; how far its chain strays is how far an answer may.
    """

    exact: Callable[..., torch.Tensor]
    plain: Callable[..., torch.Tensor]

    def judge(self, links: int) -> Callable[[Any, Sequence[Any]], None]:
        """Judges the answer of a turn of so many links."""

        def judged(answer: Any, inputs: Sequence[Any]) -> None:
            ends = []
            for function, query in ((self.exact, inputs[0].double()), (self.plain, inputs[0])):
                for link in range(links):
                    end = function(query, *inputs[1:])
                    if link + 1 < links:
                        query = next_query(query, end)
                ends.append(end)
            near_as_plain(answer[0] if isinstance(answer, tuple) else answer, *ends, what=f"the end of {links} calls")

        return judged


class Work(Struct, frozen=True):
    """What any way to the answer of one call takes: operations of products, and bytes read and written once."""

    flops: float
    bytes: float


_FLOOR = 0.5  # of what the card's datasheet allows: nobody comes near that, so a clock that says so is wrong
LINKS = 4  # of a chain: more make a skipped link too small to see in bfloat16
_ECHO = "def echo(x):\n    return x.clone()\n"
_PROBE_BYTES = 1 << 16
_MOST_CHARS = 500


class GpuRacer(Racer):
    """Makes the races of one test on the context's device; see the module."""

    def __init__(self, context: Context, page: Page, exercise: Exercise, device: Device, seed: str) -> None:
        super().__init__(
            context, page, exercise, device.kinds if device.is_cuda else (device.name, *device.kinds), device.title
        )
        self._device = device
        self._draw = Draw(context.run_seed, f"gpu::{seed}")
        self.is_cuda = device.is_cuda
        self._where = torch.device("cuda" if device.is_cuda else "cpu")
        self._generator = torch.Generator(self._where).manual_seed(self._draw.seed() >> 1)

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Normal numbers on the device: bfloat16 on a GPU and float16 on the CPU, unless said."""
        dtype = dtype or (torch.bfloat16 if self.is_cuda else torch.float16)
        drawn = torch.randn(shape, generator=self._generator, device=self._where, dtype=torch.float32)
        return drawn.to(dtype)

    def __call__(
        self,
        student: Remote,
        baseline: Callable[..., Any],
        inputs: Callable[[], Sequence[Any]],
        judge: Callable[[Any, Sequence[Any]], None],
        measure: str = "time",
        pairs: int = PAIRS,
        results: Callable[[Sequence[Any]], Specs] = like_first,
        chain: Chain | None = None,
        work: Callable[[Sequence[Any]], Work] | None = None,
    ) -> Result:
        """Race `student` against `baseline`, as `Racer` does.

        Args:
            results: shapes and dtypes of what the function returns for such inputs.
            chain: for functions whose first argument is a query and whose first result is as large: where the card's
                memory cannot be shared, chains of calls are timed and judged by it.
            work: of a call with these arguments, at least; a time below half of what the card could do voids the run.
        Raises Deferred where somebody disturbed every run, or where this machine cannot time such a function.
        """

        def race(thresholds: Sequence[float]) -> Any:
            links = self._links(chain is not None)
            device = self._elsewhere()
            page = self._context.device_page(self._page.name, self._exercise.id)
            source = IMPORTS + inspect.getsource(baseline)
            symbol = str(student._target.path[-1])
            sides = [
                self._side(page, symbol, results, device, links),
                self._side(self._context.device_baseline(source), baseline.__name__, results, device, links),
                self._side(self._context.device_baseline(source), None, results, device, links),
            ]
            judged = judge if links == 1 or chain is None else chain.judge(links)
            try:
                overhead, _ = overhead_s(sides[2], inputs)
                rng = Draw(self._context.run_seed, f"race::{self._exercise.id}::{measure}::gpu").rng()
                wanted = self._context.pairs or pairs
                floor_s = self._floor_s(work, links)
                return Race(sides[0], sides[1], inputs, judged, rng, wanted, overhead, floor_s).ratio(thresholds)
            finally:
                for side in sides:
                    side.close()

        return self._raced(measure, baseline.__name__, race)

    def fits(
        self,
        student: Remote,
        inputs: Callable[[], Sequence[Any]],
        judge: Callable[[Any, Sequence[Any]], None],
        spare_bytes: int,
        results: Callable[[Sequence[Any]], Specs] = like_first,
    ) -> None:
        """One call while only `spare_bytes` of memory are free besides its arguments and results: the rest is ballast.

        Raises StudentError where that is too little, and what `judge` raises.
        """
        given = inputs()
        page = self._context.device_page(self._page.name, self._exercise.id)
        if not self.is_cuda:
            carried = sum(v.nbytes for v in given if isinstance(v, torch.Tensor))
            limits = page.limits
            page.limits = msgspec.structs.replace(limits, memory_mb=(spare_bytes + 3 * carried >> 20) + 1)
        side = self._side(page, str(student._target.path[-1]), results, self._elsewhere(), 1)
        try:
            side.prepare(given)
            with _ballast(spare_bytes) if self.is_cuda else _nothing():
                answer, _ = side.timed(given)
            judge(answer, given)
        finally:
            side.close()

    # -- how arrays travel

    def _side(
        self, page: Page, symbol: str | None, results: Callable[[Sequence[Any]], Specs], device: str, links: int
    ) -> Sandwich:
        memory = CARD_MEMORY.get(self._transport(), MachineMemory) if self.is_cuda else MachineMemory
        return Sandwich(page, symbol, memory, results, device, links)

    def _elsewhere(self) -> str:
        """The device that workers move arguments to: none where shared memory is on it already."""
        return "cuda" if self.is_cuda and self._transport() == CHAIN else ""

    def _floor_s(self, work: Callable[[Sequence[Any]], Work] | None, links: int) -> Callable[[Sequence[Any]], float]:
        """The seconds of a turn that no kernel stays below; 0 on a card whose limits are not known."""
        peak = self._device.peak

        def floor_s(inputs: Sequence[Any]) -> float:
            if work is None or peak is None:
                return 0.0
            least = work(inputs)
            return _FLOOR * links * max(least.flops / peak.flops, least.bytes / peak.bytes)

        return floor_s

    def _links(self, chainable: bool) -> int:
        """1 where carrying costs next to nothing. Raises Deferred where a call would be lost in it."""
        if not self.is_cuda or self._transport() != CHAIN:
            return 1
        if not chainable:
            raise Deferred("the card's memory cannot be shared here, and without that this function cannot be timed")
        return LINKS

    def _transport(self) -> str:
        """The kind of memory that is shared with a worker, by its name in CARD_MEMORY; CHAIN where none can be."""
        if self._context.transport is None:
            self._context.transport = transport(self._context)
        return self._context.transport


CHAIN = "chain"
CARD_MEMORY: dict[str, Callable[[int], Memory]] = {"descriptor": CudaMemory, "handle": CudaHandleMemory}


def transport(context: Context) -> str:
    """The first kind of CARD_MEMORY that a worker behind the wall can share; CHAIN where none can be."""
    return next((name for name, memory in CARD_MEMORY.items() if not why_not_shared(context, memory)), CHAIN)


def why_not_shared(context: Context, memory: Callable[[int], Memory]) -> str:
    """The start-up probe: a worker of ours opens the memory and sends a pattern back. Empty where that works."""
    side = Sandwich(context.device_baseline(_ECHO), "echo", memory)
    where = "cuda" if context.device is not None and context.device.is_cuda else "cpu"
    try:
        pattern = torch.randint(0, 256, (_PROBE_BYTES,), dtype=torch.uint8, device=where)
        answer, _ = side.timed([pattern])
        return "" if torch.equal(answer, pattern) else "what came back is not what was written"
    except (DriverError, StudentError, RuntimeError, AssertionError, OSError) as error:
        return f"{type(error).__name__}: {error}"[:_MOST_CHARS]
    finally:
        side.close()


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _ballast(spare_bytes: int) -> Iterator[None]:
    """Hold the card's memory but for that much."""
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    held = torch.empty(max(0, free - spare_bytes), dtype=torch.uint8, device="cuda")
    try:
        yield
    finally:
        del held
        torch.cuda.empty_cache()
