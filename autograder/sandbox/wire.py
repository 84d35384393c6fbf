"""What crosses the wall: typed MessagePack messages and raw tensor buffers. Never pickle.

A message is a msgspec struct; the bytes of its arrays and tensors are the payload, in the order in which the message
names them. Objects become values, and values objects again, in `packing`; how messages travel is `channel`'s business.

This file is shared by both sides and imports nothing else of ours.
"""

from typing import Literal, Union

from msgspec import Struct


class WireError(Exception):
    """A frame, message or value that may not cross the wall. The sender's fault."""


# ---------------------------------------------------------------- values


class Seq(Struct, frozen=True, tag="seq", array_like=True):
    kind: Literal["list", "tuple"]
    items: list["Value"]


class Map(Struct, frozen=True, tag="map", array_like=True):
    items: list[tuple["Value", "Value"]]


class Array(Struct, frozen=True, tag="array", array_like=True):
    """`stride` (in items) is sent towards the worker only, where a test needs a non-contiguous input."""

    dtype: str
    shape: list[int]
    nbytes: int
    stride: list[int] | None = None


class Tensor(Struct, frozen=True, tag="tensor", array_like=True):
    """`stride` as in `Array`."""

    dtype: str
    shape: list[int]
    nbytes: int
    device: str = "cpu"
    stride: list[int] | None = None


class BigInt(Struct, frozen=True, tag="int", array_like=True):
    """An integer beyond 64 bits, in decimal."""

    digits: str


class Bytes(Struct, frozen=True, tag="bytes", array_like=True):
    data: bytes


class Complex(Struct, frozen=True, tag="complex", array_like=True):
    real: float
    imag: float


class DType(Struct, frozen=True, tag="dtype", array_like=True):
    """`torch.float64` and friends, or `torch.device`, by name."""

    kind: Literal["torch", "device"]
    name: str


class Rng(Struct, frozen=True, tag="rng", array_like=True):
    """A generator, rebuilt inside from its seed."""

    kind: Literal["torch", "numpy"]
    seed: int


class Handle(Struct, frozen=True, tag="handle", array_like=True):
    """An object that stays inside: a module, a function, anything without a wire form."""

    id: int
    type_name: str


class Callback(Struct, frozen=True, tag="callback", array_like=True):
    """A function of the grader. With `parameters`, the worker dresses it as an nn.Module that owns them.

    With `stream` it is the next step of an iterator, which can be gone through once: (item,), or () at the end.
    """

    id: int
    name: str
    training: bool = False
    parameters: Map | None = None
    stream: bool = False


Value = Union[  # noqa: UP007 - a union with forward references cannot be written with |
    None, bool, int, float, str, Seq, Map, Array, Tensor, BigInt, Bytes, Complex, DType, Rng, Handle, Callback
]

# ---------------------------------------------------------------- messages


class Source(Struct, frozen=True):
    """A page as cells of code; joined, the cells of a plain module are its text. `helper` is a module beside it."""

    name: str
    cells: list[str]
    notebook: bool = False
    helper: bool = False


GIVEN = "autograder.given"  # as the first step of a path: that module instead of the page (no page has such a name)


class Target(Struct, frozen=True):
    """What to call or read: a path of attributes and indices from a handle, or from the page when `handle` is None."""

    handle: int | None
    path: list[str | int]


STANDING = 1 << 20  # callbacks from here on belong to the page and not to one call


class Carried(Struct, frozen=True):
    """A symbol of the page in whose place the grader answers: a function, or a class of layers (see `carried`)."""

    symbol: str
    callback: int
    is_module: bool


class Place(Struct, frozen=True):
    """A top-level statement of a page, by the line that it was at."""

    file: str
    line: int


class Load(Struct, frozen=True, tag="load"):
    """Run the page but what is `passed_over`, and then put what is `carried` in place.

    What is `forbidden` is refused from before that, for the rest of the worker's life.

    What of it the worker itself needs, such as `torch.autograd.grad`, is refused while a call lasts.
    `card` is the compute capability of a GPU that the worker is to believe in (`compiling.py`); 0: none.
    """

    id: int
    page: str
    sources: list[Source]
    symbols: list[str]
    forbidden: list[str] = []
    carried: list[Carried] = []
    passed_over: list[Place] = []
    card: int = 0


class Gradient(Struct, frozen=True):
    """Ask for the vector-Jacobian product: gradients of the floating positional inputs, and of parameters if asked.

    `wanted` are the positions of the arguments that require a gradient; None means all that are floating.
    """

    cotangent: Value
    parameters: bool = False
    wanted: list[int] | None = None


