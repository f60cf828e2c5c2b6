"""Who may say what in SQL: one owner per table, SQL in core and store, no text from outside in it."""

import ast
import re
from collections.abc import Iterator

from tests.house.constants import Flow
from tests.house.tree import PACKAGE, House, Module, functions, inside

# A table has one owner: only its module (or a module within it) names it in SQL.
OWNERS = {
    "migrations": "store.migrate",
    "generations": "store.definitions",
    "accounts": "core.accounts",
    "credentials": "core.accounts",
    "integrations": "core.accounts",
    "rate_windows": "core.limits",
    "users": "core.users",
    "memberships": "core.users",
    "sign_in_links": "core.users",
    "sessions": "core.users",
    "audit": "core.audit",
    "counters": "core.counters",
    "events": "core.events",
    "custom_fields": "core.custom_fields",
    "field_erasures": "core.custom_fields",
    "subscribers": "core.subscribers",
    "forms": "core.forms",
    "sequences": "core.sequences",
    "sequence_emails": "core.sequences",
    "sequence_exclusions": "core.sequences",
    "sequence_numbers": "core.sequences",
    "entries": "core.entries",
    "tags": "core.tags",
    "subscriptions": "core.subscriptions",
    "deliveries": "core.deliveries",
    "attempts": "core.deliveries",
    "confirmation_caps": "core.confirmations",
    "outbox": "core.outbox",
    "broadcasts": "core.broadcasts",
    "broadcast_audiences": "core.broadcasts",
    "broadcast_hours": "core.broadcasts",
    "trials": "core.trials",
    "signing_keys": "core.signing",
    "heartbeats": "core.heartbeats",
    "paces": "core.pacing",
    "domain_rests": "core.pacing",
    "webhooks": "core.webhooks",
    "listeners": "core.events",
    "notices": "core.notices",
    "notice_attempts": "core.notices",
    "rules": "core.automations",
    "rule_runs": "core.automations",
    "suppressions": "core.suppressions",
    "erasures": "core.erasure",
    "search_cursors": "core.search",
    "search_blocks": "core.search",
    "search_pairs": "core.search",
    "search_changes": "core.search",
    "bulk_changes": "core.bulk",
    "sales": "core.purchases",
    "owner_notes": "core.owner_notes",
    "snippets": "core.snippets",
    "imports": "core.importing",
    "uploads": "core.uploads",
    "upload_chunks": "core.uploads",
    "upload_refusals": "core.uploads",
    "backups": "core.backups",
    "links": "core.tracking",
    "hits": "core.tracking",
    "leaves": "core.preferences",
    "purchases": "core.purchases",
    "purchase_products": "core.purchases",
}
# They may read every table: the audience lends its SELECT to the fan-out, reports add up.
READERS = ("core.audience", "core.reports", "core.history", "core.exporting", "core.checking")
# It may delete from every table: all that is known of a person, in one place that can be held to be whole.
ERASER = "core.erasure"
# It writes people in sets, a row complete at once: the verbs of their owners, one by one, took 40 times as
# long. What it may touch beyond its own table stands here.
LOADER = "core.importing"
LOADED = {"subscribers", "subscriptions", "entries", "events", "suppressions"}
# The table that says which migrations ran knows no account.
WITHOUT_ACCOUNT = {"migrations"}
SQL_ROOMS = {"core", "store"}
DRIVERS = {"apsw", "psycopg", "sqlite3"}
# Names within SQL that the code itself holds against a pattern first, by module.
CHECKED = {
    (f"{PACKAGE}.store.postgres", "table"),
    *((f"{PACKAGE}.store.places", name) for name in ("table", "columns", "marks", "order")),
}
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef
DATABASES = {"sqlite", "postgres", "postgresql"}

