"""Sequences: emails in order to each who joins.

Owns `sequences`, `sequence_emails`, `sequence_exclusions` and `sequence_numbers`.
`definitions` is what a sequence is, `words` its emails as they are read, `editing` how they
are written, `order` the arithmetic of their ranks, `numbers` what became of them. Who is
inside is known to `core/entries`, and moved on by `core/advance`. Invariant: an email's id
and what its row says of the past outlive every edit.
"""

from tidings.core.sequences.definitions import (
    ZONES,
    Exclusions,
    Sequence,
    all_sequences,
    any_to_replan,
    archive,
    create,
    exclusions,
    find,
    next_to_replan,
    passing_over,
    repeats,
    replan,
    replanned,
    restore,
    set_exclusions,
    set_schedule,
    take_replan,
    taken,
    update,
)
from tidings.core.sequences.editing import (
    add_email,
    change_email,
    move_email,
    publish,
    remove_email,
    set_emails,
    unpublish,
)
from tidings.core.sequences.public import public_names, set_public
from tidings.core.sequences.words import (
    SequenceEmail,
    Step,
    Words,
    Written,
    email,
    emails,
    emails_by_id,
    of_emails,
    steps,
    written,
)

__all__ = [
    "ZONES",
    "Exclusions",
    "Sequence",
    "SequenceEmail",
    "Step",
    "Words",
    "Written",
    "add_email",
    "all_sequences",
    "any_to_replan",
    "archive",
    "change_email",
    "create",
    "email",
    "emails",
    "emails_by_id",
    "exclusions",
    "find",
    "move_email",
    "next_to_replan",
    "of_emails",
    "passing_over",
    "public_names",
    "publish",
    "remove_email",
    "repeats",
    "replan",
    "replanned",
    "restore",
    "set_emails",
    "set_exclusions",
    "set_public",
    "set_schedule",
    "steps",
    "take_replan",
    "taken",
    "unpublish",
    "update",
    "written",
]
