"""Personalisation: a letter's Liquid, compiled once and rendered for each person within limits.

Undefined names render as empty. Values are plain data, so no template reaches into Python. What
this module cannot bound is the clock and the process's memory: `limits` counts work and text, and a
template that finds a slow path the counting misses would hold its thread until the purse is empty.
"""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import BlockNode, Node
from liquid.builtin.expressions.filtered import Filter
from liquid.builtin.expressions.logical import EqExpression, NeExpression, is_truthy
from liquid.builtin.expressions.primitive import Blank, RangeLiteral
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.token import Token

from tidings.mail import plain
from tidings.mail.limits import CappedRange, LimitedEnvironment, PaidBlock

# A letter's source; the HTML alone of a designed one seldom passes 100 KB.
SOURCE_OCTETS_MAX = 512 * 1024

# One {{ … }} or {% … %}; the longest seen in real letters is a `liquid` tag of about 1,500.
MARK_MAX = 8 * 1024

_OPENING = re.compile(r"\{[{%]")
_LONG_GAP = re.compile(r"\s{128}")
_VERBATIM = re.compile(r"\{%-?\s{0,127}(raw|doc)\s{0,127}-?%\}")
_VERBATIM_ENDS = {
    name: re.compile(rf"\{{%-?\s{{0,127}}end{name}\s{{0,127}}-?%\}}") for name in ("raw", "doc")
}

_HTML = LimitedEnvironment(autoescape=True)
_TEXT = LimitedEnvironment(autoescape=False)


class _Equal(EqExpression):
    """Equality by which nothing is blank, as in Shopify's Liquid; the library's says it is not."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        return _equal(self.left, self.right, context) or super().evaluate(context)


class _Unequal(NeExpression):
    """The opposite of `_Equal`."""

    __slots__ = ()

    def evaluate(self, context: RenderContext) -> object:
        return not _equal(self.left, self.right, context) and super().evaluate(context)


class TemplateProblem(ValueError):
    """A template that cannot be used; `line` counts from 1, or is None where none is to blame."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(f"Line {line}: {message}" if line else message)
        self.line = line


class Template:
    """A compiled template; may be rendered by several threads at once."""

    __slots__ = ("_bound",)

    def __init__(self, bound: BoundTemplate) -> None:
        self._bound = bound

    def render(self, values: Mapping[str, object]) -> str:
        """Fill the template in; raises `TemplateProblem` for values or results beyond the limits."""
        try:
            copied = plain.plain(values)
        except ValueError as problem:
            raise TemplateProblem(str(problem)) from problem
        return self.render_plain(copied)

    def render_plain(self, values: dict[str, plain.Plain]) -> str:
        """Fill the template in with what `plain.plain` gave, which several templates may share."""
        try:
            return self._bound.render(values)
        except LiquidError as problem:
            raise told(problem) from problem
        except RecursionError as problem:
            raise TemplateProblem("the template is nested too deeply") from problem
        except ValueError as problem:
            raise TemplateProblem(str(problem)) from problem

    @property
    def nodes(self) -> Sequence[Node]:
        """The parsed template, for `plan`."""
        return self._bound.nodes

    @property
    def environment(self) -> Environment:
        """The environment whose filters the template uses."""
        return self._bound.env

    def names(self) -> list[tuple[str, ...]]:
        """Give the paths that the template takes from its values; a computed part ends a path."""
        try:
            found = self._bound.analyze(include_partials=False).globals
        except RecursionError as problem:
            raise TemplateProblem("the template is nested too deeply") from problem
        paths: dict[tuple[str, ...], None] = {}
        for variables in found.values():
            for variable in variables:
                words = itertools.takewhile(lambda part: isinstance(part, str), variable.segments)
                paths[tuple(str(word) for word in words)] = None
        return list(paths)


