"""A form for other sites: a script that inserts it, and a bare page for a frame.

Both addresses come from the API (`embed_js`, `embed_url`); the key in them is public and not needed.
"""

import json
from importlib import resources
from typing import Final

from tidings.core.forms import Form
from tidings.tokens import Links
from tidings.web.http import Reply
from tidings.web.public import form_page

_PLACE: Final = '"__FORM__"'
_SCRIPT: Final = (
    resources.files("tidings.web.public").joinpath("templates", "embed.js").read_text(encoding="utf-8")
)
_HEADERS: Final = (
    (b"cache-control", b"public, max-age=300"),
    (b"access-control-allow-origin", b"*"),
    # Pages that isolate themselves load nothing that does not offer itself.
    (b"cross-origin-resource-policy", b"cross-origin"),
    (b"x-content-type-options", b"nosniff"),
)


def script(form: Form, links: Links) -> Reply:
    """The script of a form; its type is that of RFC 9239, 6."""
    values = {
        "id": form.id,
        "action": links.form_page(form.uid),
        "title": form.title,
        "description": form_page.plain(form.description),
        "button": form.sign_up_button_text,
    }
    body = _SCRIPT.replace(_PLACE, literal(values), 1)
    return Reply(200, body.encode(), b"text/javascript; charset=utf-8", list(_HEADERS))


def literal(value: object) -> str:
    """Write a value as JavaScript that is also safe within HTML: ASCII only, no `<`, `>` or `&`."""
    text = json.dumps(value, ensure_ascii=True)
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