class Call(Struct, frozen=True, tag="call"):
    """Call the target. `echo` returns the arguments as they are afterwards.

    `seed_globals` seeds the global generators first and reads a number from each afterwards. `measure` counts memory
    and work (see `measure.py`).
    """

    id: int
    target: Target
    args: Seq
    kwargs: Map
    echo: bool = False
    gradient: Gradient | None = None
    seed_globals: int | None = None
    measure: bool = False


class Fetch(Struct, frozen=True, tag="fetch"):
    """Read the target: `what` is its value, its length or whether it exists."""

    id: int
    target: Target
    what: Literal["value", "len"] = "value"


class Memory(Struct, frozen=True):
    """Bytes that grader and worker share. `machine` and `card` are a descriptor that the worker was born with, of the
    machine's memory or a card's; `handle` is a card's memory by a handle of CUDA IPC.
    """

    kind: Literal["machine", "card", "handle"]
    nbytes: int
    handle: bytes = b""


class Slot(Struct, frozen=True):
    """Where in shared memory a tensor lies."""

    offset: int
    shape: list[int]
    dtype: str


class Time(Struct, frozen=True, tag="time"):
    """Make ready to call the target in turns (`turns.py`); without a target, turns are answered at once.

    `arguments` lie in shared memory and stand at `positions` among all arguments; the others are `fixed`. Arguments are
    moved to `device` first, if one is named; else the function gets what lies in shared memory. `links` are calls of
    one turn, each with a query made of the output before.
    """

    id: int
    target: Target | None
    memory: Memory
    arguments: list[Slot]
    positions: list[int]
    fixed: Seq
    results: list[Slot]
    device: str = ""
    links: int = 1


class Compile(Struct, frozen=True, tag="compile"):
    """Compile the kernels that the target launches, on the card that the page was loaded for (`compiling.py`).

    `arguments` are tensors without numbers and stand at `positions` among all arguments; the others are `fixed`.
    """

    id: int
    target: Target
    arguments: list[Slot]
    positions: list[int]
    fixed: Seq


class Answer(Struct, frozen=True, tag="answer"):
    """The grader's answer to an `Ask`."""

    id: int
    value: Value
    error: str | None = None


class Frame(Struct, frozen=True):
    """One line of a traceback, the student's own lines only."""

    file: str
    line: int
    function: str
    text: str


class Raised(Struct, frozen=True, tag="raised"):
    """An exception as data. `bases` are the names of its classes, most derived first."""

    id: int
    bases: list[str]
    message: str
    frames: list[Frame]
    printed: str = ""


class Problem(Struct, frozen=True):
    """A cell that did not run to its end."""

    file: str
    line: int
    error: str
    message: str


class Loaded(Struct, frozen=True, tag="loaded"):
    """`skipped` are cells that are no Python: a problem only where something is missing that they may hold.

    `stopped` are statements that the grader interrupted.
    `printed_chars` is how much the page has printed, and `warnings` are the first ones that Python gave.
    """

    id: int
    problems: list[Problem]
    defined: list[str]
    skipped: list[Problem] = []
    printed_chars: int = 0
    warnings: list[str] = []
    stopped: list[Place] = []


class Done(Struct, frozen=True, tag="done"):
    id: int
    value: Value
    echo: Value = None
    grads: Value = None
    parameters: Value = None
    randoms: Value = None
    printed: str = ""
    measured: dict[str, int] | None = None


class Kernel(Struct, frozen=True):
    """What the compiler made of a kernel: registers per thread (-1: not known), bytes that a thread spills, bytes of
    shared memory per program, and the instruction of the matrix units that it uses, if any.
    """

    name: str
    registers: int
    spilled: int
    shared: int
    products: str


class Compiled(Struct, frozen=True, tag="compiled"):
    """`refused` is what the compiler said of `kernel`; `untried` why nothing can be said without a real card."""

    id: int
    kernels: list[Kernel]
    kernel: str = ""
    refused: str = ""
    untried: str = ""


class Ask(Struct, frozen=True, tag="ask"):
    """The student's code calls a callback. `state` carries a module's training flag and parameters."""

    id: int
    callback: int
    args: Seq
    kwargs: Map
    training: bool = False
    parameters: Map | None = None


Request = Union[Load, Call, Fetch, Time, Compile, Answer]  # noqa: UP007 - kept in the form of Value
Reply = Union[Loaded, Done, Compiled, Raised, Ask]  # noqa: UP007
