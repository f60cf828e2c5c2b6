"""Who may import whom: floors, the order within the core, doors, circles."""

import ast
import graphlib

from tests.house.tree import PACKAGE, House, functions, inside

FLOORS = {
    "__main__": 8,
    "cli": 7,
    # A house of its own, built of the app's parts.
    "sandbox": 6,
    "app": 5,
    # `declare` is a door whose requests are files.
    "web": 4, "engine": 4, "declare": 4, "doctor": 4, "moving": 4,
    "core": 3,
    "mail": 2, "store": 2, "outbound": 2,
    "errors": 1, "settings": 1, "tokens": 1, "journal": 1, "failpoints": 1, "supervise": 1,
    # It starts a sandbox as a process and knows only its addresses.
    "testing": 1,
    # The package itself holds its version and imports nothing.
    "": 0,
}  # fmt: skip

# Within the core: a module imports its own level and those below. The higher the level,
# the more it knows. A new noun gets its line here.
FACTS, PEOPLE, TIES, MAKES, WHOLES = range(1, 6)
ORDER = {
    "events": FACTS, "counters": FACTS, "audience": FACTS, "slots": FACTS, "signing": FACTS,
    "suppressions": FACTS, "owner_notes": FACTS, "snippets": FACTS, "audit": FACTS, "search": FACTS,
    "backups": FACTS,
    "subscribers": PEOPLE, "custom_fields": PEOPLE, "webhooks": PEOPLE,
    "subscriptions": TIES, "deliveries": TIES, "purchases": TIES, "confirmations": TIES, "outbox": TIES,
    "entries": TIES, "notices": TIES,
    "forms": MAKES, "sequences": MAKES, "tags": MAKES, "broadcasts": MAKES, "tracking": MAKES,
    "signup": WHOLES, "compose": WHOLES, "automations": WHOLES, "advance": WHOLES, "preferences": WHOLES,
    "letters": WHOLES, "sending": WHOLES, "rehearsal": WHOLES, "heartbeats": WHOLES, "pacing": WHOLES,
    "trials": WHOLES, "launch": WHOLES,
    "telling": WHOLES, "history": WHOLES, "erasure": WHOLES, "retiring": WHOLES,
    "importing": WHOLES, "exporting": WHOLES, "checking": WHOLES, "users": WHOLES, "overview": WHOLES,
    "finding": WHOLES, "bulk": WHOLES, "uploads": WHOLES,
}  # fmt: skip
# They stand apart: they import facts at most, and nobody in the core imports them, but
# for the wholes, which put the account's name and address into a mail.
APART = {"accounts", "limits", "reports"}

DOORS = {"api_v3", "api_v4", "dashboard", "public"}
# What the doors may share. `server` runs them and belongs to the app.
SHARED = {"http", "params", "access", "house", "files"}
SERVER = "server"
# What the server alone is made of.
CORK = "cork"


def floors(house: House) -> list[str]:
    """Imports go down: never up, never to another room of the same floor."""
    wrong = []
    for module in house.modules.values():
        if module.room not in FLOORS:
            wrong.append(f"{module.path}: {module.room} is on no floor; give it one in tests/house/floors.py")
            continue
        for node, target in house.imports(module):
            room = _room(target)
            if room != module.room and FLOORS.get(room, 0) >= FLOORS[module.room]:
                wrong.append(f"{module.at(node)}: {module.room or PACKAGE} must not import {target}")
    return wrong


def core_order(house: House) -> list[str]:
    """Facts, then people, ties, what an owner makes, and wholes; accounts and reports apart."""
    wrong = []
    for module in house.modules.values():
        noun = _below(module.name, "core")
        if noun is None:
            continue
        if noun not in ORDER and noun not in APART:
            wrong.append(f"{module.path}: {noun} has no place in the core's order; see tests/house/floors.py")
            continue
        for node, target in house.imports(module):
            other = _below(target, "core")
            if other is None or other == noun or _core_allows(noun, other):
                continue
            wrong.append(f"{module.at(node)}: core/{noun} must not import core/{other}")
    return wrong


def _core_allows(noun: str, other: str) -> bool:
    if other in APART:
        return ORDER.get(noun) == WHOLES and other == "accounts"
    if other not in ORDER:
        return False
    return ORDER[other] <= (FACTS if noun in APART else ORDER[noun])


def doors(house: House) -> list[str]:
    """Doors never import each other; they share what SHARED names; only the app knows the server."""
    wrong = []
    for module in house.modules.values():
        mine = _below(module.name, "web")
        if mine is not None and mine not in DOORS | SHARED | {SERVER, CORK}:
            wrong.append(f"{module.path}: {mine} is no door and not shared; see tests/house/floors.py")
        for node, target in house.imports(module):
            theirs = _below(target, "web")
            if theirs is None or theirs == mine:
                continue
            if mine is None:
                allowed = module.room != "web"
            else:
                allowed = theirs in SHARED
            if theirs == SERVER:
                allowed = module.room in {"app", "sandbox"}
            if theirs == CORK:
                allowed = mine == SERVER
            if not allowed:
                wrong.append(f"{module.at(node)}: web/{mine or ''} must not import web/{theirs}")
    return wrong


def circles(house: House) -> list[str]:
    """No circle of imports, those for types only included."""
    graph = {
        module.name: {target for _, target in house.imports(module) if target != module.name}
        for module in house.modules.values()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return ["a circle of imports: " + " > ".join(reversed(error.args[1]))]
    return []


def imports_at_top(house: House) -> list[str]:
    """No import inside a function, and none by a function call."""
    wrong = []
    for module in house.modules.values():
        for function in functions(module.tree):
            wrong += [
                f"{module.at(node)}: an import inside {function.name}"
                for node in ast.walk(function)
                if isinstance(node, ast.Import | ast.ImportFrom)
            ]
        wrong += [
            f"{module.at(node)}: an import by a call hides from the reader and from these rules"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Call) and _called(node) in {"__import__", "import_module"}
        ]
    return sorted(set(wrong))


def settings_stay_up(house: House) -> list[str]:
    """Only app and cli read settings or the environment; all else is handed values."""
    wrong = []
    for module in house.modules.values():
        if module.room in {"app", "cli", "__main__", "settings"}:
            continue
        for node, target in house.imports(module):
            if inside(target, f"{PACKAGE}.settings"):
                wrong.append(f"{module.at(node)}: settings are read by app and cli alone")
        wrong += [
            f"{module.at(node)}: the environment is read by settings alone"
            for node in ast.walk(module.tree)
            if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        ]
    return wrong


def engine_knows_no_smtp(house: House) -> list[str]:
    """The engine is given a `send`; it never imports the SMTP client."""
    return [
        f"{module.at(node)}: the engine must not import {target}"
        for module in house.modules.values()
        if module.room == "engine"
        for node, target in house.imports(module)
        if inside(target, f"{PACKAGE}.mail.smtp")
    ]


RULES = (floors, core_order, doors, circles, imports_at_top, settings_stay_up, engine_knows_no_smtp)


def _room(name: str) -> str:
    return name.split(".")[1] if "." in name else ""


def _below(name: str, room: str) -> str | None:
    """The part of a dotted name right below a room; None for what is not below it."""
    parts = name.split(".")
    return parts[2] if len(parts) > 2 and parts[1] == room else None


def _called(node: ast.Call) -> str:
    return getattr(node.func, "id", "") or getattr(node.func, "attr", "")
