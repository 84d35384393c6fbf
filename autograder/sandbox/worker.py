"""Runs a student's page inside the wall and answers requests with values. It decides nothing.

Nothing here is trusted by the grader: student code shares this process and may change all of it. What it can reach
is its own answers, and those are compared outside.
"""

import contextlib
import importlib
import random
import socket
import sys
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from autograder.sandbox import compiling, interrupts, measure, stand_ins, turns, wire
from autograder.sandbox.carried import stand_in
from autograder.sandbox.channel import Channel, no_deadline
from autograder.sandbox.packing import Packer, Unpacker
from autograder.sandbox.refuse import Refusals
from autograder.sandbox.running import Pages, Printed, Warned


class GraderRefused(RuntimeError):
    """A callback of the grader was called in a way that it does not take."""


class Session:
    """The state of one worker: the page's module and the objects that the grader holds handles to."""

    def __init__(self, ask: Callable[[wire.Ask, list[bytes]], tuple[wire.Answer, memoryview]]) -> None:
        self._ask = ask
        self._objects: dict[int, Any] = {}
        self._known: dict[int, dict[str, Any]] = {}  # the parameters that the grader's module has, by callback
        self._pages = Pages()
        self._page = ""
        self._printed = Printed()
        self._refusals: Refusals | None = None
        self.turns = turns.Turns()

    def take_over_process(self) -> None:
        """Let pages import one another, and catch what they print."""
        sys.meta_path.insert(0, self._pages)
        sys.stdout = sys.stderr = self._printed
        self._refusals = Refusals()
        interrupts.ignore()
        stand_ins.install()
        # a notebook's own check cells have no say in grading, also where the whole kit is importable (rung `none`)
        importlib.import_module("autograder").check = lambda *args, **kwargs: None  # type: ignore[attr-defined]

    def adopt(self, page: str, module: types.ModuleType) -> None:
        """Use a module that exists already as the page."""
        self._page, self._pages.modules[page] = page, module

    def handle(self, request: wire.Request, payload: memoryview) -> tuple[wire.Reply, list[bytes]]:
        """The reply to one request; whatever student code raises becomes data."""
        self._printed.restart()
        packer = Packer(self._to_handle)
        try:
            match request:
                case wire.Load():
                    return self._load(request), []
                case wire.Call():
                    return self._call(request, payload, packer), packer.chunks
                case wire.Fetch():
                    return self._fetch(request, packer), packer.chunks
                case wire.Time():
                    return self._announce(request), []
                case wire.Compile():
                    fixed = Unpacker(b"").unpack(request.fixed)
                    return compiling.compile_call(request, self._find(request.target), fixed), []
                case _:
                    raise GraderRefused("an answer came before a question")
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a student are answers like any other
            return self._pages.raised(request.id, error, self._printed.text()), []

    # -- requests

    def _load(self, request: wire.Load) -> wire.Loaded:
        self._page = request.page
        if request.card:
            compiling.pretend(request.card)
        self._pages.add(request.sources)
        if self._refusals is not None:
            self._refusals.install(request.forbidden)
        problems: list[wire.Problem] = []
        skipped: list[wire.Problem] = []
        stoppable = self._pages.interruptible(request.passed_over) if self._refusals else contextlib.nullcontext()
        with Warned() as warned, stoppable:
            module = self._pages.run(request.page, problems, skipped)
        for carried in request.carried:
            setattr(module, carried.symbol, self._stand_in(carried))
        defined = [name for name in request.symbols if hasattr(module, name)]
        return wire.Loaded(
            request.id,
            problems,
            defined,
            skipped,
            printed_chars=self._printed.chars,
            warnings=warned.texts,
            stopped=self._pages.stopped,
        )

    def _stand_in(self, carried: wire.Carried) -> Any:
        def ask(operation: str, *rest: Any) -> tuple[Any, ...]:
            return tuple(self.call_grader(carried.callback, (operation, *rest), {}))

        return stand_in(carried.symbol, carried.is_module, ask)

    def _call(self, request: wire.Call, payload: memoryview, packer: Packer) -> wire.Done:
        unpacker = Unpacker(payload, self._resolve, allow_strides=True)
        args, kwargs = unpacker.unpack(request.args), unpacker.unpack(request.kwargs)
        inputs: list[torch.Tensor] = []
        if request.gradient is not None:
            measure.leave_no_holes()
            cotangent, wanted = unpacker.unpack(request.gradient.cotangent), request.gradient.wanted
            chosen = [a for i, a in enumerate(args) if wanted is None or i in wanted]
            inputs = [a.requires_grad_() for a in chosen if isinstance(a, torch.Tensor) and a.is_floating_point()]
        if request.seed_globals is not None:
            seed_globals(request.seed_globals)
        function = self._find(request.target)
        if not callable(function):
            kind = "None" if function is None else f"of type {type(function).__name__}"
            raise TypeError(f"{'.'.join(map(str, request.target.path))} is {kind} and cannot be called")
        refusing = self._refusals.during_a_call() if self._refusals else contextlib.nullcontext()
        meter = measure.Meter((args, kwargs)) if request.measure else None
        with refusing, meter or measure.guarded():
            value = function(*args, **kwargs)
        randoms = draw_globals() if request.seed_globals is not None else None
        grads = parameters = None
        if request.gradient is not None:
            with meter or measure.guarded():
                grads, parameters = self._differentiate(request, function, value, inputs, cotangent)
        return wire.Done(
            request.id,
            value=self._to_handle(packer, value) if _is_object_of(function, value) else packer.pack(value),
            echo=packer.pack((tuple(args), kwargs)) if request.echo else None,
            grads=packer.pack(grads),
            parameters=packer.pack(parameters),
            randoms=packer.pack(randoms),
            printed=self._printed.text(),
            measured=meter.counts(held_items=max((a.held for a in args if isinstance(a, RemoteStream)), default=0))
            if meter
            else None,
        )

    def _announce(self, request: wire.Time) -> wire.Done:
        fixed = Unpacker(b"").unpack(request.fixed)
        function = None if request.target is None else self._find(request.target)
        self.turns.announce(request, function, fixed)
        return wire.Done(request.id, None)

    def take_turns(self, request: wire.Time, sock: socket.socket) -> tuple[wire.Reply, list[bytes]] | None:
        """Serve turns until the grader leaves (None), or what the function raised."""
        refusing = self._refusals.during_a_call() if self._refusals else contextlib.nullcontext()
        with refusing:
            error = turns.serve(sock, self.turns.turn)
        return None if error is None else (self._pages.raised(request.id, error, self._printed.text()), [])

    def _fetch(self, request: wire.Fetch, packer: Packer) -> wire.Done:
        value = self._find(request.target)
        return wire.Done(request.id, packer.pack(len(value) if request.what == "len" else value))

    def _differentiate(
        self, request: wire.Call, function: Any, value: Any, inputs: list[torch.Tensor], cotangent: Any
    ) -> tuple[list[torch.Tensor | None], dict[str, torch.Tensor | None]]:
        """Gradients of the inputs and, if asked, of the parameters; None where no gradient flows."""
        assert request.gradient is not None
        owner = self._objects.get(request.target.handle) if request.target.handle is not None else function
        named = (
            dict(owner.named_parameters()) if request.gradient.parameters and isinstance(owner, torch.nn.Module) else {}
        )
        outputs = list(_floating_tensors(value))
        cotangents = list(_floating_tensors(cotangent))
        pairs = [(o, c) for o, c in zip(outputs, cotangents, strict=False) if o.requires_grad and o.shape == c.shape]
        wanted = [*inputs, *(p for p in named.values() if p.requires_grad)]
        if not pairs or not wanted:
            return [None] * len(inputs), dict.fromkeys(named)
        found = torch.autograd.grad([o for o, _ in pairs], wanted, [c.to(o.dtype) for o, c in pairs], allow_unused=True)
        rest = iter(found[len(inputs) :])
        return list(found[: len(inputs)]), {n: next(rest) if p.requires_grad else None for n, p in named.items()}

    # -- objects

    def _find(self, target: wire.Target) -> Any:
        path = target.path
        if target.handle is not None:
            obj: Any = self._objects[target.handle]
        elif path[0] == wire.GIVEN:
            obj, path = importlib.import_module(wire.GIVEN), path[1:]
        else:
            obj = self._pages.modules[self._page]
        for step in path:
            if step == "load_reference":
                obj = _loader(obj)
            else:
                obj = getattr(obj, step) if isinstance(step, str) else obj[step]
        return obj

    def _to_handle(self, packer: Packer, obj: Any) -> wire.Value:
        if isinstance(obj, RemoteModule):  # an echo: the grader sees its module as the student left it
            return wire.Callback(obj.callback.id, obj.callback.name, obj.training, packer.pack(obj.own_parameters()))  # type: ignore[arg-type]
        number = id(obj)
        self._objects[number] = obj  # also keeps it alive, so that its id stays its own
        return wire.Handle(number, type(obj).__name__)

    def _resolve(self, unpacker: Unpacker, value: wire.Value) -> Any:
        match value:
            case wire.Handle(number):
                return self._objects[number]
            case wire.Rng("torch", seed):
                return torch.Generator().manual_seed(seed)
            case wire.Rng("numpy", seed):
                return np.random.default_rng(seed)
            case wire.Callback(_, _, _, None, True):
                return RemoteStream(self._remote_function(value))
            case wire.Callback(_, _, _, None):
                return self._remote_function(value)
            case wire.Callback(number, _, training, parameters):
                known = self._known[number] = unpacker.unpack(parameters)
                return RemoteModule(self, value, training, known)
        raise wire.WireError(f"unexpected {type(value).__name__}")

    def _remote_function(self, callback: wire.Callback) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            return self.call_grader(callback.id, args, kwargs)

        function.__name__ = function.__qualname__ = callback.name
        return function

    def call_grader(self, callback: int, args: Any, kwargs: Any, module: "RemoteModule | None" = None) -> Any:
        """Ask the grader for a callback's value."""
        packer = Packer()
        news = self._news(module) if module is not None else None
        ask = wire.Ask(
            id=0,
            callback=callback,
            args=packer.pack(tuple(args)),  # type: ignore[arg-type]
            kwargs=packer.pack(kwargs),  # type: ignore[arg-type]
            training=module is not None and module.training,
            parameters=packer.pack(news) if news is not None else None,  # type: ignore[arg-type]
        )
        answer, payload = self._ask(ask, packer.chunks)
        if answer.error is not None:
            raise GraderRefused(answer.error)
        return Unpacker(payload, allow_strides=True).unpack(answer.value)

    def _news(self, module: "RemoteModule") -> dict[str, Any] | None:
        """The module's parameters, or None where the grader's module has the same: copies of it share that one."""
        own = module.own_parameters()
        known = self._known.get(module.callback.id, {})
        if own.keys() == known.keys() and all(torch.equal(own[name], known[name]) for name in own):
            return None
        self._known[module.callback.id] = {name: value.clone() for name, value in own.items()}
        return own


