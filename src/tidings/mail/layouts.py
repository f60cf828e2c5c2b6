"""The frame around an author's words: three layouts, the preheader, and the footer that law asks for.

Tables carry the width because Outlook's engine knows no max-width; the width itself is a style, so
that a phone narrows it. Colours for the dark come by media query, with the word that beats a style
attribute, for what is ours and for links that are no buttons.

Selectors for an author's elements are as weak as can be, and come first, so that the author's win.
"""

import html
from collections.abc import Mapping
from dataclasses import dataclass

NAMES = ("text only", "classic", "modern")

_SANS = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_RESET = """\
body{margin:0;padding:0;width:100%;-webkit-text-size-adjust:100%;-ms-text-size-adjust:100%}
table.t{border-collapse:collapse;border-spacing:0}
img{border:0;max-width:100%;height:auto}
"""
_WORDS = """\
h1{margin:0 0 16px;font-size:28px;line-height:1.25}
h2{margin:28px 0 12px;font-size:22px;line-height:1.3}
h3{margin:24px 0 8px;font-size:18px;line-height:1.35}
p{margin:0 0 16px}
ul,ol{margin:0 0 16px;padding:0 0 0 26px}
li{margin:0 0 6px}
li p{margin:0}
blockquote{margin:0 0 16px;padding:0 0 0 16px;border-left:3px solid #d1d5db}
a.button{display:inline-block;padding:12px 22px;border-radius:6px;background-color:#1d4ed8;color:#ffffff;\
font-weight:600;text-decoration:none}
"""
_DARK = """\
@media (prefers-color-scheme:dark){{
body,.t-page{{background-color:{page}!important}}
td.t-card{{background-color:{card}!important;border-color:#3f3f46!important}}
div.t-text{{color:#e4e4e7!important}}
div.t-text a:not([style*="background"]){{color:#93c5fd!important}}
div.t-foot,div.t-foot a{{color:#a1a1aa!important}}
}}
@media (max-width:620px){{.t-pad{{padding-left:18px!important;padding-right:18px!important}}}}
"""
_STYLES: Mapping[str, str] = {
    "text only": f"""\
body,.t-page{{background-color:#ffffff}}
.t-text{{font-family:{_SANS};font-size:16px;line-height:1.5;color:#18181b;text-align:left}}
a{{color:#1d4ed8}}
.t-foot{{font-family:{_SANS};font-size:13px;line-height:1.5;color:#6b7280;text-align:left}}
.t-foot a{{color:#6b7280}}
.t-pad{{padding:16px 16px 8px}}
""",
    "classic": f"""\
body,.t-page{{background-color:#ffffff}}
.t-text{{font-family:Georgia,'Times New Roman',serif;font-size:18px;line-height:1.6;color:#1f2937}}
a{{color:#1d4ed8}}
.t-foot{{font-family:{_SANS};font-size:13px;line-height:1.5;color:#6b7280;text-align:center}}
.t-foot a{{color:#6b7280}}
.t-pad{{padding:32px 24px 16px}}
""",
    "modern": f"""\
body,.t-page{{background-color:#f3f4f6}}
.t-card{{background-color:#ffffff;border:1px solid #e5e7eb;border-radius:10px}}
.t-text{{font-family:{_SANS};font-size:16px;line-height:1.6;color:#1f2937}}
a{{color:#1d4ed8}}
.t-foot{{font-family:{_SANS};font-size:13px;line-height:1.5;color:#6b7280;text-align:center}}
.t-foot a{{color:#6b7280}}
.t-pad{{padding:32px 36px 24px}}
""",
}
_DARK_COLOURS: Mapping[str, Mapping[str, str]] = {
    "text only": {"page": "#18181b", "card": "#18181b"},
    "classic": {"page": "#18181b", "card": "#18181b"},
    "modern": {"page": "#101012", "card": "#1f1f23"},
}
_PAGE = """\
<!DOCTYPE html>
<html lang="{lang}" dir="auto">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<meta name="format-detection" content="telephone=no, date=no, address=no, email=no">
<meta name="x-apple-disable-message-reformatting">
<title>{title}</title>
<style>:root{{color-scheme:light dark;supported-color-schemes:light dark}}
{styles}</style>
<style>{dark}</style>{author}
</head>
<body>{before}
<table class="t t-page" role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0">
<tr><td align="{align}">
<table class="t" role="presentation" width="600" cellpadding="0" cellspacing="0" border="0" \
style="width:100%;max-width:600px">
<tr><td class="t-card t-pad" align="left"><div class="t-text">
{body}
</div></td></tr>
{footer}</table>
</td></tr>
</table>{after}
</body>
</html>
"""
_FOOT = '<tr><td class="t-pad" style="padding-top:8px"><div class="t-foot">{}</div></td></tr>\n'
# Fills the preview line, so that the letter's first words do not follow the preheader there: a
# joiner that shows nothing and a space that does not collapse, as often as the longest preview has letters.
_FILLING = "&#847;&zwnj;&nbsp;" * 40
_HIDDEN = (
    '<div style="display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;font-size:1px;'
    'line-height:1px;color:transparent;mso-hide:all">{}</div>'
)

