"""Runs a student's page inside the wall and answers requests with values. It decides nothing.

Nothing here is trusted by the grader: student code shares this process and may change all of it. What it can reach
is its own answers, and those are compared outside.
"""

import ast
import contextlib
import ctypes
import gc
import importlib
import io
import itertools
import linecache
import random
import re
import sys
import traceback
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from autograder.sandbox import wire
from autograder.sandbox.channel import Channel, no_deadline
from autograder.sandbox.refuse import Refusals

_MESSAGE_CHARS = 2000
_PRINTED_CHARS = 4000
_FRAMES = 8
_HUGE = 2 << 20  # bytes
_MADV_COLLAPSE = 25


class GraderRefused(RuntimeError):
    """A callback of the grader was called in a way that it does not take."""


class Session:
    """The state of one worker: the page's module and the objects that the grader holds handles to."""

    def __init__(self, ask: Callable[[wire.Ask, list[bytes]], tuple[wire.Answer, memoryview]]) -> None:
        self._ask = ask
        self._objects: dict[int, Any] = {}
        self._known: dict[int, dict[str, Any]] = {}  # the parameters that the grader's module has, by callback
        self._modules: dict[str, types.ModuleType] = {}
        self._files: dict[str, str] = {}
        self._page = ""
        self._printed = _Printed()
        self.sources: dict[str, wire.Source] = {}
        self._refusals: Refusals | None = None

    def take_over_process(self) -> None:
        """Let pages import one another, and catch what they print."""
        sys.meta_path.insert(0, _Pages(self))
        sys.stdout = sys.stderr = self._printed
        self._refusals = Refusals()
        # a notebook's own check cells have no say in grading, also where the whole kit is importable (rung `none`)
        importlib.import_module("autograder").check = lambda *args, **kwargs: None  # type: ignore[attr-defined]

    def adopt(self, page: str, module: types.ModuleType) -> None:
        """Use a module that exists already as the page."""
        self._page, self._modules[page] = page, module

    def handle(self, request: wire.Request, payload: memoryview) -> tuple[wire.Reply, list[bytes]]:
        """The reply to one request; whatever student code raises becomes data."""
        self._printed.restart()
        packer = wire.Packer(self._to_handle)
        try:
            match request:
                case wire.Load():
                    return self._load(request), []
                case wire.Call():
                    return self._call(request, payload, packer), packer.chunks
                case wire.Fetch():
                    return self._fetch(request, packer), packer.chunks
                case _:
                    raise GraderRefused("an answer came before a question")
        except BaseException as error:  # SystemExit and KeyboardInterrupt of a student are answers like any other
            return self._raised(request.id, error), []

    # -- requests

    def _load(self, request: wire.Load) -> wire.Loaded:
        self._page = request.page
        self.sources.update((source.name, source) for source in request.sources)
        if self._refusals is not None:
            self._refusals.install(request.forbidden)
        problems: list[wire.Problem] = []
        module = self._run_page(self.sources[request.page], problems)
        return wire.Loaded(request.id, problems, [name for name in request.symbols if hasattr(module, name)])

    def _call(self, request: wire.Call, payload: memoryview, packer: wire.Packer) -> wire.Done:
        unpacker = wire.Unpacker(payload, self._resolve, allow_strides=True)
        args, kwargs = unpacker.unpack(request.args), unpacker.unpack(request.kwargs)
        inputs: list[torch.Tensor] = []
        if request.gradient is not None:
            cotangent = unpacker.unpack(request.gradient.cotangent)
            inputs = [a.requires_grad_() for a in args if isinstance(a, torch.Tensor) and a.is_floating_point()]
        if request.seed_globals is not None:
            _seed_globals(request.seed_globals)
        function = self._find(request.target)
        refusing = self._refusals.during(request.forbidden) if self._refusals else contextlib.nullcontext()
        with refusing:
            value = function(*args, **kwargs)
        randoms = _draw_globals() if request.seed_globals is not None else None
        grads = parameters = None
        if request.gradient is not None:
            grads, parameters = self._differentiate(request, function, value, inputs, cotangent)
        return wire.Done(
            request.id,
            value=packer.pack(value),
            echo=packer.pack((tuple(args), kwargs)) if request.echo else None,
            grads=packer.pack(grads),
            parameters=packer.pack(parameters),
            randoms=packer.pack(randoms),
            printed=self._printed.text(),
        )

    def _fetch(self, request: wire.Fetch, packer: wire.Packer) -> wire.Done:
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
            obj = self._modules[self._page]
        for step in path:
            if step == "load_reference":
                obj = _loader(obj)
            else:
                obj = getattr(obj, step) if isinstance(step, str) else obj[step]
        return obj

    def _to_handle(self, packer: wire.Packer, obj: Any) -> wire.Value:
        if isinstance(obj, RemoteModule):  # an echo: the grader sees its module as the student left it
            return wire.Callback(obj.callback.id, obj.callback.name, obj.training, packer.pack(obj.own_parameters()))  # type: ignore[arg-type]
        number = id(obj)
        self._objects[number] = obj  # also keeps it alive, so that its id stays its own
        return wire.Handle(number, type(obj).__name__)

    def _resolve(self, unpacker: wire.Unpacker, value: wire.Value) -> Any:
        match value:
            case wire.Handle(number):
                return self._objects[number]
            case wire.Rng("torch", seed):
                return torch.Generator().manual_seed(seed)
            case wire.Rng("numpy", seed):
                return np.random.default_rng(seed)
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
        packer = wire.Packer()
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
        return wire.Unpacker(payload).unpack(answer.value)

    def _news(self, module: "RemoteModule") -> dict[str, Any] | None:
        """The module's parameters, or None where the grader's module has the same: copies of it share that one."""
        own = module.own_parameters()
        known = self._known.get(module.callback.id, {})
        if own.keys() == known.keys() and all(torch.equal(own[name], known[name]) for name in own):
            return None
        self._known[module.callback.id] = {name: value.clone() for name, value in own.items()}
        return own

    # -- pages

    def _run_page(self, source: wire.Source, problems: list[wire.Problem]) -> types.ModuleType:
        """Run the cells in order in a fresh module; a cell that raises is recorded and the next one runs."""
        module = types.ModuleType(source.name)
        self._modules[source.name] = sys.modules[source.name] = module
        for number, code in enumerate(source.cells, start=1):
            file = f"{source.name}.ipynb, cell {number}" if source.notebook else f"{source.name}.py"
            code = _without_magics(code) if source.notebook else code
            self._files[file] = code
            linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
            try:
                exec(compile(code, file, "exec", dont_inherit=True), module.__dict__)  # noqa: S102 - what a worker is for
            except BaseException as error:
                problems.append(self._problem(file, error))
        return module

    def _problem(self, file: str, error: BaseException) -> wire.Problem:
        frames = self._own_frames(error)
        line = error.lineno or 0 if isinstance(error, SyntaxError) else (frames[-1].line if frames else 0)
        message = error.msg if isinstance(error, SyntaxError) else _text(error)
        return wire.Problem(file, line, type(error).__name__, message)

    def _raised(self, request_id: int, error: BaseException) -> wire.Raised:
        return wire.Raised(
            request_id,
            bases=[base.__name__ for base in type(error).__mro__[:8]],
            message=_text(error),
            frames=self._own_frames(error),
            printed=self._printed.text(),
        )

    def _own_frames(self, error: BaseException) -> list[wire.Frame]:
        """The student's own lines of the traceback, innermost last."""
        steps = itertools.islice(traceback.walk_tb(error.__traceback__), 1000)
        own = [(frame.f_code, line) for frame, line in steps if frame.f_code.co_filename in self._files]
        return [
            wire.Frame(code.co_filename, line, code.co_name, linecache.getline(code.co_filename, line).strip()[:200])
            for code, line in own[-_FRAMES:]
        ]


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


