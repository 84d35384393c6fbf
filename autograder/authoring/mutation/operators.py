"""Mutation operators for numeric code: the small faults that people make in array programs, over the syntax tree.

An operator looks at one node and proposes replacements of it, or of a part of it: (kind, what to replace, with what).
"""

import ast
import copy
from collections.abc import Iterator
from typing import TypeVar

Change = tuple[str, ast.AST, ast.AST]
_Node = TypeVar("_Node", bound=ast.AST)


def changes(node: ast.AST, modules: set[str]) -> Iterator[Change]:
    """What all operators propose for one node. `modules` are the names that imports bind: in np.abs(x), np is no x."""
    for operator in _OPERATORS:
        yield from operator(node)
    yield from _dropped_call(node, modules)


def _arithmetic(node: ast.AST) -> Iterator[Change]:
    """Signs, dropped terms and factors, a factor squared, operands swapped, a transpose where none belongs."""
    if isinstance(node, ast.AugAssign) and type(node.op) in _OTHER_OPERATOR:
        yield "operator", node, _with(node, op=_OTHER_OPERATOR[type(node.op)]())
        yield "not accumulated", node, ast.Assign([node.target], node.value, lineno=node.lineno)
    if not isinstance(node, ast.BinOp):
        return
    if type(node.op) in _OTHER_OPERATOR:
        yield "operator", node, _with(node, op=_OTHER_OPERATOR[type(node.op)]())
        what = {ast.Mult: "factor", ast.Div: "factor", ast.BitAnd: "mask", ast.BitOr: "mask"}.get(type(node.op), "term")
        yield f"dropped {what}", node, node.left
        if not isinstance(node.op, ast.Div | ast.Pow | ast.FloorDiv | ast.Mod):
            yield f"dropped {what}", node, node.right
    if isinstance(node.op, ast.Mult | ast.Div) and not isinstance(node.right, ast.Constant):
        yield "squared factor", node, _with(node, right=ast.BinOp(node.right, ast.Pow(), ast.Constant(2)))
    if isinstance(node.op, ast.MatMult | ast.Sub | ast.Div | ast.FloorDiv | ast.Pow):
        yield "swapped operands", node, _with(node, left=node.right, right=node.left)
    if isinstance(node.op, ast.MatMult):
        for side in ("left", "right"):
            if getattr(getattr(node, side), "attr", "") not in _TRANSPOSES:
                turned = _method(getattr(node, side), "swapaxes", ast.Constant(-1), ast.Constant(-2))
                yield "transpose added", node, _with(node, **{side: turned})


def _unary(node: ast.AST) -> Iterator[Change]:
    """A minus, a mask's ~ or a `not` dropped."""
    if isinstance(node, ast.UnaryOp):
        kind = {ast.USub: "sign", ast.Invert: "mask polarity", ast.Not: "negation"}.get(type(node.op), "operator")
        yield kind, node, node.operand


def _conditions(node: ast.AST) -> Iterator[Change]:
    """Comparisons off by one or turned round; conditions negated or fixed; `and` for `or`, and one side dropped."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        for other in _OTHER_COMPARISON.get(type(node.ops[0]), ()):
            yield "comparison", node, _with(node, ops=[other()])
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
        yield "condition negated", node.test, _negated(node.test)
        for value in (True, False):
            if not (value and isinstance(node, ast.While)):  # an endless loop shows nothing
                yield "condition fixed", node.test, ast.Constant(value)
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            yield "condition negated", test, _negated(test)
            yield "condition fixed", test, ast.Constant(True)
    if isinstance(node, ast.BoolOp):
        yield "and/or", node, _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
        for index in range(len(node.values)):
            rest = node.values[:index] + node.values[index + 1 :]
            yield "dropped condition", node, rest[0] if len(rest) == 1 else _with(node, values=rest)


def _calls(node: ast.AST) -> Iterator[Change]:
    """Axes, arguments swapped, options dropped, ends of ranges."""
    if not isinstance(node, ast.Call):
        return
    for keyword in node.keywords:
        axis = _integer(keyword.value)
        if keyword.arg in ("dim", "axis", "dims") and axis is not None:
            for other in (axis - 1, axis + 1):
                yield "axis", keyword.value, ast.Constant(other)
        yield "dropped option", node, _with(node, keywords=[k for k in node.keywords if k is not keyword])
    for i in range(len(node.args) - 1):
        yield "swapped arguments", node, _with(node, args=_swapped(node.args, i))
    if _name(node.func) in ("range", "arange"):
        for argument in node.args:
            yield from _off_by_one(argument)
        if len(node.args) == 2:
            yield "start dropped", node, _with(node, args=node.args[1:])


def _subscripts(node: ast.AST) -> Iterator[Change]:
    """An index dropped, axes of an index swapped, slices that begin or end elsewhere."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        yield "dropped index", node, node.value
        if isinstance(node.slice, ast.Tuple):
            for i in range(len(node.slice.elts) - 1):
                yield "swapped axes", node, _with(node, slice=_with(node.slice, elts=_swapped(node.slice.elts, i)))
    if isinstance(node, ast.Slice):
        for side in ("lower", "upper", "step"):
            bound = getattr(node, side)
            if bound is not None:
                yield "dropped bound", node, _with(node, **{side: None})
                yield from _off_by_one(bound)