# Unsubscribe, and the page of preferences, by the first part of a language tag (BCP 47).
_SAID: Mapping[str, tuple[str, str]] = {
    "de": ("Abmelden", "Einstellungen ändern"),
    "en": ("Unsubscribe", "Update your preferences"),
    "es": ("Cancelar la suscripción", "Cambiar tus preferencias"),
    "fr": ("Se désabonner", "Modifier vos préférences"),
    "it": ("Annulla l’iscrizione", "Modifica le preferenze"),
    "nl": ("Uitschrijven", "Voorkeuren wijzigen"),
    "pt": ("Cancelar a inscrição", "Alterar as preferências"),
}


@dataclass(frozen=True, slots=True)
class Page:
    """What goes into a layout, all of it HTML: the author's body and styles, and what surrounds it."""

    lang: str
    title: str
    body: str
    author_styles: str
    footer: str
    before: str
    after: str


def name_of(layout: str) -> str:
    """Give the layout that is meant, whatever its case; text only for one that nobody knows."""
    wanted = layout.strip().lower()
    return wanted if wanted in NAMES else NAMES[0]


def page(layout: str, parts: Page) -> str:
    """Write the whole document."""
    name = name_of(layout)
    plain = name == NAMES[0]
    return _PAGE.format(
        lang=html.escape(parts.lang),
        title=parts.title,
        styles=_RESET + _STYLES[name] + _WORDS,
        dark=_DARK.format_map(_DARK_COLOURS[name]),
        author=f"\n<style>{parts.author_styles}</style>" if parts.author_styles.strip() else "",
        before=parts.before,
        align="left" if plain else "center",
        body=parts.body,
        footer=_FOOT.format(parts.footer) if parts.footer else "",
        after=parts.after,
    )


def preheader(words: str) -> str:
    """Hide the words that a list of mails shows behind the subject; `words` is HTML."""
    return _HIDDEN.format(words + _FILLING) if words.strip() else ""


def said(lang: str) -> tuple[str, str]:
    """Give the words for leaving and for the preferences in a language, or in English."""
    return _SAID.get(lang.lower().partition("-")[0], _SAID["en"])


def footer(lang: str, name: str, address: str, leave_url: str, preferences_url: str) -> str:
    """Write the footer as HTML; an empty address or `leave_url` is left out."""
    leave, preferences = (html.escape(word) for word in said(lang))
    lines = []
    if address:
        lines.append("<br>".join(html.escape(line) for line in [name, *address.splitlines()] if line))
    if leave_url:
        lines.append(
            f'<a href="{html.escape(leave_url)}">{leave}</a> &middot; '
            f'<a href="{html.escape(preferences_url)}">{preferences}</a>'
        )
    return "".join(f'<p style="margin:0 0 12px">{line}</p>' for line in lines)


def text_footer(lang: str, name: str, address: str, leave_url: str, preferences_url: str) -> str:
    """Write the footer as text; an empty address or `leave_url` is left out."""
    leave, preferences = said(lang)
    lines = []
    if address:
        lines += ["", *(line for line in [name, *address.splitlines()] if line)]
    if leave_url:
        lines += ["", f"{leave}: {leave_url}", f"{preferences}: {preferences_url}"]
    return "\n".join(["", "--", *lines[1:], ""]) if lines else ""
