"""A template cut into constants and what changes with the person, where that can be done cheaply.

Most letters say a first name, an address to leave by and perhaps a condition. Those need no render
of the whole: each changing place is a small function, and its work is bounded by its source and the
value's length. Everything else (loops, assignments, other filters) has no plan, and is rendered.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

from liquid import Environment, RenderContext
from liquid.ast import BlockNode, Node
from liquid.builtin.content import ContentNode
from liquid.builtin.expressions.arguments import PositionalArgument
from liquid.builtin.expressions.filtered import Filter, FilteredExpression
from liquid.builtin.expressions.logical import (
    BooleanExpression,
    ContainsExpression,
    EqExpression,
    GeExpression,
    GtExpression,
    LeExpression,
    LogicalAndExpression,
    LogicalNotExpression,
    LogicalOrExpression,
    LtExpression,
    NeExpression,
)
from liquid.builtin.expressions.path import Path
from liquid.builtin.expressions.primitive import (
    Blank,
    Empty,
    FalseLiteral,
    FloatLiteral,
    IntegerLiteral,
    Nil,
    StringLiteral,
    TrueLiteral,
)
from liquid.builtin.output import OutputNode
from liquid.builtin.tags.comment_tag import CommentNode
from liquid.builtin.tags.if_tag import IfNode
from liquid.builtin.tags.unless_tag import UnlessNode
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.stringify import to_liquid_string
from liquid.undefined import Undefined
from markupsafe import escape

from tidings.mail import markup, render
from tidings.mail.recipient import Getter, Missing, Names, Recipient

Fill = Callable[[Recipient], str]

# A designed letter has some 20 changing places and conditions, each with one or two filters; a
# letter of more is rendered whole, where a purse bounds its work.
FILLS_MAX = 200
FILTERS_MAX = 4
# Filters whose result is about as long as value and arguments together, and that look at nothing else.
_CHEAP = frozenset(
    {"append", "capitalize", "default", "downcase", "lstrip", "prepend", "rstrip", "strip", "upcase"}
)
_METHODS: Mapping[str, Callable[[str], str]] = {
    "capitalize": str.capitalize,
    "downcase": str.lower,
    "lstrip": str.lstrip,
    "rstrip": str.rstrip,
    "strip": str.strip,
    "upcase": str.upper,
}
_LITERALS = (Blank, Empty, FalseLiteral, FloatLiteral, IntegerLiteral, Nil, StringLiteral, TrueLiteral)
_COMPARISONS = (
    *(ContainsExpression, EqExpression, GeExpression, GtExpression, LeExpression, LtExpression),
    *(LogicalAndExpression, LogicalOrExpression, NeExpression),
)
_UNDEFINED = Undefined("")


class _NoPlan(Exception):
    """This template is rendered whole."""


def plan(template: render.Template, names: Names) -> list[str | Fill] | None:
    """Give constants and functions whose joined text is the template rendered, or None.

    Constants keep the places of tokens. A name said twice gives the same function twice. The
    functions raise `render.TemplateProblem`.
    """
    try:
        return _Planner(template.environment, names).parts(template.nodes)
    except (_NoPlan, RecursionError):
        return None


class _View:
    """What the library's expressions ask of a render context, for one person."""

    __slots__ = ("_getters", "_person", "autoescape")

    def __init__(self, getters: dict[tuple[str, ...], Getter], person: Recipient, autoescape: bool) -> None:
        self._getters = getters
        self._person = person
        self.autoescape = autoescape

    def get(self, path: list[str], *, token: object, default: object = None) -> object:  # noqa: ARG002
        """Give the value of a name."""
        found = self._getters[tuple(path)](self._person)
        return _UNDEFINED if isinstance(found, Missing) else found


