"""Which names a piece of code takes from outside of itself, by Python's rules of scope. Nothing is executed."""

import ast
from collections.abc import Iterable, Iterator, Mapping

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp


def outer_names(node: ast.AST, aliases: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every name that the code reads and does not bind itself: `a.b.c` for attributes of `a`.

    A parameter or a variable of a function hides the module's name, also in the functions within. What a name in
    `aliases` or of an import within stands for is spelt out, and imports themselves are mentioned too. An option that a
    call sets is mentioned like an attribute of what is called: `a.b.option` for `a.b(option=1)`, unless it is False.
    """
    yield from _names(node, dict(aliases), frozenset())


def imported_names(node: ast.Import | ast.ImportFrom) -> dict[str, str]:
    """What each name of an import stands for."""
    if isinstance(node, ast.Import):
        return {a.asname or a.name.split(".")[0]: a.name if a.asname else a.name.split(".")[0] for a in node.names}
    return {a.asname or a.name: f"{node.module or ''}.{a.name}" for a in node.names}


def bound_names(parts: Iterable[ast.AST]) -> set[str]:
    """The names that parts of a statement give a value, and those of which they set an attribute or an item."""
    found: set[str] = set()
    for node in _of_this_scope(parts):
        found |= _bound_by(node)
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            found |= {inner.id for inner in ast.walk(node.value) if isinstance(inner, ast.Name)}
    return found


def _names(node: ast.AST, aliases: dict[str, str], hidden: frozenset[str]) -> Iterator[tuple[int, str]]:
    if isinstance(node, _Function):
        yield from _of_function(node, aliases, hidden)
    elif isinstance(node, _Comprehension):
        yield from _of_comprehension(node, aliases, hidden)
    elif isinstance(node, ast.Import | ast.ImportFrom):
        found = imported_names(node)
        aliases.update(found)  # of this scope, from here on
        yield from ((node.lineno, name) for name in found.values())
    elif isinstance(node, ast.Name | ast.Attribute) and (dotted := _dotted(node)) is not None:
        head, _, rest = dotted.partition(".")
        reads = bool(rest) or not isinstance(node.ctx, ast.Store)
        if reads and head not in hidden:
            yield node.lineno, ".".join(filter(None, (aliases.get(head, head), rest)))
    else:
        if isinstance(node, ast.Call) and _dotted(node.func) is not None:
            for line, called in _names(node.func, aliases, hidden):
                yield from ((line, f"{called}.{option}") for option in _options(node))
        for child in ast.iter_child_nodes(node):
            yield from _names(child, aliases, hidden)


def _options(call: ast.Call) -> Iterator[str]:
    """The names of the options that a call sets and does not switch off."""
    for keyword in call.keywords:
        if keyword.arg is not None and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False):
            yield keyword.arg


def _of_function(node: _Function, aliases: dict[str, str], hidden: frozenset[str]) -> Iterator[tuple[int, str]]:
    arguments = node.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    every += [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    outside: list[ast.AST | None] = [*arguments.defaults, *arguments.kw_defaults, *(a.annotation for a in every)]
    body: list[ast.AST]
    if isinstance(node, ast.Lambda):
        body = [node.body]
    else:
        outside += [*node.decorator_list, node.returns]
        body = list(node.body)
    for part in outside:
        if part is not None:
            yield from _names(part, aliases, hidden)
    own = {argument.arg for argument in every}
    imported: dict[str, str] = {}
    elsewhere: set[str] = set()  # `global`: the module's, whatever hides it
    for inner in _of_this_scope(body):
        own |= _bound_by(inner)
        if isinstance(inner, ast.Import | ast.ImportFrom):
            imported.update(imported_names(inner))
        elif isinstance(inner, ast.Global):
            elsewhere |= {*inner.names}
    own -= elsewhere | imported.keys()
    outer = {name: meant for name, meant in aliases.items() if name not in own} | imported
    for part in body:
        yield from _names(part, outer, (hidden | own) - imported.keys() - elsewhere)


def _of_comprehension(
    node: _Comprehension, aliases: dict[str, str], hidden: frozenset[str]
) -> Iterator[tuple[int, str]]:
    first, *others = node.generators
    yield from _names(first.iter, aliases, hidden)  # evaluated outside
    own = {name for generator in node.generators for name in _stored(generator.target)}
    inside: list[ast.AST] = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
    inside += [condition for generator in node.generators for condition in generator.ifs]
    inside += [generator.iter for generator in others]
    for part in inside:
        yield from _names(part, aliases, hidden | own)


def _of_this_scope(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Everything below, but not what lies in the scopes within; of those the nodes that open them."""
    for node in body:
        yield node
        if isinstance(node, _Comprehension):  # `:=` in one binds in the function
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
        elif not isinstance(node, _Function | ast.ClassDef):
            yield from _of_this_scope(ast.iter_child_nodes(node))


def _bound_by(node: ast.AST) -> set[str]:
    """The names that a node gives a value in its scope."""
    if isinstance(node, ast.Name):
        return set() if isinstance(node.ctx, ast.Load) else {node.id}
    if isinstance(node, ast.NamedExpr):
        return {node.target.id}
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar) and node.name:
        return {node.name}
    if isinstance(node, ast.MatchMapping) and node.rest:
        return {node.rest}
    return set()


def _stored(target: ast.expr) -> Iterator[str]:
    return (n.id for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` for a chain of attributes from a name, else None."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else None