def _sequences(node: ast.AST) -> Iterator[Change]:
    """Elements of a list or tuple swapped; a round of a loop skipped, or the rounds in reverse."""
    if isinstance(node, ast.List | ast.Tuple) and isinstance(node.ctx, ast.Load):
        for i in range(len(node.elts) - 1):
            if not any(isinstance(e, ast.Slice) for e in node.elts):
                yield "swapped elements", node, _with(node, elts=_swapped(node.elts, i))
    if isinstance(node, ast.For | ast.comprehension):
        everything = ast.Call(ast.Name("list"), [node.iter], [])
        if not (isinstance(node.iter, ast.Call) and _name(node.iter.func) == "range"):
            yield "round skipped", node.iter, ast.Subscript(everything, ast.Slice(lower=ast.Constant(1)))
            yield "round skipped", node.iter, ast.Subscript(everything, ast.Slice(upper=ast.Constant(-1)))
        yield "rounds reversed", node.iter, ast.Subscript(everything, ast.Slice(step=ast.Constant(-1)))


def _constants(node: ast.AST) -> Iterator[Change]:
    """Numbers nearby, twice and half; flags flipped; words changed."""
    if not isinstance(node, ast.Constant):
        return
    value = node.value
    others: list[object] = []
    if isinstance(value, bool):
        others = [not value]
    elif isinstance(value, int):
        others = [value + 1, value - 1]
    elif isinstance(value, float):
        others = [2 * value, value / 2] if value else [1.0]
    elif isinstance(value, str):
        others = [f"{value}_"]
    for other in others:
        yield "constant", node, ast.Constant(other)  # type: ignore[arg-type]


def _statements(node: ast.AST) -> Iterator[Change]:
    """A statement deleted."""
    documentation = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    if isinstance(node, ast.Assign | ast.AugAssign | ast.Expr | ast.Return | ast.Raise) and not documentation:
        yield "deleted", node, ast.Pass()


def _defaults(node: ast.AST) -> Iterator[Change]:
    """A default of None that is a value instead; other defaults are constants like any."""
    if isinstance(node, ast.arguments):
        for default in (*node.defaults, *node.kw_defaults):
            if isinstance(default, ast.Constant) and default.value is None:
                yield "default", default, ast.Constant(0)


def _dropped_call(node: ast.AST, modules: set[str]) -> Iterator[Change]:
    """`x.abs()` or `np.abs(x)` becomes `x`."""
    if not isinstance(node, ast.Call) or _name(node.func) in ("range", "zip"):
        return
    if isinstance(node.func, ast.Attribute) and _root(node.func) not in modules:
        yield "dropped call", node, node.func.value
    elif node.args and not isinstance(node.args[0], ast.Starred):
        yield "dropped call", node, node.args[0]


def _names(node: ast.AST) -> Iterator[Change]:
    """A function, method or dtype taken for its neighbour; a transpose dropped."""
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        if node.attr in _TRANSPOSES:
            yield "transpose dropped", node, node.value
        for other in _OTHER_NAME.get(node.attr, ()):
            yield "neighbour", node, _with(node, attr=other)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        for other in _OTHER_NAME.get(node.id, ()):
            yield "neighbour", node, ast.Name(other)


_OPERATORS = (
    _calls, _arithmetic, _unary, _conditions, _subscripts, _sequences, _names, _constants, _defaults, _statements,
)  # fmt: skip

_TRANSPOSES = ("mT", "T", "mH", "H")

_OTHER_OPERATOR: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr,
}  # fmt: skip

_OTHER_COMPARISON: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt), ast.GtE: (ast.Gt, ast.LtE),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip

_PAIRS = (
    "min max", "amin amax", "argmin argmax", "minimum maximum", "mean sum", "tril triu", "ones zeros",
    "ones_like zeros_like", "any all", "floor ceil", "cumsum cumprod", "log log2", "exp exp2", "sin cos", "rand randn",
    "standard_normal random", "eval train", "repeat repeat_interleave", "softmax log_softmax", "cat stack",
    "concatenate stack", "float32 float64", "bool int64", "std var", "sort argsort",
)  # fmt: skip

_OTHER_NAME: dict[str, tuple[str, ...]] = {"float32": ("float64", "float16"), "long": ("int",)}
for _a, _b in (pair.split() for pair in _PAIRS):
    _OTHER_NAME.setdefault(_a, (_b,))
    _OTHER_NAME.setdefault(_b, (_a,))


def _with(node: _Node, **fields: object) -> _Node:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def _negated(test: ast.expr) -> ast.expr:
    return (
        test.operand if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) else ast.UnaryOp(ast.Not(), test)
    )


def _off_by_one(bound: ast.expr) -> Iterator[Change]:
    if not isinstance(bound, ast.Constant | ast.UnaryOp):  # numbers are changed as numbers
        yield "off by one", bound, ast.BinOp(bound, ast.Add(), ast.Constant(1))
        yield "off by one", bound, ast.BinOp(bound, ast.Sub(), ast.Constant(1))


def _swapped(items: list[ast.expr], i: int) -> list[ast.expr]:
    return [*items[:i], items[i + 1], items[i], *items[i + 2 :]]


def _method(value: ast.expr, name: str, *args: ast.expr) -> ast.expr:
    return ast.Call(ast.Attribute(value, name), list(args), [])


def _integer(node: ast.expr) -> int | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return value if type(value) is int else None


def _name(function: ast.expr) -> str:
    return str(getattr(function, "attr", getattr(function, "id", "")))


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return str(getattr(node, "id", ""))
