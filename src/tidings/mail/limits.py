"""Liquid within limits: an environment whose templates cannot explode.

python-liquid's own four limits stop neither `(1..20000000)` joined by a filter (1.6 GB) nor eight
chained `replace` filters (1 GB). So ranges are capped where they are made, filters are measured
before and after they run, and every block, filter and buffered write draws on one purse.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from io import StringIO
from typing import Any, TextIO, cast

from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import BlockNode
from liquid.builtin.expressions.primitive import RangeLiteral
from liquid.builtin.filters import misc
from liquid.builtin.tags.for_tag import ForLoop
from liquid.builtin.tags.tablerow_tag import TableRow
from liquid.exceptions import FilterError, LiquidError, ResourceLimitError
from liquid.filter import with_context, with_environment
from liquid.output import LimitedStringIO
from liquid.token import Token

from tidings.mail.plain import INT_BITS_MAX, ITEMS_MAX, TEXT_MAX

# A mail above 1 MiB is refused or cut by most readers (Gmail cuts the HTML at 102 KB).
OUTPUT_OCTETS_MAX = 1024 * 1024
LOOPS_MAX = 10_000
DEPTH_MAX = 20
LOCALS_MAX = 4 * 1024 * 1024
# The purse: characters read and written by filters and buffers, plus 100 for each node in a block
# and each filter. A letter of 100 nodes and 20 filters spends under 30,000. Spending all takes
# under half a second on the worst templates tried.
WORK_MAX = 10_000_000
_NODE_WORK = 100
# HTML parsing of unclosed tags and date guessing are slow on long input; neither needs any.
_SLOW_TEXT_MAX = 16 * 1024
_DATE_TEXT_MAX = 64

_SURPRISES = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError)


class CappedRange(RangeLiteral):
    """A range of at most `ITEMS_MAX` numbers, whatever reads it: for, filters, contains."""

    __slots__ = ()

    def _make_range(self, start: Any, stop: Any) -> range:
        made = super()._make_range(start, stop)
        if made.stop - made.start > ITEMS_MAX:
            raise ResourceLimitError(f"a range has more than {ITEMS_MAX:,} numbers", token=self.token)
        return made


class PaidBlock(BlockNode):
    """A block that pays for its nodes each time it is rendered, so nested loops cannot run free."""

    __slots__ = ()

    def render_to_output(self, context: RenderContext, buffer: TextIO) -> int:
        cast(PaidContext, context).pay(_NODE_WORK * len(self.nodes))
        return super().render_to_output(context, buffer)


class PaidContext(RenderContext):
    """One render's state: what is left in the purse, loops run, and the size of assigned values."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.work_left = WORK_MAX
        self.loops_left = LOOPS_MAX
        self.sizes: dict[str, int] = {}
        self.locals_size = 0

    def pay(self, work: int) -> None:
        """Take work from the purse; the render ends when it is empty."""
        self.work_left -= work
        if self.work_left < 0:
            raise ResourceLimitError("the template does too much work", token=None)

    def filter(self, name: str, token: Token | None) -> Callable[..., object]:
        """Give the filter of this name, bounded; raises for a name that does not exist."""
        return functools.partial(_bounded, self, name, token, super().filter(name, token))

    def assign(self, key: str, val: Any) -> None:
        """Assign within the limit. The library adds up all names each time, which is quadratic."""
        size = 100 + measured(val)
        self.pay(size)
        self.locals_size += size - self.sizes.get(key, 0)
        self.sizes[key] = size
        if self.locals_size > LOCALS_MAX:
            raise ResourceLimitError("the template assigns too much", token=None)
        self.locals[key] = val

    @contextmanager
    def loop(self, namespace: Mapping[str, object], forloop: ForLoop | TableRow) -> Iterator[RenderContext]:
        """Count each iteration once: an inner loop enters here anew for each one of the outer."""
        self.loops_left -= forloop.length
        if self.loops_left < 0:
            raise ResourceLimitError(f"the template loops more than {LOOPS_MAX:,} times", token=None)
        with super().loop(namespace, forloop) as context:
            yield context

    def get_buffer(self, buf: TextIO | None = None) -> StringIO:  # noqa: ARG002 - as the library calls it
        """Give capture, ifchanged and the like a buffer that pays for what is written to it."""
        return _PaidBuffer(self)


class _PaidBuffer(LimitedStringIO):
    def __init__(self, context: PaidContext) -> None:
        super().__init__(limit=OUTPUT_OCTETS_MAX)
        self._context = context

    def write(self, text: str, /) -> int:
        self._context.pay(len(text))
        return super().write(text)


class _Template(BoundTemplate):
    context_class = PaidContext