class RemoteStream:
    """An iterator of the grader: its items come one by one, and once. `held` counts arrays still there at the next."""

    def __init__(self, step: Callable[[], Any]) -> None:
        self._step = step
        self._given: list[weakref.ref[Any]] = []
        self.held = 0

    def __iter__(self) -> "RemoteStream":
        return self

    def __next__(self) -> Any:
        self._given = [item for item in self._given if item() is not None]
        self.held = max(self.held, len(self._given))
        item = self._step()
        if not item:
            raise StopIteration
        if isinstance(item[0], np.ndarray | torch.Tensor):
            self._given.append(weakref.ref(item[0]))
        return item[0]


class RemoteModule(torch.nn.Module):
    """A module of the grader: its parameters and its training flag are here, its computation is outside."""

    def __init__(self, session: Session, callback: wire.Callback, training: bool, parameters: dict[str, Any]) -> None:
        super().__init__()
        self.callback = callback
        self._session = session
        self._names = list(parameters)
        for name, value in parameters.items():
            self.register_parameter(name.replace(".", "_"), torch.nn.Parameter(value.clone()))
        self.train(training)

    def __deepcopy__(self, memo: dict[int, Any]) -> "RemoteModule":
        """A copy with parameters and a mode of its own; the computation is the same one outside."""
        return RemoteModule(self._session, self.callback, self.training, self.own_parameters())

    def own_parameters(self) -> dict[str, Any]:
        """The parameters as they are now, so that the grader sees a student's change."""
        return dict(zip(self._names, (p.detach() for p in self.parameters()), strict=False))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._session.call_grader(self.callback.id, args, kwargs, module=self)


