"""What rules are made of: one trigger, conditions, actions. Plain values, kept as JSON.

Journeys with waits and branches are to be made of the same three parts: nothing here knows what
holds them together.
"""

import msgspec

# An hour at which people are awake, in the account's time zone.
HOUR = 9


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    """What starts a rule; `kind` is one of `triggers.NEEDS`.

    `ref_id` is a form, sequence, tag or custom field, `value` a URL, a product's pid, or the value
    that a field must become (None: any). `date_arrives`: `days` after the date (negative: before),
    at `hour`, every year with `yearly`. `goes_quiet`: after `days` without a sign of life.
    """

    kind: str
    ref_id: int | None = None
    value: str | None = None
    days: int = 0
    hour: int = HOUR
    yearly: bool = False


class Condition(msgspec.Struct, frozen=True, omit_defaults=True):
    """What must hold for somebody; `kind` is one of `conditions.KINDS`.

    `ref_id` is a tag, form, sequence or custom field. For a field, `how` is equals, contains or
    set. `value` is that of the field, a state, or a pid (None: anything was bought).
    """

    kind: str
    ref_id: int | None = None
    value: str | None = None
    how: str = ""
    negated: bool = False


class Action(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is done for somebody; `kind` is one of `actions.KINDS`.

    `ref_id` is a tag, form, sequence or custom field, for `post` the webhook that was made for it.
    `value` is that of the field (None clears it) or the URL. `subject` and `text` are those of an
    email or of a note to the owner, `html` and `preheader` those of an email.
    """

    kind: str
    ref_id: int | None = None
    value: str | None = None
    subject: str = ""
    html: str = ""
    text: str | None = None
    preheader: str = ""


class Wish(msgspec.Struct, frozen=True):
    """A rule as its owner wants it; all conditions must hold, the actions are done in order."""

    name: str
    trigger: Trigger
    conditions: tuple[Condition, ...] = ()
    actions: tuple[Action, ...] = ()


class Rule(msgspec.Struct, frozen=True):
    """A rule as it is kept; `enabled_at` (epoch ms) is since when it is on, None: it is off."""

    id: int
    name: str
    trigger: Trigger
    conditions: tuple[Condition, ...]
    actions: tuple[Action, ...]
    enabled_at: int | None

    @property
    def wish(self) -> Wish:
        """The rule as its owner wanted it: without what was made for it."""
        actions = (
            msgspec.structs.replace(one, ref_id=None) if one.kind == "post" else one for one in self.actions
        )
        return Wish(self.name, self.trigger, self.conditions, tuple(actions))


class Shown(msgspec.Struct, frozen=True):
    """A rule with what became of it: how often it ran, when last, and what is wrong with it."""

    rule: Rule
    ran: int
    last_ran_at: int | None
    problem: str | None
    created_at: int
    updated_at: int