class LimitedEnvironment(Environment):
    """Liquid with what a letter needs: no file, no include, no render, and every filter bounded."""

    block_nesting_limit = DEPTH_MAX
    context_depth_limit = DEPTH_MAX
    output_stream_limit = OUTPUT_OCTETS_MAX
    template_class = _Template

    def setup_tags_and_filters(self, *, extra: bool = False) -> None:
        """Register the library's tags and filters, less what reaches out of the template."""
        super().setup_tags_and_filters(extra=extra)
        for tag in ("include", "render"):
            del self.tags[tag]
        self.add_filter("date", _date)


def measured(value: object, depth: int = 0) -> int:
    """Give the characters a value would print, roughly; stops soon after `TEXT_MAX`."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, int):
        return 1 + value.bit_length() // 3
    if isinstance(value, range):
        return 8 * len(value)
    if isinstance(value, dict) or (isinstance(value, list | tuple) and depth < DEPTH_MAX):
        total = 8
        items = [*value, *value.values()] if isinstance(value, dict) else value
        for item in items:
            total += 4 + measured(item, depth + 1)
            if total > TEXT_MAX:
                break
        return total
    return 24


def _bounded(
    context: PaidContext,
    name: str,
    token: Token | None,
    function: Callable[..., object],
    /,
    value: object,
    *args: object,
    **kwargs: object,
) -> object:
    """Run a filter: measured before where it multiplies, after always, and paid for."""
    size = measured(value)
    context.pay(_NODE_WORK + size + sum(map(measured, args)))
    if name == "uniq" and isinstance(value, list):
        # It compares each item with all before it.
        context.pay(len(value) ** 2 // 2)
    try:
        if _foreseen(name, value, size, args) > TEXT_MAX:
            raise FilterError(f"the filter {name!r} makes too much text", token=token)
        made = function(value, *args, **kwargs)
        _check_made(name, made, context)
    except LiquidError as problem:
        problem.token = problem.token or token
        raise
    except _SURPRISES as surprise:
        raise FilterError(f"the filter {name!r} cannot take this value", token=token) from surprise
    return made


def _check_made(name: str, made: object, context: PaidContext) -> None:
    """Pay for what a filter made, or refuse it."""
    size = measured(made)
    context.pay(size)
    if size > TEXT_MAX:
        raise FilterError(f"the filter {name!r} makes too much text", token=None)
    if isinstance(made, list | tuple | range) and len(made) > ITEMS_MAX:
        raise FilterError(f"the filter {name!r} makes more than {ITEMS_MAX:,} items", token=None)
    if isinstance(made, int) and made.bit_length() > INT_BITS_MAX:
        raise FilterError(f"the filter {name!r} makes too large a number", token=None)


def _foreseen(name: str, value: object, size: int, args: tuple[object, ...]) -> int:
    """Give the size of what a filter is about to make, for those that make more than they take."""
    first = measured(args[0]) if args else 0
    if name == "replace":
        sought = str(args[0]) if args else ""
        found = str(value).count(sought) if sought else size + 1
        return size + found * (measured(args[1]) if len(args) > 1 else 0)
    if name == "join":
        return size + first * (len(value) if isinstance(value, list | tuple | range) else 1)
    if name == "split":
        # One character an item at worst, and an item weighs far more than its character.
        separator = str(args[0] or "") if args else ""
        parts = str(value).count(separator) + 1 if separator else size
        return size + (TEXT_MAX if parts > ITEMS_MAX else 0)
    if name == "times":
        return TEXT_MAX + 1 if size + first > INT_BITS_MAX // 3 else size
    if name in ("strip_html", "truncatewords"):
        return TEXT_MAX + 1 if size > _SLOW_TEXT_MAX else size
    return size + first


# Directives of one letter alone: a width ("%999999999d") is a feature of the C library.
_ODD_DIRECTIVE = re.compile(r"%(?![-#^]?[a-zA-Z%])")


@with_context
@with_environment
def _date(value: object, form: object = "", *, context: RenderContext, environment: Environment) -> object:
    """Write a moment by a strftime format, in UTC; what is no date comes back unchanged.

    "now" and "today" are the value `now` where one is given (ISO text, or seconds since 1970).
    """
    layout = str(form)
    if len(layout) > _DATE_TEXT_MAX or _ODD_DIRECTIVE.search(layout):
        raise FilterError("the filter 'date' cannot take this format", token=None)
    if value in ("now", "today"):
        value = context.resolve("now")
    if isinstance(value, datetime):
        # The library's own `now` has no zone and means the machine's; ours is UTC.
        return datetime.now(UTC).strftime(layout)
    text = str(value)
    if not layout or isinstance(value, bool) or len(text) > _DATE_TEXT_MAX:
        return value
    try:
        if isinstance(value, int | float) or text.isdecimal():
            return datetime.fromtimestamp(float(text), UTC).strftime(layout)
        return misc.date(text, layout, environment=environment) if text else ""
    except _SURPRISES:
        return value