_HOLE = "{}"
# The SQL of this project is in capitals, which is what tells it from English.
_SQL = re.compile(
    r"\b(?:SELECT\s.*\bFROM\s|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s"
    r"|(?:CREATE|DROP|ALTER)\s+(?:\S+\s+)?(?:TABLE|INDEX)\s)"
    r"|^\s*(?:SELECT\s|PRAGMA\s|BEGIN IMMEDIATE|SAVEPOINT\s)",
    re.DOTALL,
)
_LIST = r"((?:[a-z_{}]+(?:\s+(?:AS\s+)?[a-z_]+)?\s*,\s*)*[a-z_{}]+)"
_NAMED = re.compile(
    rf"\b(DELETE\s+FROM|FROM|JOIN|INSERT\s+INTO|INTO|UPDATE|TABLE(?:\s+IF(?:\s+NOT)?\s+EXISTS)?|COPY)\s+{_LIST}"
)
_READS = {"FROM", "JOIN"}
_CREATE = re.compile(
    r"CREATE\s+(?:\{[a-z_]+\}\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?([a-z_]+)\s*\(\s*([a-z_{}]+)"
)


def one_owner(house: House) -> list[str]:
    """Only a table's owner names it; the readers may read it."""
    tables = set(OWNERS) | {name for _, name, _ in _created(house)}
    wrong = []
    for module in house.modules.values():
        for node, text in texts(module):
            for verb, names in _NAMED.findall(text):
                for name in _names(names):
                    if name == _HOLE and _SQL.search(text) and module.room != "store":
                        wrong.append(f"{module.at(node)}: the name of a table is filled in; write it out")
                    elif name in tables and not _may(
                        module, name, reads=verb in _READS, deletes=verb.startswith("DELETE")
                    ):
                        wrong.append(f"{module.at(node)}: {name} belongs to {OWNERS.get(name, 'nobody yet')}")
    return wrong


def every_table_owned(house: House) -> list[str]:
    """A table of the migrations has an owner, and no table is created elsewhere."""
    wrong = [
        f"{place}: the table {name} has no owner in tests/house/data.py"
        for place, name, _ in _created(house)
        if name not in OWNERS
    ]
    for module in house.modules.values():
        for node, text in texts(module):
            wrong += [
                f"{module.at(node)}: the table {name} is made outside the migrations"
                for name, _ in _CREATE.findall(text)
                if not inside(module.name, f"{PACKAGE}.{OWNERS.get(name, '?')}")
                or name not in WITHOUT_ACCOUNT
            ]
    return wrong


def accounts_lead(house: House) -> list[str]:
    """Every table's first column is account_id, so that the data can be split by account."""
    return [
        f"{place}: the first column of {name} is {first}, not account_id"
        for place, name, first in _created(house)
        if first != "account_id" and name not in WITHOUT_ACCOUNT
    ]


def sql_at_home(house: House) -> list[str]:
    """SQL stands in core and store, and only the store drives a database."""
    wrong = []
    for module in house.modules.values():
        if module.room not in SQL_ROOMS:
            wrong += [
                f"{module.at(node)}: SQL outside core and store"
                for node, text in texts(module)
                if _SQL.search(text)
            ]
        if module.room != "store":
            wrong += [
                f"{module.at(node)}: only the store imports {name.split('.')[0]}"
                for node, name in _all_imports(module)
                if name.split(".")[0] in DRIVERS
            ]
    return wrong


def sql_is_constant(house: House) -> list[str]:
    """SQL is made of constants only (see constants.py): what varies is a named parameter."""
    wrong = []
    for module in house.modules.values():
        neighbours = {one.name: one for one in module.tree.body if isinstance(one, FUNCTIONS)}
        for function in functions(module.tree):
            flow: Flow | None = None
            for node, text in texts(function):
                if not _SQL.search(text):
                    continue
                flow = flow or Flow(function, neighbours)
                wrong += [
                    f"{module.at(node)}: {ast.unparse(hole)} varies within SQL; make it a parameter"
                    for hole in _holes(node)
                    if not flow.constant(hole) and (module.name, ast.unparse(hole)) not in CHECKED
                ]
    return sorted(set(wrong))


