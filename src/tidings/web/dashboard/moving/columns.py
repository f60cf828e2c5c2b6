"""What a column of a file may mean, as a page offers it, and what was chosen there as wishes."""

from collections.abc import Mapping, Sequence
from typing import Final

from tidings.core.custom_fields import CustomField
from tidings.core.importing import Wishes
from tidings.core.uploads import Seen
from tidings.web.dashboard.given import Given

NOTHING: Final = "-"
FIELD: Final = "field:"
ROLES: Final = (
    ("email", "Email address"),
    ("first_name", "First name"),
    ("last_name", "Last name"),
    ("full_name", "Full name"),
    ("state", "State"),
    ("tags", "Tags"),
    ("forms", "Forms"),
    ("sequences", "Sequences"),
    ("created_at", "Since when"),
    ("confirmed_at", "When they confirmed"),
    ("cancelled_at", "When they left"),
    ("bounced_at", "When they bounced"),
    ("stated_at", "When the state began"),
    ("wants", "Wants mail (yes or no)"),
    ("address", "IP address of the consent"),
    ("source", "Where they came from"),
    ("values", "Values, as a JSON object"),
)
STATES: Final = (
    ("", "As the file says, otherwise active"),
    ("active", "Everybody is active"),
    ("inactive", "Everybody is inactive: they get nothing until they confirm"),
    ("cancelled", "Everybody has unsubscribed"),
    ("bounced", "Everybody has bounced"),
)
TAGS_MAX: Final = 20


class Choice:
    """One column of a page: its name and number, what it may mean, and what it is taken for."""

    def __init__(self, number: int, name: str, chosen: str, fields: Sequence[CustomField]) -> None:
        self.number = number
        self.name = name or f"Column {number}"
        self.chosen = chosen or NOTHING
        label = chosen.removeprefix(FIELD)
        if chosen.startswith(FIELD):
            ours = next((one for one in fields if label.casefold() in (one.label.casefold(), one.key)), None)
            self.chosen = FIELD + (ours.label if ours else label)
        known = {FIELD + one.label for one in fields}
        # A field that the account has not, under the name that the file has for it.
        self.fresh = {one: one.removeprefix(FIELD) for one in (self.chosen, FIELD + name)
                      if one.startswith(FIELD) and one != FIELD and one not in known}  # fmt: skip


def choices(seen: Seen, fields: Sequence[CustomField], given: Given) -> list[Choice]:
    """Return what is offered for each column; what was posted comes before what was recognised."""
    return [
        Choice(number, column.name, given.value(f"c{number}", column.meaning), fields)
        for number, column in enumerate(seen.columns, 1)
    ]


def wishes(given: Given, seen: Seen, forms: Mapping[int, object]) -> Wishes:
    """Return what was chosen; what is wrong is noted beside its field."""
    mapped = {}
    for number in range(1, len(seen.columns) + 1):
        meaning = given.text(f"c{number}", "The column")
        mapped[f"#{number}"] = meaning or NOTHING
    if "email" not in mapped.values():
        given.wrong("columns", "Say which column holds the email address.")
    tags = list(dict.fromkeys(one.strip() for one in given.text("tags", "Tags").split(",") if one.strip()))
    if len(tags) > TAGS_MAX:
        given.wrong("tags", f"At most {TAGS_MAX} tags can be put on everybody.")
    also = [("tag", one) for one in tags]
    form = given.text("form")
    if form and not (form.isascii() and form.isdigit() and len(form) < 20 and int(form) in forms):
        given.wrong("form", "This form is not there any more.")
    elif form:
        also.append(("form", f"#{form}"))
    return Wishes(
        mapped=mapped,
        state=given.choice("state", [value for value, _ in STATES]),
        also=tuple(also),
        create_fields=given.flag("fields"),
        aloud=given.flag("aloud"),
    )


def posted(wishes: Wishes) -> Given:
    """Return wishes as the form would have posted them, to be shown again."""
    if not wishes.mapped:
        return Given()
    values: dict[str, object] = {f"c{at.removeprefix('#')}": one for at, one in wishes.mapped.items()}
    values["tags"] = ", ".join(name for kind, name in wishes.also if kind == "tag")
    values["form"] = next((name.removeprefix("#") for kind, name in wishes.also if kind == "form"), "")
    values["state"] = wishes.state
    values["fields"] = "1" if wishes.create_fields else ""
    values["aloud"] = "1" if wishes.aloud else ""
    return Given(values)
