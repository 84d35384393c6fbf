"""The grader's end: a page of a submission as an object that looks local and is not.

`Page` owns one worker at a time and the limits that are enforced on it; `Remote` is the proxy that tests use
(`student.causal_mask(3)`, `layer.q_proj.weight`). Whatever goes wrong inside arrives here as a subclass of
`StudentError`, and never as anything else.
"""

import re
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

import msgspec
import numpy as np
import torch
from msgspec import Struct

from autograder.policies import Limits
from autograder.sandbox import usage, wire
from autograder.sandbox.callbacks import SeenModule, Stream, run_callback, take_over
from autograder.sandbox.channel import Caps, Channel, deadline
from autograder.sandbox.failures import (
    StudentBroke,
    StudentError,
    StudentMissing,
    StudentOutOfMemory,
    StudentTimedOut,
    raise_failure,
    renamed,
)
from autograder.sandbox.packing import Packer, Unpacker
from autograder.sandbox.refuse import refusable
from autograder.sandbox.watching import PATIENCE, Loading, LoadWatch, Watch
from autograder.sandbox.workers import SandboxError, Workers

_HANG_LIMIT = 3
_WARNINGS = 3
_MOST_CHARS = 10**9
LOOK_EVERY_S = 0.1
PICTURE = "figure_data"  # what a page calls the numbers of its picture
_GETS_TORCH = re.compile(r"\b(?:import|from)\b.*\b(?:torch|given)\b")  # how an honest page does
_MOST_STOPPED, _MOST_NAME = 8, 200


class Answered(Struct, frozen=True):
    """One call's results: the value, the arguments as they were afterwards, what was printed, and what was measured.

    SECURITY: what was measured was counted next to the student's code, which could change the counts. It explains; what
    must hold is also tried where it cannot be forged, with inputs too long for a wasteful answer's memory limit.
    """

    value: Any
    echo: tuple[tuple[Any, ...], dict[str, Any]] | None
    grads: Sequence[Any] | None
    parameters: dict[str, Any] | None
    randoms: list[float] | None
    printed: str
    measured: Mapping[str, int] = {}