def one_text_for_both(house: House) -> list[str]:
    """Nothing outside the store asks which database it is."""
    wrong = []
    for module in house.modules.values():
        if module.room == "store":
            continue
        for node in ast.walk(module.tree):
            asked: list[ast.expr] = []
            if isinstance(node, ast.Compare):
                asked = [node.left, *node.comparators]
            elif isinstance(node, ast.If | ast.IfExp | ast.While):
                asked = [node.test]
            elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "startswith":
                asked = list(node.args)
            elif isinstance(node, ast.MatchValue):
                asked = [node.value]
            if any(_asks_for_database(part) for part in asked):
                wrong.append(f"{module.at(node)}: what differs between databases belongs to store/dialect.py")
    return sorted(set(wrong))


RULES = (one_owner, every_table_owned, accounts_lead, sql_at_home, sql_is_constant, one_text_for_both)


def texts(module: Module | ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Every string of a module but docstrings, whole: joined by `+`, with {} for what is filled in.

    The marks of `store/dialect.py`, such as {skip_locked}, stand in plain strings and stay.
    """
    tree = module.tree if isinstance(module, Module) else module
    skipped = _docstrings(tree)
    stack: list[ast.AST] = [tree]
    while stack:
        node = stack.pop()
        if id(node) in skipped:
            continue
        if isinstance(node, ast.expr):
            text = _text(node)
            if text is not None:
                yield node, text
                continue
        stack.extend(ast.iter_child_nodes(node))


def _text(node: ast.expr) -> str | None:
    """The text of a string expression; None for what is none."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else _HOLE for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None and right is None else (left or _HOLE) + (right or _HOLE)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        return _text(node.left)
    if isinstance(node, ast.IfExp):
        body, orelse = _text(node.body), _text(node.orelse)
        return None if body is None or orelse is None else f"{body} {orelse}"
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format":
        return _text(node.func.value)
    return None


def _holes(node: ast.expr) -> Iterator[ast.expr]:
    """What a string expression is filled with."""
    if isinstance(node, ast.JoinedStr):
        yield from (part.value for part in node.values if isinstance(part, ast.FormattedValue))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        for side in (node.left, node.right):
            if _text(side) is None:
                yield side
            else:
                yield from _holes(side)
    elif isinstance(node, ast.BinOp):
        yield from _holes(node.left)
        yield node.right
    elif isinstance(node, ast.IfExp):
        yield from _holes(node.body)
        yield from _holes(node.orelse)
    elif isinstance(node, ast.Call):
        yield from node.args
        yield from (keyword.value for keyword in node.keywords)


def _created(house: House) -> Iterator[tuple[str, str, str]]:
    """Each table of the migrations: where, its name, its first column."""
    for path in house.migrations():
        text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
        for name, first in _CREATE.findall(text):
            yield str(path.relative_to(house.root)), name, first


def _names(listed: str) -> list[str]:
    return [part.split()[0] for part in listed.split(",")]


def _may(module: Module, table: str, *, reads: bool, deletes: bool) -> bool:
    if inside(module.name, f"{PACKAGE}.{OWNERS.get(table, '?')}"):
        return True
    if (reads or deletes) and inside(module.name, f"{PACKAGE}.{ERASER}"):
        return True
    if table in LOADED and not deletes and inside(module.name, f"{PACKAGE}.{LOADER}"):
        return True
    return reads and any(inside(module.name, f"{PACKAGE}.{reader}") for reader in READERS)


def _docstrings(tree: ast.AST) -> set[int]:
    found = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # A string that stands alone is a docstring or a note: nothing runs it.
            found |= {id(s) for s in body if isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant)}
    return found


def _all_imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node, node.module or ""


def _asks_for_database(node: ast.expr) -> bool:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            if part.value.partition(":")[0].lower() in DATABASES:
                return True
        elif isinstance(part, ast.Name | ast.Attribute):
            words = set((part.id if isinstance(part, ast.Name) else part.attr).lower().split("_"))
            if words & (DATABASES | {"dialect"}):
                return True
    return False
