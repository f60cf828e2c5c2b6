"""Which expressions can only be made of constants, as far as a reader of one file can tell.

Used for SQL: what varies in a statement must be a parameter. Followed are local names,
comprehensions, the plain methods of strings, and functions of the same file. A number
counts as constant, since it cannot carry SQL. A function's parameter never does, unless
the call at hand gives it a constant.
"""

import ast
from collections.abc import Iterator

Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.AsyncFor | ast.comprehension

TEXT_METHODS = {
    "join",
    "split",
    "strip",
    "lstrip",
    "rstrip",
    "upper",
    "lower",
    "replace",
    "removeprefix",
    "format",
}
COLLECTIONS = {"sorted", "reversed", "tuple", "list", "set", "zip", "enumerate", "dict"}
NUMBERS = {"len", "int", "range", "round", "abs"}
# Functions that call functions: nobody should have to follow further.
DEPTH_MAX = 4


class Flow:
    """What is constant within one function."""

    def __init__(
        self,
        function: Function,
        neighbours: dict[str, Function],
        given: frozenset[str] = frozenset(),
        depth: int = 0,
    ) -> None:
        self._neighbours = neighbours
        self._depth = depth
        values = dict(_assigned(function))
        arguments = function.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            values.setdefault(argument.arg, []).append(ast.Constant(0) if argument.arg in given else None)
        # All names are taken for constant until one of their values proves otherwise: so
        # `columns = "id, " + columns` does not stand in its own way.
        self._fixed = set(values)
        while True:
            varying = {
                name
                for name in self._fixed
                if not all(v is not None and self.constant(v) for v in values[name])
            }
            if not varying:
                return
            self._fixed -= varying

    def constant(self, node: ast.expr) -> bool:
        """Whether an expression can only be one of some constants."""
        match node:
            case ast.Name(id=name):
                return name.isupper() or name in self._fixed
            # Of a local collection only the keys are known to be constant.
            case ast.Attribute(attr=name) | ast.Subscript(value=ast.Name(id=name)):
                return name.isupper()
            case ast.Subscript(value=value):
                return self.constant(value)
            case ast.Dict(keys=keys):
                return all(key is not None and self.constant(key) for key in keys)
            case ast.DictComp(key=key):
                return self.constant(key)
            case ast.Call():
                return self._call_is_constant(node)
            case _:
                parts = list(made_of(node))
                return isinstance(node, ast.Constant) or (
                    bool(parts) and all(self.constant(part) for part in parts)
                )

    def _call_is_constant(self, call: ast.Call) -> bool:
        arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
        match call.func:
            case ast.Attribute(value=value, attr=name) if name in TEXT_METHODS:
                return self.constant(value) and all(self.constant(one) for one in arguments)
            case ast.Attribute(value=value, attr="keys"):
                return self.constant(value)
            case ast.Name(id=name) if name in NUMBERS:
                return True
            case ast.Name(id=name) if name in COLLECTIONS:
                return all(self.constant(one) for one in arguments)
            case ast.Name(id=name) if name in self._neighbours and self._depth < DEPTH_MAX:
                return self._neighbour_is_constant(self._neighbours[name], call)
        return False

    def _neighbour_is_constant(self, function: Function, call: ast.Call) -> bool:
        names = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)]
        given = {name for name, value in zip(names, call.args, strict=False) if self.constant(value)}
        given |= {keyword.arg for keyword in call.keywords if keyword.arg and self.constant(keyword.value)}
        inner = Flow(function, self._neighbours, frozenset(given), self._depth + 1)
        returned = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
        return bool(returned) and all(inner.constant(value) for value in returned)


def made_of(node: ast.expr) -> Iterator[ast.expr]:
    """The expressions that an expression's value is made of; none for one that is not followed."""
    match node:
        case ast.JoinedStr(values=values):
            yield from (part.value if isinstance(part, ast.FormattedValue) else part for part in values)
        case ast.BinOp(left=left, right=right):
            yield from (left, right)
        case ast.BoolOp(values=values):
            yield from values
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            yield from parts
            # An empty collection carries nothing.
            yield ast.Constant(0)
        case ast.Starred(value=value) | ast.NamedExpr(value=value):
            yield value
        case ast.GeneratorExp(elt=elt) | ast.ListComp(elt=elt) | ast.SetComp(elt=elt):
            yield elt


def _assigned(function: Function) -> dict[str, list[ast.expr | None]]:
    """What each local name is given; None for what is not followed."""
    values: dict[str, list[ast.expr | None]] = {}
    seen: set[int] = set()

    def give(target: ast.AST, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            seen.add(id(target))
            values.setdefault(target.id, []).append(value)
        elif isinstance(target, ast.Tuple | ast.List):
            same = isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(target.elts)
            parts = value.elts if same else [value] * len(target.elts)  # type: ignore[union-attr]
            for one, part in zip(target.elts, parts, strict=True):
                give(one, part)

    for node in ast.walk(function):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                give(target, node.value)
        elif isinstance(node, ast.AugAssign | ast.NamedExpr | ast.AnnAssign):
            # A bare annotation gives nothing.
            if node.value is not None:
                give(node.target, node.value)
        elif isinstance(node, Loop):
            for element, value in _elements(node):
                give(element, value)
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and id(node) not in seen:
            values.setdefault(node.id, []).append(None)
    return values


def _elements(loop: Loop) -> Iterator[tuple[ast.AST, ast.expr]]:
    """What a loop gives its names: `enumerate` gives a number and an element."""
    match loop.target, loop.iter:
        case ast.Tuple(elts=[first, second]), ast.Call(func=ast.Name(id="enumerate"), args=[source, *_]):
            yield first, ast.Constant(0)
            yield second, source
        case target, source:
            yield target, source
