"""What we say to readers in our own words, in the language of the account.

The English sentence is the key. A catalog that lacks one says it in English; `tests/mail/test_phrases.py`
sees to it that none lacks any, and that all places for values are the same.
"""

import json
from collections.abc import Mapping
from importlib import resources

# First parts of language tags (BCP 47). `layouts` knows the footers of the same.
LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pt")


def _load(language: str) -> Mapping[str, str]:
    if language == "en":
        return {}
    file = resources.files("tidings.mail").joinpath("catalogs", f"{language}.json")
    loaded: dict[str, str] = json.loads(file.read_text(encoding="utf-8"))
    return loaded


CATALOGS: Mapping[str, Mapping[str, str]] = {one: _load(one) for one in LANGUAGES}


def phrase(language: str, english: str) -> str:
    """Return a sentence in a language, with its places `{name}` as they are."""
    return CATALOGS.get(language, {}).get(english, english)


def say(language: str, english: str, **values: object) -> str:
    """Return a sentence in a language, its places filled in."""
    return phrase(language, english).format(**values)
