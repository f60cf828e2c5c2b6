"""Applying broadcasts: their words, their moment, and whom they go to."""

from tidings.core import accounts, broadcasts
from tidings.core.broadcasts import Broadcast, Draft, course, shown
from tidings.core.broadcasts.course import Part
from tidings.declare import wanted
from tidings.declare.outcome import Known, Odd, Outcome, only, refuse_taken
from tidings.errors import NotFound
from tidings.store.tx import Tx

# A key of the file, and what `Draft` calls it.
_WORDS = {
    "subject": "subject",
    "html": "content",
    "text": "text",
    "preheader": "preheader",
    "from_name": "from_name",
    "reply_to": "reply_to",
    "layout": "email_layout_template",
}
_BLANK_IS_NONE = ("text", "from_name", "reply_to")
# A key of the file, and what kind of thing it lists.
_AUDIENCE = {
    "tags": "tag",
    "forms": "form",
    "sequences": "sequence",
    "excluded_tags": "tag",
    "excluded_forms": "form",
    "excluded_sequences": "sequence",
}


def broadcast(tx: Tx, want: wanted.Broadcast, known: Known) -> Outcome:
    """Write a broadcast, or change one that has not begun to be sent."""
    held = _held(tx, want)
    sender = accounts.get(tx).primary_email
    words = _words(want)
    chosen = [key for key in _AUDIENCE if getattr(want, key) is not None]
    if want.status == "completed" and chosen:
        raise Odd(chosen[0], f"{chosen[0]} chooses nobody: a broadcast that is completed is not sent again")
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and broadcasts.taken(tx, want.id))
        draft = Draft(send_at=want.send_at, **words)  # type: ignore[arg-type]
        status = "completed" if want.status == "completed" else None
        made = broadcasts.create(tx, draft, sender, given_id=want.id, status=status)
        if chosen:
            course.set_audience(tx, made.id, _parts(want, [], known))
        return "made"
    before = shown.parts(tx, held.id)
    parts = _parts(want, before, known) if chosen else before
    changed = {name: value for name, value in words.items() if getattr(held, name) != value}
    if held.status in ("sending", "completed"):
        if changed or set(parts) != set(before):
            raise Odd("subject", f"the broadcast {held.id} has been sent and cannot be changed")
        return "left"
    if want.status == "completed":
        raise Odd("status", f"the broadcast {held.id} is there and not sent: only a new one can be completed")
    if (want.send_at is not None or want.status == "draft") and held.send_at != want.send_at:
        changed["send_at"] = want.send_at
    if not changed and set(parts) == set(before):
        return "left"
    if changed:
        broadcasts.revise(tx, held.id, changed, sender)
    if set(parts) != set(before):
        course.set_audience(tx, held.id, parts)
    return "changed"


def _held(tx: Tx, want: wanted.Broadcast) -> Broadcast | None:
    if want.id is None:
        found = broadcasts.with_subject(tx, want.subject)
        return only(found, "subject", "broadcasts", want.subject)
    try:
        return broadcasts.find(tx, want.id)
    except NotFound:
        return None


def _words(want: wanted.Broadcast) -> dict[str, object]:
    """Return what the file says of the mail itself, by the names of `Draft`."""
    said: dict[str, object] = {}
    for key, name in _WORDS.items():
        value = getattr(want, key)
        if value is not None:
            said[name] = (value or None) if key in _BLANK_IS_NONE else value
    return said


def _parts(want: wanted.Broadcast, before: list[Part], known: Known) -> list[Part]:
    """Return the audience with what the file says of it; a key that is not there stays as it was."""
    parts: list[Part] = []
    for key, kind in _AUDIENCE.items():
        refs, excluded = getattr(want, key), key.startswith("excluded_")
        if refs is None:
            parts += [one for one in before if (one.kind, one.excluded) == (kind, excluded)]
        else:
            parts += [Part(kind, ref_id, excluded) for ref_id in known.ids(kind, refs, key)]
    return parts