class Page:
    """One page of one submission. Starts a worker on first use, and a fresh one after a crash or a time-out.

    Args:
        sandbox: where workers come from.
        name: the page; its module is imported under this name.
        sources: every page of the submission's unit, so that one may import another. A page that is not among them
            counts as not written.
        symbols: the names that the page's exercises ask for.
    """

    def __init__(
        self, sandbox: Workers, name: str, sources: Sequence[wire.Source], symbols: Sequence[str], limits: Limits
    ) -> None:
        self.name = name
        self.limits = limits
        self.problems: list[wire.Problem] = []
        self.skipped: list[wire.Problem] = []
        self.loading: Loading | None = None  # the shortest, of a page that was run more than once
        self.forbidden: list[str] = []  # by the exercise under test, and so by the worker at hand
        self.last_call_s = 0.0  # from the first byte of the last request to the last byte of its reply
        self.carried: Mapping[str, Any] = {}  # what the grader answers for, once the page has run
        self.shared: int | None = None  # a descriptor that its next worker is born with
        self.card = 0  # the compute capability of a GPU that its workers are to believe in
        self.transcript: list[Any] = []  # what this test has seen so far: answers and exceptions
        self._sandbox = sandbox
        self._sources = list(sources)
        self._symbols = list(symbols)
        self._defined: set[str] = set()
        self._stopped: list[wire.Place] = []  # statements that did not end: no later worker begins them
        self._channel: Channel | None = None
        self._generation = 0
        self._exercise = ""
        self._refused: list[str] = []  # what the exercise under test forbids and a worker can refuse
        self.did_without = ""  # what the running test asked for and the page does not define
        self._broken: StudentError | None = None
        self._hung: dict[str, int] = {}
        self.ends_at = time.monotonic() + limits.submission_wall_s
        self._grants = PATIENCE
        self._looked_at = time.monotonic()

    def close(self) -> None:
        """End the worker."""
        if self._channel is not None:
            self._channel.sock.close()
            self._channel = None

    def end(self) -> None:
        """End the worker and everything it started, now: what has broken a limit does not run until the next call."""
        self.close()
        with suppress(SandboxError):  # stuck or killed: `_fork` starts another
            self._sandbox.wipe()

    def begin(self, exercise: str, limits: Limits, forbidden: Sequence[str]) -> None:
        """A test of `exercise` begins, with its own limits and forbidden names.

        SECURITY: what another exercise's code left running could answer in this one's place or use up its limits, and
        what an earlier call sent unasked would be held against this one. A fresh worker has neither.
        """
        self._refused = refusable(forbidden)
        self._refuse_for("")
        self.limits, self.transcript, self.did_without = limits, [], ""
        if self._channel is not None and not self._channel.idle():
            self.close()
        if self._channel is not None and exercise != self._exercise and not (self._alone() and self._in_step()):
            self.close()
        self._exercise = exercise

    def _refuse_for(self, symbol: str) -> None:
        """A picture is no answer: it may be drawn with torch where an exercise may not be solved with it."""
        is_free = symbol == PICTURE and "torch" in self._refused and self._gets_torch()
        wanted = [] if is_free else self._refused
        if wanted != self.forbidden:
            self.forbidden = wanted
            self.close()  # nothing in that worker can take a refusal back

    def _gets_torch(self) -> bool:
        return any(_GETS_TORCH.search(cell) for source in self._sources for cell in source.cells)

    def _alone(self) -> bool:
        """Whether no other process of the student's is left in the sandbox."""
        try:
            return not self._sandbox.left_behind()
        except SandboxError:  # stuck or killed: `_fork` starts another
            return False

    def _in_step(self) -> bool:
        """Whether the worker answers a question of no consequence, and nothing else: what it still had to say, a second
        answer to an earlier exercise say, would have come before.
        """
        question = wire.Fetch(nonce(), wire.Target(None, ["__name__"]))
        try:
            self._exchange(question, [], [], self.name)
        except StudentError:
            return False
        return self._channel is not None and self._channel.idle()

    def load(self) -> None:
        """Run the page in a fresh worker unless one is at hand. Raises StudentError."""
        if self._broken is not None:
            raise self._broken
        if self._channel is not None:
            return
        if not any(source.name == self.name for source in self._sources):
            raise StudentMissing(f"the page {self.name} was not handed in, or is as it was released")
        self._channel = Channel(self._fork(), Caps(payload_bytes=self.limits.reply_mb << 20))
        self._generation += 1
        numbered = enumerate(self.carried.items(), start=wire.STANDING)
        carried = [wire.Carried(name, number, answerer.is_module) for number, (name, answerer) in numbered]
        load = wire.Load(
            nonce(), self.name, self._sources, self._symbols, self.forbidden, carried, self._stopped, self.card
        )
        left_s = self.left_s()
        try:
            reply, _, _ = self._exchange(load, [], [], f"importing {self.name}")
            if not isinstance(reply, wire.Loaded):
                raise StudentBroke(f"importing {self.name} failed: {str(getattr(reply, 'message', reply))[:200]}")
        except StudentError as error:  # the same would happen for every test: do not pay for it again
            self._broken = error
            if isinstance(error, StudentTimedOut) and self.loading is None and left_s >= self.limits.call_wall_s:
                self.loading = Loading(seconds=self.limits.call_wall_s, limit_s=self.limits.call_wall_s, ended=False)
            raise
        stopped = [self._stopped_at(place) for place in reply.stopped[:_MOST_STOPPED]]
        if self.loading is None or (self.loading.ended and self.loading.seconds > self.last_call_s):  # less busy
            self.loading = Loading(
                seconds=self.last_call_s,
                limit_s=self.limits.call_wall_s,
                ended=not stopped,
                printed_chars=max(0, min(reply.printed_chars, _MOST_CHARS)),  # SECURITY: its own word
                warnings=reply.warnings[:_WARNINGS],
            )
        # an exercise with other refusals runs the page again: what only one of the runs met is told as well
        self.problems = list(dict.fromkeys([*stopped, *self.problems, *reply.problems]))
        self.skipped = list(dict.fromkeys([*self.skipped, *reply.skipped]))
        self._defined = set(reply.defined)

    def _stopped_at(self, place: wire.Place) -> wire.Problem:
        """Remember a statement that was interrupted. SECURITY: its own word, sent to nobody but the page's workers."""
        self._stopped.append(wire.Place(place.file[:_MOST_NAME], place.line))
        limit = f"the {self.limits.call_wall_s:g} s for loading the page (limit call_wall_s)"
        said = f"this did not end within {limit} and was stopped; what follows it was run"
        return wire.Problem(place.file, place.line, "TookTooLong", said)

    @property
    def is_broken(self) -> bool:
        """Whether running the page has failed, or its time is used up: nothing more comes from it."""
        return self._broken is not None

    @property
    def left_behind(self) -> set[str]:
        """The symbols that the page had defined when it was run last."""
        return self._defined

    def defines(self, symbol: str) -> bool:
        """Whether running the page left `symbol` behind. Raises StudentError."""
        self.load()
        return symbol in self._defined

    def call(
        self,
        target: "Remote",
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        echo: bool = False,
        cotangent: Any = None,
        parameters: bool = False,
        wanted: Sequence[int] | None = None,
        seed_globals: int | None = None,
        measure: bool = False,
    ) -> Answered:
        """Call `target` inside. `wanted` are the positional arguments to differentiate by. Raises StudentError."""
        with self._written_down():
            positions = None if wanted is None else list(wanted)
            gradient = None if cotangent is None else (cotangent, parameters, positions)
            return self._answered(target, args, kwargs, echo, gradient, seed_globals, measure)

    def _answered(
        self,
        target: "Remote",
        args: Sequence[Any],
        kwargs: dict[str, Any],
        echo: bool,
        gradient: tuple[Any, bool, list[int] | None] | None,
        seed_globals: int | None,
        measure: bool,
    ) -> Answered:
        self._prepare(target)
        callbacks: list[Callable[..., Any]] = []
        packer = Packer(lambda p, obj: self._pack_other(p, obj, callbacks), keep_strides=True)
        request = wire.Call(
            id=nonce(),
            target=target._target,
            args=packer.pack(tuple(args)),  # type: ignore[arg-type]
            kwargs=packer.pack(kwargs),  # type: ignore[arg-type]
            echo=echo or any(isinstance(callback, torch.nn.Module) for callback in callbacks),
            gradient=None if gradient is None else wire.Gradient(packer.pack(gradient[0]), *gradient[1:]),
            seed_globals=seed_globals,
            measure=measure,
        )
        answered = self._finish(*self._exchange(request, packer.chunks, callbacks, target._name()))
        take_over(answered.echo, callbacks)
        self.note(answered)
        return answered

    def fetch(self, target: "Remote", what: str = "value") -> Any:
        """The value of an attribute, or its length. Raises StudentError."""
        with self._written_down():
            self._prepare(target)
            request = wire.Fetch(nonce(), target._target, what)  # type: ignore[arg-type]
            answered = self._finish(*self._exchange(request, [], [], target._name()))
            self.note(answered)
            return answered.value

    def note(self, seen: Any) -> None:
        """Add to the transcript. `diagnose` overrides it to compare as it goes."""
        self.transcript.append(seen)

    @contextmanager
    def _written_down(self) -> Iterator[None]:
        try:
            yield
        except StudentError as error:
            self.note(error)
            raise

    # -- one exchange

    def _prepare(self, target: "Remote") -> None:
        if target._target.handle is None:
            self._refuse_for(str(target._target.path[0]))
        self.load()
        if target._generation not in (None, self._generation):
            raise StudentBroke(f"{target._name()} was lost when its process ended")
        symbol = target._target.path[0] if target._target.handle is None else None
        if symbol is not None and symbol not in self._defined and symbol in self._symbols:
            why = self._first_problem() or renamed(symbol, (cell for s in self._sources for cell in s.cells))
            kind = StudentTimedOut if self._stopped else StudentMissing
            raise kind(f"{symbol} is not defined in {self.name}{why}")
        if self._hung.get(target._name(), 0) >= _HANG_LIMIT:
            raise StudentTimedOut(f"{target._name()} did not return in time {_HANG_LIMIT} times; not tried again")

    def _first_problem(self) -> str:
        if not self.problems:
            return ""
        p = self.problems[0]
        return f" ({p.file}, line {p.line}: {p.error}: {p.message})"

    def _fork(self) -> socket.socket:
        try:
            return self._sandbox.fork_worker(self.limits, self.shared)
        except SandboxError:  # stuck or killed: once more with a fresh sandbox before it is our fault
            self._sandbox.restart()
            return self._sandbox.fork_worker(self.limits, self.shared)

    def _exchange(
        self, request: wire.Request, chunks: list[bytes], callbacks: list[Callable[..., Any]], what: str
    ) -> tuple[wire.Reply, memoryview, list[Callable[..., Any]]]:
        """Send a request, serve callbacks until the reply comes. Any fault ends the worker."""
        assert self._channel is not None
        budget = min(self.limits.call_wall_s, self.left_s())
        watch = (LoadWatch if isinstance(request, wire.Load) else Watch)(self, budget)
        wait = deadline(budget, LOOK_EVERY_S, on_tick=watch.tick, more_s=watch.more_s)
        with self.ending_what_fails(what, budget):
            self.look_now_and_then()
            if not self._channel.idle():
                raise StudentBroke(f"{what}: the process spoke before it was asked")
            started = time.perf_counter()
            self._channel.send(request, chunks, wait)
            while True:
                reply, payload = self._channel.receive(wire.Reply, wait)
                if not isinstance(reply, wire.Ask):
                    break
                self._answer(reply, payload, callbacks, wait, budget)
            self.last_call_s = time.perf_counter() - started
            self.watch_disk()
            if reply.id != request.id:
                raise StudentBroke(f"{what}: an answer to another question")
        return reply, payload, callbacks

    @contextmanager
    def ending_what_fails(self, what: str, budget: float) -> Iterator[None]:
        """A question to the worker, which had `budget` seconds for it: any fault ends it, and is the student's."""
        try:
            if budget <= 0:  # not asked at all: whether its answer came before we looked would be chance
                raise TimeoutError
            yield
        except StudentError:
            self.end()
            raise
        except TimeoutError:
            self.end()
            self._timed_out(what, budget)
        except wire.WireError as error:
            self.close()
            raise StudentBroke(f"{what}: the answer could not be read: {error}") from None
        except (EOFError, ConnectionError):
            self.close()
            raise StudentBroke(f"{what}: the process ended without an answer (os._exit or a crash?)") from None

    def left_s(self) -> float:
        """Seconds that the submission has left; its time is granted again where others have kept the machine busy."""
        left = self.ends_at - time.monotonic()
        if left < self.limits.call_wall_s and self._grants > 0 and usage.crowded():
            self._grants -= 1
            self.ends_at += self.limits.submission_wall_s
            left += self.limits.submission_wall_s
        return left

    def _timed_out(self, what: str, budget: float) -> NoReturn:
        self._hung[what] = self._hung.get(what, 0) + 1
        if budget < self.limits.call_wall_s:
            error = StudentTimedOut(
                f"{what}: the submission used up its {self.limits.submission_wall_s:g} s (limit submission_wall_s)"
            )
            self._broken = error
            raise error from None
        raise StudentTimedOut(
            f"{what} did not return within {self.limits.call_wall_s:g} s (limit call_wall_s); is there an endless loop?"
        ) from None

    def cpu_seconds(self) -> float:
        """Processor time that the sandbox's processes have used so far, as the kernel counts it."""
        return self._sandbox.cpu_seconds()

    def wants_to_run(self) -> bool:
        """As of the sandbox."""
        return self._sandbox.wants_to_run()

    def interrupt(self) -> bool:
        """Interrupt the statement that is running. False where that cannot be."""
        try:
            return self._sandbox.interrupt()
        except SandboxError:  # stuck or killed: `_fork` starts another
            return False

    def look_now_and_then(self) -> None:
        """SECURITY: many quick calls are watched like a long one; what runs behind them may grow meanwhile."""
        if time.monotonic() >= self._looked_at + LOOK_EVERY_S:
            self.look()

    def look(self) -> None:
        """What the sandbox holds now. Raises StudentOutOfMemory or StudentBroke where it is above a limit."""
        self.watch_disk()
        limit_bytes = self.limits.memory_mb << 20
        if self._sandbox.memory_bytes(limit_bytes) > limit_bytes:
            raise StudentOutOfMemory(f"more than {self.limits.memory_mb} MB of memory (limit memory_mb)")
        self._looked_at = time.monotonic()

    def watch_disk(self) -> None:
        """Raises StudentBroke when the scratch folder holds more than its limit (a tmpfs needs no watch)."""
        if self._sandbox.scratch_bytes() > self.limits.disk_mb << 20:
            raise StudentBroke(f"more than {self.limits.disk_mb} MB, or too many, of files (limit disk_mb)")

    def _answer(
        self,
        ask: wire.Ask,
        payload: memoryview,
        callbacks: list[Callable[..., Any]],
        wait: Callable[[], float | None],
        limit_s: float,
    ) -> None:
        """Run a callback of the grader on what the student passed to it."""
        assert self._channel is not None
        if ask.callback >= wire.STANDING:
            ask = msgspec.structs.replace(ask, callback=ask.callback - wire.STANDING)
            callbacks = list(self.carried.values())
        self._channel.send(*run_callback(ask, payload, callbacks, limit_s), wait)

    def _finish(self, reply: wire.Reply, payload: memoryview, callbacks: list[Callable[..., Any]]) -> Answered:
        if isinstance(reply, wire.Raised):
            raise_failure(reply)
        try:
            if not isinstance(reply, wire.Done):
                raise wire.WireError("not the kind of answer that was asked for")
            unpacker = Unpacker(payload, self._resolve)
            names = ("value", "echo", "grads", "parameters", "randoms")
            fields = {name: unpacker.unpack(getattr(reply, name)) for name in names}
            unpacker.finish()
        except (wire.WireError, RecursionError, MemoryError) as error:
            self.close()
            raise StudentBroke(f"the answer could not be read: {error}") from None
        return Answered(**fields, printed=reply.printed, measured=reply.measured or {})

    # -- values of the grader's own kinds

    def _pack_other(self, packer: Packer, obj: Any, callbacks: list[Callable[..., Any]]) -> wire.Value:
        if isinstance(obj, Remote):
            if obj._target.handle is None or obj._target.path:
                raise TypeError("pass a handle: an object that the student's code has made")
            return wire.Handle(obj._target.handle, obj._type)
        if isinstance(obj, torch.Generator):
            return wire.Rng("torch", obj.initial_seed())
        if isinstance(obj, np.random.Generator):
            return wire.Rng("numpy", _numpy_seed(obj))
        if isinstance(obj, torch.nn.Module):
            callbacks.append(obj)
            state = packer.pack({name: p.detach() for name, p in obj.named_parameters()})
            # SECURITY: no name of ours goes inside: a grader's `CausalLayer` would tell what the student is to find out
            return wire.Callback(len(callbacks) - 1, "module", obj.training, state)  # type: ignore[arg-type]
        if isinstance(obj, Iterator):
            callbacks.append(Stream(obj))
            return wire.Callback(len(callbacks) - 1, "stream", stream=True)
        if callable(obj):
            callbacks.append(obj)
            return wire.Callback(len(callbacks) - 1, "function")
        raise TypeError(f"a {type(obj).__name__} cannot be passed to student code")

    def _resolve(self, unpacker: Unpacker, value: wire.Value) -> Any:
        match value:
            case wire.Handle(number, type_name):
                return Remote(self, wire.Target(number, []), type_name[:80], self._generation)
            case wire.Callback(callback, _, training, parameters) if parameters is not None:
                return SeenModule(callback, training, unpacker.unpack(parameters))
        raise wire.WireError(f"unexpected {type(value).__name__}")


