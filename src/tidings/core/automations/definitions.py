"""Rules as their owners make them: made, changed, switched, deleted. Owns the rows of `rules`.

A rule that is on is counted in `listeners` under the event that starts it, and has one webhook
for each address that it posts to. It knows only what happens after it was switched on.
"""

import unicodedata

import msgspec

from tidings.core import events, webhooks
from tidings.core.automations import checking, triggers
from tidings.core.automations.parts import Action, Condition, Rule, Shown, Trigger, Wish
from tidings.errors import Conflict, Invalid, NotFound
from tidings.store.tx import Rx, Tx

# The triggers of an account are held in memory, and matched with each of its events.
RULES_MAX = 1_000
# Rules of one page of a list: each may have a megabyte of HTML.
LISTED = 50

_COLUMNS = "id, name, trigger, trigger_id, trigger_value, conditions, actions, enabled_at"
_SHOWN = ", ran, last_ran_at, problem, created_at, updated_at"


class _Timing(msgspec.Struct, frozen=True):
    """A trigger of time, as its `trigger_value` holds it."""

    days: int
    hour: int
    yearly: bool = False


_CONDITIONS = msgspec.json.Decoder(tuple[Condition, ...])
_ACTIONS = msgspec.json.Decoder(tuple[Action, ...])
_TIMING = msgspec.json.Decoder(_Timing)


def create(tx: Tx, wish: Wish, *, enabled: bool = True, given_id: int | None = None) -> Rule:
    """Make a rule; raise Invalid, or NotFound for what it names and is not there."""
    wish = checking.checked(tx, wish)
    there = tx.one("SELECT COUNT(*) FROM rules WHERE account_id = :account_id", account_id=tx.account_id)
    if there and there[0] >= RULES_MAX:
        raise Invalid("Name", f"is one too many: an account can have at most {RULES_MAX} rules")
    columns = (
        "account_id, name, name_key, trigger, trigger_id, trigger_value, conditions, actions, enabled_at,"
        " created_at, updated_at"
    )
    values = (
        ":account_id, :name, :name_key, :trigger, :trigger_id, :trigger_value, :conditions, :actions,"
        " :enabled_at, :now, :now"
    )
    names = _columns_of(tx, wish) | {"enabled_at": tx.now if enabled else None}
    if given_id:
        names["id"] = given_id
        columns, values = "id, " + columns, ":id, " + values
    row = tx.one(
        f"INSERT INTO rules ({columns}) VALUES ({values})"  # noqa: S608 (our columns)
        " ON CONFLICT (account_id, name_key) DO NOTHING RETURNING id",
        **names,
    )
    if row is None:
        raise Invalid("Name", "has already been taken")
    _write_actions(tx, row[0], wish.actions)
    if enabled:
        _listen(tx, wish.trigger)
    tx.redefine()
    return _load(tx, row[0])


def change(tx: Tx, rule_id: int, wish: Wish, *, seen_at: int | None = None) -> Rule:
    """Make another rule of one; with another trigger it knows only what happens from now on.

    `seen_at` is the `updated_at` that was seen: raises Conflict where somebody has changed the rule since.
    """
    wish = checking.checked(tx, wish)
    held = _locked(tx, rule_id)
    if seen_at is not None and show(tx, rule_id).updated_at != seen_at:
        raise Conflict("somebody else has changed this rule since you opened it")
    names = _columns_of(tx, wish)
    taken = tx.one(
        "SELECT id FROM rules WHERE account_id = :account_id AND name_key = :name_key AND id <> :id",
        account_id=tx.account_id,
        name_key=names["name_key"],
        id=rule_id,
    )
    if taken:
        raise Invalid("Name", "has already been taken")
    begins = held.enabled_at is not None and held.trigger != wish.trigger
    tx.run(
        "UPDATE rules SET name = :name, name_key = :name_key, trigger = :trigger,"
        " trigger_id = CAST(:trigger_id AS BIGINT), trigger_value = CAST(:trigger_value AS TEXT),"
        " conditions = :conditions, problem = NULL, updated_at = :now"
        " WHERE account_id = :account_id AND id = :id",
        id=rule_id,
        **{name: value for name, value in names.items() if name != "actions"},
    )
    if begins:
        _unlisten(tx, held.trigger)
        _begin(tx, rule_id, wish.trigger)
    _write_actions(tx, rule_id, wish.actions)
    tx.redefine()
    return _load(tx, rule_id)