def _loader(module: Any) -> Callable[[dict[str, torch.Tensor]], None]:
    """Load a state dict in the dtype it comes in: by the module's own `load_reference`, or strictly by name."""
    own = getattr(module, "load_reference", None)

    def load(state: dict[str, torch.Tensor]) -> None:
        if isinstance(module, torch.nn.Module):
            module.to(next(iter(state.values())).dtype)  # or copying float64 weights in would round them
        if own is None:
            module.load_state_dict(state, strict=True)
        else:
            own(state)

    return load


def _is_object_of(called: Any, value: Any) -> bool:
    """Whether a class of the page was called and its object is built on a list or dict: an object all the same."""
    return isinstance(called, type) and type(value) is called and isinstance(value, list | dict)


def _floating_tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _floating_tensors(item)


def seed_globals(seed: int) -> None:
    torch.default_generator.manual_seed(seed)  # torch.manual_seed formats the stack for devices that are not there
    np.random.seed(seed % 2**32)
    random.seed(seed)


@contextlib.contextmanager
def keeping_globals() -> Iterator[None]:
    """Leave the process's own generators as they were: a check in a student's kernel must not change her next draw."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def draw_globals() -> list[float]:
    return [torch.rand(()).item(), float(np.random.random()), random.random()]  # noqa: S311


def serve(channel: Channel) -> None:
    """Answer requests until the grader closes the connection."""

    def ask(question: wire.Ask, chunks: list[bytes]) -> tuple[wire.Answer, memoryview]:
        channel.send(question, chunks, no_deadline)
        answer, payload = channel.receive(wire.Request, no_deadline)
        if not isinstance(answer, wire.Answer):
            raise GraderRefused("the grader asked instead of answering")
        return answer, payload

    session = Session(ask)
    session.take_over_process()
    while True:
        try:
            request, payload = channel.receive(wire.Request, no_deadline)
        except EOFError:
            return
        reply, chunks = session.handle(request, payload)
        try:
            channel.send(reply, chunks, no_deadline)
        except wire.WireError as error:  # an answer too large for the wall
            channel.send(wire.Raised(request.id, ["WireError"], str(error), []), [], no_deadline)
        if isinstance(request, wire.Time) and isinstance(reply, wire.Done):
            raised = session.take_turns(request, channel.sock)
            if raised is not None:
                channel.send(*raised, no_deadline)