class Remote:
    """A name, attribute or object of the student's code. Calling it runs it inside and returns plain values."""

    def __init__(self, page: Page, target: wire.Target, type_name: str = "", generation: int | None = None) -> None:
        self._page = page
        self._target = target
        self._type = type_name
        self._generation = generation

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._page.call(self, args, kwargs).value

    def __getattr__(self, name: str) -> "Remote":
        if name.startswith("__"):  # pytest, copy and friends look for protocols that a proxy does not have
            raise AttributeError(name)
        return self._step(name)

    def __getitem__(self, index: int | str) -> "Remote":
        return self._step(index)

    def __len__(self) -> int:
        length = self._page.fetch(self, "len")
        if not isinstance(length, int) or length < 0:
            raise StudentBroke(f"{self._name()} has an impossible length")
        return length

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator["Remote"]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<{self._name()} of the submission>"

    def value(self) -> Any:
        """The attribute itself, as a plain value."""
        return self._page.fetch(self)

    def _step(self, step: int | str) -> "Remote":
        target = wire.Target(self._target.handle, [*self._target.path, step])
        return Remote(self._page, target, self._type, self._generation)

    def _name(self) -> str:
        return ".".join(map(str, [*([self._type] if self._target.handle is not None else []), *self._target.path]))


def _numpy_seed(generator: np.random.Generator) -> int:
    """The number that a generator was made from; inside, `default_rng` of it starts afresh."""
    entropy = getattr(generator.bit_generator.seed_seq, "entropy", None)
    if not isinstance(entropy, int) or entropy >= 2**63:
        raise TypeError("make the generator with numpy.random.default_rng(seed), with a seed below 2**63")
    return entropy


def nonce() -> int:
    return secrets.randbits(62)