def switch(tx: Tx, rule_id: int, *, on: bool) -> Rule:
    """Switch a rule on or off; a second time changes nothing. Going on, its problem is forgotten."""
    held = _locked(tx, rule_id)
    if on == (held.enabled_at is not None):
        return held
    if on:
        _begin(tx, rule_id, held.trigger)
    else:
        tx.run(
            "UPDATE rules SET enabled_at = NULL WHERE account_id = :account_id AND id = :id",
            account_id=tx.account_id,
            id=rule_id,
        )
        _unlisten(tx, held.trigger)
    tx.redefine()
    return _load(tx, rule_id)


def delete(tx: Tx, rule_id: int) -> None:
    """Delete a rule; what waits for it does nothing any more, what it did stays."""
    held = _locked(tx, rule_id)
    tx.run(
        "DELETE FROM rules WHERE account_id = :account_id AND id = :id",
        account_id=tx.account_id,
        id=rule_id,
    )
    if held.enabled_at is not None:
        _unlisten(tx, held.trigger)
    webhooks.delete_of_rule(tx, rule_id)
    tx.redefine()


def find(rx: Rx, rule_id: int) -> Rule:
    """Return one rule from memory, without the words of its email, or raise NotFound."""
    return rx.remember(_load_briefly, rule_id)


def show(rx: Rx, rule_id: int) -> Shown:
    """Return one rule with what became of it, or raise NotFound."""
    row = rx.one(
        f"SELECT {_COLUMNS}{_SHOWN} FROM rules WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=rule_id,
    )
    if row is None:
        raise NotFound("rule")
    return Shown(_rule(row[:8]), *row[8:])


def all_rules(rx: Rx) -> list[Shown]:
    """Return the account's rules with what became of each, by name."""
    rows = rx.all(
        f"SELECT {_COLUMNS}{_SHOWN} FROM rules WHERE account_id = :account_id ORDER BY name_key, id",  # noqa: S608
        account_id=rx.account_id,
    )
    return [Shown(_rule(row[:8]), *row[8:]) for row in rows]


def listed(rx: Rx, number: int = 1) -> list[Shown]:
    """Return one page of the account's rules, by name."""
    rows = rx.all(
        f"SELECT {_COLUMNS}{_SHOWN} FROM rules WHERE account_id = :account_id"  # noqa: S608 (our columns)
        " ORDER BY name_key LIMIT :limit OFFSET :skip",
        account_id=rx.account_id,
        limit=LISTED,
        skip=(number - 1) * LISTED,
    )
    return [Shown(_rule(row[:8]), *row[8:]) for row in rows]


def taken(rx: Rx, rule_id: int) -> bool:
    """Say whether a rule of any account has this id: ids are one row of numbers over all accounts."""
    return rx.one("SELECT 1 FROM rules WHERE id = :id", id=rule_id) is not None


def email_of(rx: Rx, rule_id: int) -> Action:
    """Return the email that a rule sends, or raise NotFound."""
    for action in _load(rx, rule_id).actions:
        if action.kind == "send_email":
            return action
    raise NotFound("email")


def note_problem(tx: Tx, rule_id: int, problem: str) -> None:
    """Write what is wrong with a rule, for its owner to see."""
    tx.run(
        "UPDATE rules SET problem = :problem WHERE account_id = :account_id AND id = :id"
        " AND (problem IS NULL OR problem <> :problem)",
        problem=problem,
        account_id=tx.account_id,
        id=rule_id,
    )


def trigger_of(kind: str, ref_id: int | None, value: str | None) -> Trigger:
    """Return a trigger as it is kept in three columns."""
    if kind in triggers.TIMED:
        timing = _TIMING.decode(value or "")
        return Trigger(kind, ref_id, days=timing.days, hour=timing.hour, yearly=timing.yearly)
    return Trigger(kind, ref_id, value)


def name_key(name: str) -> str:
    """Return a name as names are compared."""
    return unicodedata.normalize("NFC", name).casefold()


