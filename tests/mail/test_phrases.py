"""Our words in other languages: every one there, with the same places, and none that nobody says."""

import re
from pathlib import Path
from string import Formatter

import pytest

import tidings
from tidings.mail import layouts, phrases
from tidings.mail.phrases import CATALOGS, LANGUAGES, phrase, say

SOURCES = Path(tidings.__file__).parent
OTHERS = [one for one in LANGUAGES if one != "en"]
_SAID = re.compile(r'\bsay\("((?:[^"\\]|\\.)*)"')


def places(text: str) -> list[str]:
    return sorted(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def said_by_templates() -> set[str]:
    pages = (SOURCES / "web" / "public" / "templates").glob("*.html")
    return {found for page in pages for found in _SAID.findall(page.read_text())}


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalog_has_what_the_pages_say_with_the_same_places(language: str) -> None:
    catalog = CATALOGS[language]
    assert said_by_templates() - set(catalog) == set()
    assert set(catalog) == set(CATALOGS["de"])
    for english, words in catalog.items():
        assert places(words) == places(english), english
        assert words.strip() == words
        assert words
        assert "<" not in words


def test_no_catalog_has_what_nobody_says() -> None:
    code = "".join(one.read_text() for one in SOURCES.rglob("*.py"))
    pages = said_by_templates()
    assert [one for one in CATALOGS["de"] if one not in pages and one not in code] == []


def test_english_and_unknown_languages_say_the_sentence_itself() -> None:
    assert say("en", "Or {choose}. If you close this page, nothing changes.", choose="go") == (
        "Or go. If you close this page, nothing changes."
    )
    assert phrase("xx", "Saved.") == "Saved."
    assert phrase("de", "Never said by us") == "Never said by us"


def test_the_footers_know_the_same_languages() -> None:
    english = layouts.said("en")
    assert all((layouts.said(one) == english) == (one == "en") for one in phrases.LANGUAGES)
