"""What a letter may name that differs for each reader, as pages offer it, and what such a page may load."""

from typing import Final

from tidings.core import custom_fields, snippets
from tidings.store.tx import Rx
from tidings.web.dashboard import pages

# The editor shows the images of a letter where they are.
POLICY: Final = pages.POLICY.replace("img-src 'self' data:", "img-src 'self' data: https:")

Groups = list[tuple[str, list[tuple[str, str]]]]

_LINKS: Final = (
    ("{{ unsubscribe_link }}", "Link to unsubscribe"),
    ("{{ subscriber_preferences_url }}", "Address of the preferences"),
)
_CONFIRMING: Final = (
    ("{{ confirmation_url }}", "Address that confirms"),
    ("{{ form.title }}", "What they signed up for"),
    ("{{ account.name }}", "Who you are"),
)


def of_letter(rx: Rx) -> Groups:
    """Return what a broadcast, or an email of a sequence or a rule, may name: (text, label) in groups."""
    named = [(f"{{{{ snippet.{name} }}}}", name) for name in sorted(snippets.all_snippets(rx))]
    return [_reader(rx), ("Links", list(_LINKS)), *([("Snippets", named)] if named else [])]


def of_confirmation(rx: Rx) -> Groups:
    """Return what the mail that asks for a confirmation may name."""
    return [_reader(rx), ("This mail", list(_CONFIRMING))]


def _reader(rx: Rx) -> tuple[str, list[tuple[str, str]]]:
    fields = [(f"{{{{ subscriber.{one.key} }}}}", one.label) for one in custom_fields.all_fields(rx)]
    return "The reader", [
        ('{{ subscriber.first_name | default: "friend" }}', "First name"),
        ("{{ subscriber.email_address }}", "Address"),
        *fields,
    ]