def _load(rx: Rx, rule_id: int) -> Rule:
    row = rx.one(
        f"SELECT {_COLUMNS} FROM rules WHERE account_id = :account_id AND id = :id",  # noqa: S608
        account_id=rx.account_id,
        id=rule_id,
    )
    if row is None:
        raise NotFound("rule")
    return _rule(row)


def _load_briefly(rx: Rx, rule_id: int) -> Rule:
    # A run needs no more, and a thousand rules may have a megabyte of HTML each.
    rule = _load(rx, rule_id)
    brief = tuple(
        msgspec.structs.replace(one, html="", text=None) if one.kind == "send_email" else one
        for one in rule.actions
    )
    return msgspec.structs.replace(rule, actions=brief)


def _locked(tx: Tx, rule_id: int) -> Rule:
    """Return a rule that nobody else changes until the commit."""
    row = tx.one(
        f"SELECT {_COLUMNS} FROM rules WHERE account_id = :account_id AND id = :id {{for_update}}",  # noqa: S608
        account_id=tx.account_id,
        id=rule_id,
    )
    if row is None:
        raise NotFound("rule")
    return _rule(row)


def _rule(row: tuple[object, ...]) -> Rule:
    rule_id, name, kind, ref_id, value, conditions, actions, enabled_at = row
    return Rule(
        rule_id,  # type: ignore[arg-type]
        name,  # type: ignore[arg-type]
        trigger_of(kind, ref_id, value),  # type: ignore[arg-type]
        _CONDITIONS.decode(conditions),  # type: ignore[arg-type]
        _ACTIONS.decode(actions),  # type: ignore[arg-type]
        enabled_at,  # type: ignore[arg-type]
    )


def _columns_of(tx: Tx, wish: Wish) -> dict[str, object]:
    trigger = wish.trigger
    value = trigger.value
    if trigger.kind in triggers.TIMED:
        value = msgspec.json.encode(_Timing(trigger.days, trigger.hour, trigger.yearly)).decode()
    return {
        "account_id": tx.account_id,
        "name": wish.name,
        "name_key": name_key(wish.name),
        "trigger": trigger.kind,
        "trigger_id": trigger.ref_id,
        "trigger_value": value,
        "conditions": msgspec.json.encode(wish.conditions).decode(),
        "actions": "[]",
        "now": tx.now,
    }


def _write_actions(tx: Tx, rule_id: int, actions: tuple[Action, ...]) -> None:
    """Keep a rule's actions, each post with its webhook: one that is there keeps its key."""
    held = {one.target_url: one for one in webhooks.all_webhooks(tx, of_rules=True) if one.rule_id == rule_id}
    wanted = {one.value or "" for one in actions if one.kind == "post"}
    for url, hook in held.items():
        if url not in wanted and hook.disabled_at is None:
            webhooks.disable(tx, hook.id, "its rule posts here no more")
    kept = []
    for action in actions:
        if action.kind == "post":
            url = action.value or ""
            hook = held.get(url) or webhooks.create_for_rule(tx, rule_id, url)
            webhooks.enable(tx, hook.id)
            action = msgspec.structs.replace(action, ref_id=hook.id)  # noqa: PLW2901 (with its webhook)
        kept.append(action)
    tx.run(
        "UPDATE rules SET actions = :actions WHERE account_id = :account_id AND id = :id",
        actions=msgspec.json.encode(kept).decode(),
        account_id=tx.account_id,
        id=rule_id,
    )


def _begin(tx: Tx, rule_id: int, trigger: Trigger) -> None:
    """Let a rule be on from now."""
    tx.run(
        "UPDATE rules SET enabled_at = :now, problem = NULL, scan_day = NULL, scan_id = 0"
        " WHERE account_id = :account_id AND id = :id",
        now=tx.now,
        account_id=tx.account_id,
        id=rule_id,
    )
    _listen(tx, trigger)
    tx.wake()


def _listen(tx: Tx, trigger: Trigger) -> None:
    if trigger.kind not in triggers.TIMED:
        events.listen(tx, trigger.kind)
    tx.wake()


def _unlisten(tx: Tx, trigger: Trigger) -> None:
    if trigger.kind not in triggers.TIMED:
        events.unlisten(tx, trigger.kind)
