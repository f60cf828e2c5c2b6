"""Applying what an owner makes: fields, tags, forms, sequences, broadcasts, webhooks."""

from typing import Any, TypeVar

from tidings.core import accounts, broadcasts, custom_fields, forms, sequences, tags, webhooks
from tidings.core.broadcasts import Broadcast, Draft
from tidings.core.forms import Form, FormSettings
from tidings.core.sequences import Sequence, SequenceEmail
from tidings.declare import wanted
from tidings.declare.outcome import Known, Odd, Outcome, refuse_other_id, refuse_taken
from tidings.declare.reading import folded
from tidings.errors import NotFound
from tidings.store.tx import Tx

T = TypeVar("T")


def account(tx: Tx, want: wanted.Account) -> Outcome:
    """Give the account its name, sending address and plan."""
    held = accounts.get(tx)
    values = {key: getattr(want, key) for key in ("name", "primary_email", "plan")}
    if all(value is None or value == getattr(held, key) for key, value in values.items()):
        return "left"
    accounts.describe(tx, **values)
    return "changed"


def custom_field(tx: Tx, want: wanted.CustomField) -> Outcome:
    """Make a field, or give the field of this id its label."""
    there = custom_fields.all_fields(tx)
    named = next((one for one in there if folded(one.label) == folded(want.label)), None)
    held = next((one for one in there if one.id == want.id), None) or named
    if named is not None:
        refuse_other_id(want.id, named.id, f'the custom field "{want.label}"')
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and custom_fields.taken(tx, want.id))
        custom_fields.create(tx, [want.label], ids=[want.id] if want.id else None)
        return "made"
    if held.label == want.label:
        return "left"
    custom_fields.rename(tx, held.id, want.label)
    return "changed"


def tag(tx: Tx, want: wanted.Tag) -> Outcome:
    """Make a tag, or give the tag of this id its name."""
    there = tags.all_tags(tx)
    named = next((one for one in there.values() if folded(one.name) == folded(want.name)), None)
    if named is not None:
        refuse_other_id(want.id, named.id, f'the tag "{want.name}"')
    held = (there.get(want.id) if want.id else None) or named
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and tags.taken(tx, want.id))
        tags.create(tx, [want.name], ids=[want.id] if want.id else None)
        return "made"
    if held.name == want.name:
        return "left"
    tags.rename(tx, held.id, want.name)
    return "changed"


def form(tx: Tx, want: wanted.Form) -> Outcome:
    """Make a form, or change what the file says of the one that is there."""
    there = forms.all_forms(tx)
    held: Form | None
    if want.id:
        held = there.get(want.id)
    else:
        held = _only([one for one in there.values() if one.name == want.name], "name", "forms", want.name)
    settings = _form_settings(want, held, tx.now)
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and _form_taken(tx, want.id))
        forms.create(tx, settings, given_id=want.id)
        return "made"
    if settings == FormSettings(**_settings_of(held)):
        return "left"
    forms.update(tx, held.id, settings)
    return "changed"


def sequence(tx: Tx, want: wanted.Sequence) -> Outcome:
    """Make a sequence, or change what the file says of the one that is there, emails included."""
    there = sequences.all_sequences(tx)
    held: Sequence | None
    if want.id:
        held = there.get(want.id)
    else:
        same = [one for one in there.values() if one.name == want.name]
        held = _only(same, "name", "sequences", want.name)
    emails = [SequenceEmail(one.subject, one.html, one.delay) for one in want.emails or ()]
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and sequences.taken(tx, want.id))
        made = sequences.create(
            tx, want.name, hold=bool(want.hold), repeat=bool(want.repeat), given_id=want.id
        )
        sequences.set_emails(tx, made, emails)
        return "made"
    hold = held.at_end == "hold" if want.hold is None else want.hold
    repeat = held.entry == "repeat" if want.repeat is None else want.repeat
    same_manner = (held.name, held.at_end == "hold", held.entry == "repeat") == (want.name, hold, repeat)
    same_emails = want.emails is None or sequences.emails(tx, held.id) == emails
    if not same_manner:
        sequences.update(tx, held.id, name=want.name, hold=hold, repeat=repeat)
    if not same_emails:
        sequences.set_emails(tx, held.id, emails)
    return "left" if same_manner and same_emails else "changed"


