"""What somebody asked an import to do."""

import msgspec


class Wishes(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody asked for. `mapped` is column: role or field, `state` what everybody is.

    `also` is what everybody joins besides, (kind, name); `create_things` makes forms and sequences that are
    missing; `aloud` has webhooks and rules told.
    """

    mapped: dict[str, str] = {}
    state: str = ""
    also: tuple[tuple[str, str], ...] = ()
    create_fields: bool = False
    create_things: bool = False
    aloud: bool = False
