"""A timed call in shared memory: the order of events that no student's code can change.

1. The arguments of this call lie in private memory; the shared results are filled with NaN; wait for that.
2. The clock starts. Only then the arguments are copied to where the worker sees them, and one byte is sent.
3. The worker calls the function, lays down what it returns, and sends one byte.
4. The results are copied into a private snapshot; wait for that, and the clock stops.
5. Only after that the caller computes what is right and judges the snapshot. Every one.

So work that lands late is not in the snapshot, a result that was left from before is NaN, and what is expected does not
exist while anything of a student's runs. `performance.Race` drives it as it drives bytes on a socket; what differs is
what a call costs to carry, which `overhead_s` measures with a worker that answers at once.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from autograder.sandbox.asking import Asking
from autograder.sandbox.client import Page
from autograder.sandbox.shared import Laid, Memory, spec_of

Specs = Sequence[tuple[Sequence[int], torch.dtype]]
_NULL_CALLS, _NULL_WARM = 21, 3


def like_first(inputs: Sequence[Any]) -> Specs:
    """One result, of the shape and dtype of the first tensor among the inputs."""
    return [spec_of(next(value for value in inputs if isinstance(value, torch.Tensor)))]


class Sandwich:
    """One side of a race (`performance.Runner`): a function of a page, in memory that is shared with its worker.

    Args:
        page: a page of its own; its limits must leave room for the shared memory.
        symbol: the function; None for a worker that answers at once.
        memory: makes shared memory of a size in bytes.
        results: shapes and dtypes that the function returns for such inputs.
        device: where the worker computes, if that is not where the shared memory is.
        links: calls of one turn, each with a query made of the output before (`turns.next_query`).
    """

    def __init__(
        self,
        page: Page,
        symbol: str | None,
        memory: Callable[[int], Memory],
        results: Callable[[Sequence[Any]], Specs] = like_first,
        device: str = "",
        links: int = 1,
    ) -> None:
        self._page, self._symbol, self._make, self._results = page, symbol, memory, results
        self._device, self._links = device, links
        self._memory: Memory | None = None
        self._asking: Asking
        self._arguments: list[torch.Tensor] = []
        self._outputs: list[torch.Tensor] = []
        self._announced: Any = None

    def fresh(self) -> None:
        """End the worker; the next call gets a new one."""
        self._page.end()

    def close(self) -> None:
        """End the worker and give the shared memory back."""
        self._page.end()
        if self._memory is not None:
            self._arguments, self._outputs = [], []
            self._memory.close()
            self._memory = None

    def prepare(self, inputs: Sequence[Any]) -> None:
        """Have a worker that knows what it will be asked. Raises StudentError."""
        tensors = [value for value in inputs if isinstance(value, torch.Tensor)]
        fixed = [value for value in inputs if not isinstance(value, torch.Tensor)]
        described = ([spec_of(tensor) for tensor in tensors], fixed, [*self._results(inputs)])
        if self._memory is not None and self._announced == described and self._asking.known:
            return
        arguments = Laid(described[0])
        results = Laid(described[2], arguments.end)
        if self._memory is None or self._announced != described:
            self.close()
            self._memory = self._make(results.end)
            self._asking = Asking(self._page, self._symbol, self._memory, self._device, self._links)
            self._arguments, self._outputs = arguments.views(self._memory), results.views(self._memory)
        self._announced = described
        positions = [n for n, value in enumerate(inputs) if isinstance(value, torch.Tensor)]
        self._asking.announce(positions, arguments, fixed, results)

    def timed(self, inputs: Sequence[Any]) -> tuple[Any, float]:
        """The answer, a private copy where the inputs are, and the seconds that it took. Raises StudentError."""
        self.prepare(inputs)
        memory = self._memory
        assert memory is not None
        private = [value for value in inputs if isinstance(value, torch.Tensor)]
        snapshot = [torch.empty_like(output) for output in self._outputs]
        for output in self._outputs:
            poison(output)
        self._asking.ready()
        memory.sync()
        started = time.perf_counter()
        for argument, value in zip(self._arguments, private, strict=True):
            argument.copy_(value)
        memory.sync()
        self._asking.turn()
        for copy, output in zip(snapshot, self._outputs, strict=True):
            copy.copy_(output)
        memory.sync()
        seconds = time.perf_counter() - started
        answer = [copy.to(private[0].device) for copy in snapshot] if private else snapshot
        return (answer[0] if len(answer) == 1 else tuple(answer)), seconds


def poison(output: torch.Tensor) -> None:
    """Fill with what no right answer holds."""
    output.fill_(float("nan") if output.is_floating_point() else torch.iinfo(output.dtype).min)


def overhead_s(null: Sandwich, inputs: Callable[[], Sequence[Any]]) -> tuple[float, float]:
    """Median and 99th percentile of the seconds that the sandwich takes around nothing, for such inputs."""
    seconds = [null.timed(inputs())[1] for _ in range(_NULL_WARM + _NULL_CALLS)][_NULL_WARM:]
    null.fresh()
    return float(np.median(seconds)), float(np.percentile(seconds, 99))