class _Pages:
    """Lets one page of a submission import another; every other name is Python's own business."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def find_spec(self, name: str, path: object = None, target: object = None) -> Any:
        import importlib.machinery

        if name not in self._session.sources:
            return None
        return importlib.machinery.ModuleSpec(name, self)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> types.ModuleType:
        return self._session._run_page(self._session.sources[spec.name], [])

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing: `create_module` has run the cells."""


class _Printed(io.TextIOBase):
    """What student code prints, up to a limit."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        if self._size < _PRINTED_CHARS:
            self._parts.append(text[: _PRINTED_CHARS - self._size])
        self._size += len(text)
        return len(text)

    def text(self) -> str:
        return "".join(self._parts)


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


def _floating_tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _floating_tensors(item)


def _seed_globals(seed: int) -> None:
    torch.default_generator.manual_seed(seed)  # torch.manual_seed formats the stack for devices that are not there
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _draw_globals() -> list[float]:
    return [torch.rand(()).item(), float(np.random.random()), random.random()]  # noqa: S311


def _text(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE_CHARS]
    except BaseException:  # a student's __str__ may raise anything
        return f"(a {type(error).__name__} whose message cannot be read)"


_MAGIC = re.compile(r"^(\s*)(?:[%!?].*|[\w.]+\?+\s*)$")


def _without_magics(code: str) -> str:
    """A cell without IPython's magics and shell lines. Line numbers stay.

    Only where the cell is not Python as it stands, since `%` may also open a continued line.
    """
    try:
        ast.parse(code)
        return code
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    if code.lstrip().startswith("%%"):
        return ""
    return "\n".join(_MAGIC.sub(r"\1pass", line) for line in code.splitlines())


def warm_up(for_pages: bool = False) -> None:
    """Before the first fork: one thread, or a fork can deadlock in OpenMP; and every import that torch puts off.

    `for_pages` adds those that only a student's code comes to. No gradient is taken here: once autograd's engine has
    run, a forked child may not use it.
    """
    torch.set_num_threads(1)
    torch.nn.functional.softmax(torch.ones(2, 2) @ torch.ones(2, 2), -1)
    with contextlib.suppress(ImportError):  # the first torch.autograd.grad imports it: 0.3 s
        importlib.import_module("torch.fx.experimental.symbolic_shapes")
    if for_pages:
        _ = torch.ones(1, device="meta") <= 1  # the first comparison on this device imports torch._dynamo: 0.4 s
    gc.collect()
    gc.freeze()  # collections then skip torch's heap


def cheapen_forks() -> None:
    """Put this process's memory on huge pages: a fork copies the page table, which is 500 times smaller then.

    Measured on one machine: a fork and its exit take 3 ms instead of 11. Where the kernel cannot (before Linux 6.1),
    nothing changes.
    """
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None)
    with open("/proc/self/maps") as maps:
        regions = [line.split() for line in maps]
    for addresses, access, _, _, _, *name in regions:
        if "w" in access and name in ([], ["[heap]"]):
            start, end = (int(address, 16) for address in addresses.split("-"))
            start, end = -(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE
            if start < end:
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_COLLAPSE)


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