def compile(source: str, *, html: bool) -> Template:  # noqa: A001 - reads as render.compile(...)
    """Compile a template; with `html` every value is escaped. Raises `TemplateProblem` with the line."""
    try:
        octets = len(source.encode())
    except UnicodeEncodeError as problem:
        raise TemplateProblem("the template holds a character that is not Unicode text") from problem
    if octets > SOURCE_OCTETS_MAX:
        raise TemplateProblem(f"the template is longer than {SOURCE_OCTETS_MAX:,} octets")
    _check_marks(source)
    environment = _HTML if html else _TEXT
    try:
        bound = environment.from_string(source)
        for part in _parts(bound.nodes):
            _bound_part(part, environment)
    except LiquidError as problem:
        raise told(problem) from problem
    return Template(bound)


def _check_marks(source: str) -> None:
    """Refuse marks that are never closed, or too long, in one pass.

    The library's lexer is quadratic on them: 16 KB of "{{" take 9 s, 64 KB of "{% raw %}" 3 s.
    """
    at = 0
    while (opening := _OPENING.search(source, at)) is not None:
        start = opening.start()
        closing = "}}" if opening[0] == "{{" else "%}"
        end = source.find(closing, start + 2)
        if end < 0:
            raise TemplateProblem(f"{opening[0]} is never closed by {closing}", _line(source, start))
        if end - start > MARK_MAX or _LONG_GAP.search(source, start, end):
            raise TemplateProblem(f"{opening[0]} and its {closing} are too far apart", _line(source, start))
        at = end + 2
        verbatim = _VERBATIM.match(source, start)
        if verbatim is not None:
            ending = _VERBATIM_ENDS[verbatim[1]].search(source, at)
            if ending is None:
                raise TemplateProblem(f"the tag {verbatim[1]!r} is never closed", _line(source, start))
            at = ending.end()


def _line(source: str, at: int) -> int:
    """Give the line of a position, counted from 1."""
    return source.count("\n", 0, at) + 1


def _bound_part(part: object, environment: LimitedEnvironment) -> None:
    """Put the bounded class in a part's place, and refuse filters that do not exist.

    The parser names its classes itself and offers no other place to step in; the bounded ones add
    no attribute, so an object may change class.
    """
    if type(part) is RangeLiteral:
        part.__class__ = CappedRange
    elif type(part) is BlockNode:
        part.__class__ = PaidBlock
    elif type(part) is EqExpression:
        part.__class__ = _Equal
    elif type(part) is NeExpression:
        part.__class__ = _Unequal
    elif isinstance(part, Filter):
        part.validate_filter_arguments(environment)


def _parts(nodes: list[Node]) -> Iterator[object]:
    """Give every node, expression and filter of a parsed template.

    Walks their attributes rather than the library's `children()`, which leave some out by design.
    """
    waiting: list[object] = list(nodes)
    seen: set[int] = set()
    while waiting:
        part = waiting.pop()
        if isinstance(part, list | tuple) and not isinstance(part, Token):
            waiting.extend(part)
        elif isinstance(part, dict):
            waiting.extend(part.values())
        elif _is_part(part) and id(part) not in seen:
            seen.add(id(part))
            yield part
            waiting.extend(_attributes(part))


def _is_part(part: object) -> bool:
    """Whether this belongs to the tree; arguments and when-clauses have no class in common."""
    if isinstance(part, Node | Expression | Filter):
        return True
    return type(part).__module__.startswith("liquid.builtin.") and not isinstance(part, str)


def _attributes(part: object) -> list[object]:
    """Give the values of an object's slots and of its dictionary."""
    names = [name for kind in type(part).__mro__ for name in getattr(kind, "__slots__", ())]
    names += getattr(part, "__dict__", {})
    return [getattr(part, name) for name in names if hasattr(part, name)]


def _equal(left: Expression, right: Expression, context: RenderContext) -> bool:
    """Whether one side is `blank` and the other nil, undefined or false."""
    if isinstance(left, Blank):
        left, right = right, left
    return isinstance(right, Blank) and not is_truthy(left.evaluate(context))


def told(problem: LiquidError) -> TemplateProblem:
    """Give the library's error as one plain sentence with its line."""
    place = problem.context() if problem.token is not None else None
    cause = problem.__cause__
    if isinstance(cause, RecursionError):
        return TemplateProblem("the template is nested too deeply")
    return TemplateProblem(str(problem.message), place[0] if place else None)