class _Planner:
    """The walk over one template's nodes."""

    def __init__(self, environment: Environment, names: Names) -> None:
        self._environment = environment
        self._autoescape = bool(environment.autoescape)
        self._names = names
        self._getters: dict[tuple[str, ...], Getter] = {}
        self._fills = 0
        self._outputs: dict[str, Fill] = {}

    def parts(self, nodes: Sequence[Node]) -> list[str | Fill]:
        """Give the parts of nodes in order, neighbouring constants joined."""
        parts: list[str | Fill] = []
        for node in nodes:
            part = self._part(node)
            if isinstance(part, str) and parts and isinstance(parts[-1], str):
                parts[-1] += part
            elif part != "":
                parts.append(part)
        return parts

    def _part(self, node: Node) -> str | Fill:
        if isinstance(node, ContentNode):
            return node.text
        self._fills += 1
        if self._fills > FILLS_MAX:
            raise _NoPlan
        if isinstance(node, OutputNode):
            said = str(node.expression)
            if said not in self._outputs:
                self._outputs[said] = self._output(node.expression)
            return self._outputs[said]
        if isinstance(node, IfNode | UnlessNode):
            return self._choice(node)
        if isinstance(node, CommentNode):
            return ""
        raise _NoPlan

    def _output(self, expression: Expression) -> Fill:
        if not isinstance(expression, FilteredExpression) or len(expression.filters or ()) > FILTERS_MAX:
            raise _NoPlan
        self._check(expression.left)
        for each in expression.filters or ():
            self._check_filter(each)
        if isinstance(expression.left, Path):
            simple = self._simple(expression.left, expression.filters or [])
            if simple is not None:
                return simple
        return self._evaluated(expression)

    def _simple(self, path: Path, filters: list[Filter]) -> Fill | None:
        """The three commonest: a name alone, or another word without it, or it in other letters."""
        getter = self._getters[tuple(map(str, path.path))]
        show = _html if self._autoescape else _text
        if not filters:
            return lambda person: show(getter(person))
        name, arguments = filters[0].name, filters[0].args
        if len(filters) > 1:
            return None
        if name in _METHODS and not arguments:
            method = _METHODS[name]
            return lambda person: show(method(_text(getter(person))))
        if name == "default" and len(arguments) == 1 and isinstance(arguments[0].value, StringLiteral):
            # The author's own word, which is not escaped.
            other = arguments[0].value.value
            return lambda person: show(getter(person)) or other
        return None

    def _evaluated(self, expression: FilteredExpression) -> Fill:
        """A name through several cheap filters, by the library's own functions."""
        left, autoescape, getters = expression.left, self._autoescape, self._getters
        steps = [
            (self._environment.filters[each.name], tuple(arg.value for arg in each.args))
            for each in expression.filters or ()
        ]

        def fill(person: Recipient) -> str:
            view = cast(RenderContext, _View(getters, person, autoescape))
            try:
                found = left.evaluate(view)
                for function, arguments in steps:
                    found = function(found, *(each.evaluate(view) for each in arguments))
            except LiquidError as problem:
                raise render.told(problem) from problem
            except TypeError as problem:
                raise render.TemplateProblem("a filter has too many or too few arguments") from problem
            return str(to_liquid_string(found, autoescape))

        return fill

    def _choice(self, node: IfNode | UnlessNode) -> Fill:
        """A condition: the first branch that holds, or nothing."""
        branches = [(node.condition, isinstance(node, IfNode), self._block(node.consequence))]
        branches += [(each.expression, True, self._block(each.block)) for each in node.alternatives]
        for condition, _, _ in branches:
            if not isinstance(condition, BooleanExpression):
                raise _NoPlan
            self._check(condition.expression)
        otherwise = self._block(node.default) if node.default else _nothing
        autoescape, getters = self._autoescape, self._getters

        def fill(person: Recipient) -> str:
            view = cast(RenderContext, _View(getters, person, autoescape))
            try:
                for condition, wanted, branch in branches:
                    if bool(condition.evaluate(view)) is wanted:
                        return branch(person)
            except LiquidError as problem:
                raise render.told(problem) from problem
            return otherwise(person)

        return fill

    def _block(self, block: BlockNode) -> Fill:
        """Give a branch's text; one of white space alone says nothing, as in the library."""
        parts = [_with_tokens(part) for part in self.parts(block.nodes)]
        if block.blank:
            return _nothing
        if len(parts) == 1:
            only = parts[0]
            return (lambda person: only) if isinstance(only, str) else only  # noqa: ARG005
        return lambda person: "".join([part if isinstance(part, str) else part(person) for part in parts])

    def _check(self, expression: Expression) -> None:
        """Raise `_NoPlan` for an expression that looks at more than names and literals."""
        if isinstance(expression, Path):
            if not all(isinstance(word, str) for word in expression.path):
                raise _NoPlan
            path = tuple(map(str, expression.path))
            getter = self._names.getter(path)
            if getter is None:
                raise _NoPlan
            self._getters[path] = getter
        elif isinstance(expression, _COMPARISONS):
            self._check(expression.left)
            self._check(expression.right)
        elif isinstance(expression, LogicalNotExpression):
            self._check(expression.right)
        elif not isinstance(expression, _LITERALS):
            raise _NoPlan

    def _check_filter(self, given: Filter) -> None:
        if given.name not in _CHEAP:
            raise _NoPlan
        for argument in given.args:
            if not isinstance(argument, PositionalArgument):
                raise _NoPlan
            self._check(argument.value)


def _with_tokens(part: str | Fill) -> str | Fill:
    """Give a branch's constant as a function where it holds the place of a token."""
    if not isinstance(part, str) or not (markup.TRACK in part or markup.LEAVE in part):
        return part
    return lambda person: tokens_put(part, person)


def tokens_put(text: str, person: Recipient) -> str:
    """Put the person's tokens in their places."""
    return text.replace(markup.TRACK, person.track).replace(markup.LEAVE, person.leave)


def _html(found: str | Missing | None) -> str:
    """Show a value among HTML."""
    if not isinstance(found, str):
        return ""
    return found if found.isalnum() else str(escape(found))


def _text(found: str | Missing | None) -> str:
    """Show a value among text."""
    return found if isinstance(found, str) else ""


def _nothing(person: Recipient) -> str:  # noqa: ARG001 - a fill like the others
    return ""
