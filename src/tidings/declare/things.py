"""Applying what an owner makes: the account, fields, tags, snippets, forms, sequences, webhooks."""

from typing import Any

from tidings.core import accounts, custom_fields, forms, sequences, snippets, tags, webhooks
from tidings.core.forms import Form, FormSettings
from tidings.core.sequences import Exclusions, Sequence, SequenceEmail
from tidings.declare import wanted
from tidings.declare.outcome import Known, Outcome, only, refuse_other_id, refuse_taken
from tidings.declare.reading import folded
from tidings.errors import NotFound
from tidings.store.tx import Tx


def account(tx: Tx, want: wanted.Account) -> Outcome:
    """Give the account its name and addresses, its plan, and what holds for its mail."""
    held = accounts.get(tx)
    values = {key: getattr(want, key) for key in ("name", "primary_email", "plan", "postal_address")}
    same = all(value is None or value == getattr(held, key) for key, value in values.items())
    if not same:
        accounts.describe(tx, **values)
    if want.time_zone is not None and want.time_zone != accounts.time_zone(tx):
        accounts.set_time_zone(tx, want.time_zone)
        same = False
    if want.language is not None and want.language != accounts.language(tx):
        accounts.set_language(tx, want.language)
        same = False
    if want.ambiguity is not None and want.ambiguity != accounts.ambiguity(tx):
        accounts.set_ambiguity(tx, want.ambiguity)
        same = False
    before = accounts.tracking(tx)
    opens = before[0] if want.track_opens is None else want.track_opens
    clicks = before[1] if want.track_clicks is None else want.track_clicks
    if (opens, clicks) != before:
        accounts.set_tracking(tx, opens=opens, clicks=clicks)
        same = False
    return "left" if same else "changed"


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
        [made] = tags.create(tx, [want.name], ids=[want.id] if want.id else None)
        if want.public:
            tags.set_public(tx, made.id, public=True)
        return "made"
    same = held.name == want.name
    if not same:
        tags.rename(tx, held.id, want.name)
    if want.public is not None and want.public != (held.id in tags.public_names(tx)):
        tags.set_public(tx, held.id, public=want.public)
        same = False
    return "left" if same else "changed"


def snippet(tx: Tx, want: wanted.Snippet) -> Outcome:
    """Make a snippet, or give the one of this name its content."""
    held = snippets.all_snippets(tx).get(want.name)
    if held is not None and held.content == want.content:
        return "left"
    snippets.put(tx, want.name, want.content)
    return "changed" if held else "made"


def form(tx: Tx, want: wanted.Form) -> Outcome:
    """Make a form, or change what the file says of the one that is there."""
    there = forms.all_forms(tx)
    held: Form | None
    if want.id:
        held = there.get(want.id)
    else:
        held = only([one for one in there.values() if one.name == want.name], "name", "forms", want.name)
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
        held = only(same, "name", "sequences", want.name)
    emails = [
        SequenceEmail(
            one.subject,
            one.html,
            one.delay,
            one.text,
            one.preheader,
            one.published,
            one.weekdays,
            one.hour,
        )
        for one in want.emails or ()
    ]
    if held is None:
        refuse_taken(want.id, taken=want.id is not None and sequences.taken(tx, want.id))
        made = sequences.create(
            tx, want.name, hold=bool(want.hold), repeat=bool(want.repeat), given_id=want.id
        )
        sequences.set_emails(tx, made, emails)
        _schedule(tx, sequences.find(tx, made), want)
        return "made"
    hold = held.at_end == "hold" if want.hold is None else want.hold
    repeat = held.entry == "repeat" if want.repeat is None else want.repeat
    same_manner = (held.name, held.at_end == "hold", held.entry == "repeat") == (want.name, hold, repeat)
    same_emails = want.emails is None or sequences.emails(tx, held.id) == emails
    if not same_manner:
        sequences.update(tx, held.id, name=want.name, hold=hold, repeat=repeat)
    if not same_emails:
        sequences.set_emails(tx, held.id, emails)
    same_schedule = _schedule(tx, held, want)
    return "left" if same_manner and same_emails and same_schedule else "changed"


def _schedule(tx: Tx, held: Sequence, want: wanted.Sequence) -> bool:
    """Give a sequence its hour, its zone, whom it passes over, and whether people may choose it or it rests.

    Returns whether all was so already.
    """
    hour = held.hour if want.hour is None else want.hour
    zone = want.time_zone or held.zone
    same = (hour, zone) == (held.hour, held.zone)
    if not same:
        sequences.set_schedule(tx, held.id, hour=hour, zone=zone)
    if want.public is not None and want.public != (held.id in sequences.public_names(tx)):
        sequences.set_public(tx, held.id, public=want.public)
        same = False
    if want.archived is not None and want.archived != (held.archived_at is not None):
        (sequences.archive if want.archived else sequences.restore)(tx, held.id)
        same = False
    if want.excluded_tags is None and want.excluded_forms is None:
        return same
    before, known = sequences.exclusions(tx, held.id), Known(tx)
    tag_ids, form_ids = before.tags, before.forms
    if want.excluded_tags is not None:
        tag_ids = known.ids("tag", want.excluded_tags, "excluded_tags")
    if want.excluded_forms is not None:
        form_ids = known.ids("form", want.excluded_forms, "excluded_forms")
    if Exclusions(tag_ids, form_ids) == before:
        return same
    sequences.set_exclusions(tx, held.id, Exclusions(tag_ids, form_ids))
    return False


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