def broadcast(tx: Tx, want: wanted.Broadcast) -> Outcome:
    """Write a broadcast, or change one that has not begun to be sent."""
    held = _broadcast(tx, want)
    sender = accounts.get(tx).primary_email
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and broadcasts.taken(tx, want.id))
        draft = Draft(subject=want.subject, content=want.html, send_at=want.send_at)
        status = "completed" if want.status == "completed" else None
        broadcasts.create(tx, draft, sender, given_id=want.id, status=status)
        return "made"
    content = held.content if want.html is None else want.html
    if held.status in ("sending", "completed"):
        if (held.subject, held.content) != (want.subject, content):
            raise Odd("subject", f"the broadcast {held.id} has been sent and cannot be changed")
        return "left"
    if want.status == "completed":
        raise Odd("status", f"the broadcast {held.id} is there and not sent: only a new one can be completed")
    send_at = held.send_at
    if want.send_at is not None or want.status == "draft":
        send_at = want.send_at
    if (held.subject, held.content, held.send_at) == (want.subject, content, send_at):
        return "left"
    kept = {name: getattr(held, name) for name in Draft.__struct_fields__ if name != "email_address"}
    draft = Draft(**{**kept, "subject": want.subject, "content": content, "send_at": send_at})
    broadcasts.update(tx, held.id, draft, sender)
    return "changed"


def webhook(tx: Tx, want: wanted.Webhook, known: Known) -> Outcome:
    """Make a webhook, or put another in the place of the one of this id."""
    event = want.event.rpartition(".")[2]
    subject, subject_id, value = _subject(want, known)
    there = webhooks.all_webhooks(tx)
    wish = (event, subject_id, value, want.target_url)
    for one in there:
        fits = one.id == want.id if want.id else True
        if fits and (one.event, one.subject_id, one.value, one.target_url) == wish:
            return "left"
    held = any(one.id == want.id for one in there)
    if held and want.id:
        webhooks.delete(tx, want.id)
    else:
        refuse_taken(want.id, taken=want.id is not None and webhooks.taken(tx, want.id))
    webhooks.create(
        tx, event, want.target_url, subject=subject, subject_id=subject_id, value=value, given_id=want.id
    )
    return "changed" if held else "made"


def _only(found: list[T], key: str, what: str, name: str) -> T | None:
    if len(found) > 1:
        raise Odd(key, f'more than one of the {what} is called "{name}"; give the id')
    return found[0] if found else None


def _form_settings(want: wanted.Form, held: Form | None, now: int) -> FormSettings:
    """Return what the form has, with what the file says of it."""
    values = _settings_of(held) if held else {}
    for key in ("name", "type", "format", "title", "description", "sign_up_button_text", "success_message"):
        value = getattr(want, key)
        if value is not None:
            values[key] = value
    values["title"] = values.get("title") or want.name
    values["description"] = values.get("description") or None
    if want.redirect_url is not None:
        values["redirect_url"] = want.redirect_url or None
    if want.confirm is not None:
        values["confirmation"] = "double" if want.confirm else "none"
    if want.archived is not None:
        since = values.get("archived_at") or now
        values["archived_at"] = since if want.archived else None
    return FormSettings(**values)


def _settings_of(held: Form) -> dict[str, Any]:
    return {key: getattr(held, key) for key in FormSettings.__struct_fields__}


def _form_taken(tx: Tx, form_id: int) -> bool:
    try:
        forms.account_of_id(tx, form_id)
    except NotFound:
        return False
    return True


def _broadcast(tx: Tx, want: wanted.Broadcast) -> Broadcast | None:
    if want.id is None:
        found = broadcasts.with_subject(tx, want.subject)
        return _only(found, "subject", "broadcasts", want.subject)
    try:
        return broadcasts.find(tx, want.id)
    except NotFound:
        return None


_KINDS = {"form_id": "form", "sequence_id": "sequence", "course_id": "sequence", "tag_id": "tag"}


def _subject(want: wanted.Webhook, known: Known) -> tuple[str | None, int | None, str | None]:
    """Return what the event needs: under which name, and the id or the text."""
    for key, kind in _KINDS.items():
        ref = getattr(want, key)
        if ref is not None:
            return key, known.id_of(kind, ref, key), None
    if want.product_id is not None:
        # A shop's product ids need not be numbers; those that are, are kept as numbers.
        plain = want.product_id.isascii() and want.product_id.isdigit() and len(want.product_id) < 19
        if plain and want.product_id == str(int(want.product_id)) and int(want.product_id) > 0:
            return "product_id", int(want.product_id), None
        return "product_id", None, want.product_id
    if want.initiator_value is not None:
        return "initiator_value", None, want.initiator_value
    return None, None, None
