"""Email addresses: what is accepted, and the three spellings the product needs of one.

An address has the spelling it is delivered to (`email`), the spelling that decides whether two are
the same person (`key`), and the spelling that decides whether two reach the same mailbox
(`mailbox`). Only the first is ever mailed: folding more would deliver to somebody else.
"""

import re
import unicodedata

import email_validator
import msgspec

# RFC 5321 4.5.3.1.1 and 4.5.3.1.3 (a path of 256 octets less its angle brackets), counted in UTF-8.
LOCAL_OCTETS_MAX = 64
ADDRESS_OCTETS_MAX = 254
DOMAIN_OCTETS_MAX = 253

_ATEXT = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# Atomic groups keep the match linear; 64 and 253 are the octet limits above, ASCII being one each.
_PLAIN = re.compile(
    rf"(?=[^@]{{1,64}}@[^@]{{1,253}}\Z)((?>{_ATEXT}+)(?:\.(?>{_ATEXT}+))*)"
    rf"@((?:(?>{_LABEL})\.)+[A-Za-z](?:[A-Za-z0-9-]{{0,61}}[A-Za-z0-9])?)\Z"
)
# Spaces, controls, line and paragraph separators, surrogates, and what RFC 5322 3.2.3 calls specials.
_FORBIDDEN = re.compile('[\\x00-\\x20\\x7f-\\xa0\\u2028\\u2029\\ud800-\\udfff()<>\\[\\]:;,\\\\"]')
# Signs that look like the two separators of an address, or are mapped to them by UTS 46 and NFKC.
_LOOKALIKES = re.compile("[\\uff20\\ufe6b\\u3002\\uff0e\\uff61\\ufe52\\u2024\\u2025\\u2026]")
_TRIMMED = " \t\r\n"
_GMAIL = frozenset({"gmail.com", "googlemail.com"})

# The library refuses names that are not on the public Internet. Syntax alone matters here: people
# test with example.test, and run mail on host.local. The list is the library's documented setting.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class Address(msgspec.Struct, frozen=True, gc=False):
    """A checked address.

    `email` is as the user gave it, trimmed and NFC. `key` is casefolded with the domain as A-labels
    and decides uniqueness. `mailbox` also loses the plus tag, and Gmail's dots: for rate caps only.
    """

    email: str
    key: str
    mailbox: str


def parse(raw: str) -> Address:
    """Check an address (RFC 5321 4.1.2, RFC 6531 3.3); raises `ValueError` with a plain reason.

    Quoted local parts and address literals are refused: nobody signs up with one.
    """
    email = raw.strip(_TRIMMED)
    if len(email) > ADDRESS_OCTETS_MAX:
        raise ValueError("the address is longer than 254 octets")
    # A domain with "--" may hold an A-label, whose spelling the slow path brings to one form.
    plain = _PLAIN.match(email)
    if plain is None:
        return _parse_any(email)
    # ASCII, where folding is lower case.
    key = email.lower()
    local, _, domain = key.partition("@")
    if "--" in domain:
        return _parse_any(email)
    if "+" not in local and domain not in _GMAIL:
        return Address(email, key, key)
    return _folded(email, local, domain)


def with_ascii_domain(email: str) -> str:
    """Give the spelling for the wire: the local part as it is, the domain as A-labels (RFC 5891).

    Raises `ValueError` as `parse` does. What remains non-ASCII needs SMTPUTF8.
    """
    address = parse(email)
    if address.email.isascii():
        return address.email
    return address.email.rpartition("@")[0] + "@" + address.key.rpartition("@")[2]


def _folded(email: str, local: str, domain: str) -> Address:
    """Derive key and mailbox from a casefolded local part and a lower-case ASCII domain."""
    key = local + "@" + domain
    if "+" not in local and domain not in _GMAIL:
        return Address(email, key, key)
    # "+tag@" alone is somebody's whole local part.
    base = local.partition("+")[0] or local
    if domain in _GMAIL:
        return Address(email, key, (base.replace(".", "") or base) + "@gmail.com")
    return Address(email, key, base + "@" + domain)


def _parse_any(raw: str) -> Address:
    """Check what the fast path does not know: IDN, UTF-8 local parts, and everything wrong."""
    forbidden = _FORBIDDEN.search(raw)
    if forbidden is not None:
        raise ValueError(f"the address holds a character that is not allowed: U+{ord(forbidden[0]):04X}")
    # Normalised before any check, so that nothing turns into a separator after it.
    email = unicodedata.normalize("NFC", raw)
    if _LOOKALIKES.search(email):
        raise ValueError("the address holds a sign that only looks like @ or a dot")
    local, at, domain = email.partition("@")
    if not at or not local or not domain or "@" in domain:
        raise ValueError("an address is one name, one @ and one domain")
    if len(local.encode()) > LOCAL_OCTETS_MAX:
        raise ValueError("the part before the @ is longer than 64 octets")
    if len(email.encode()) > ADDRESS_OCTETS_MAX:
        raise ValueError("the address is longer than 254 octets")
    try:
        checked = email_validator.validate_email(
            email, check_deliverability=False, allow_smtputf8=True, globally_deliverable=False
        )
    except ValueError as refusal:
        raise ValueError(str(refusal).rstrip(".")) from None
    ascii_domain = checked.ascii_domain
    _check_domain(ascii_domain)
    if len(local.encode()) + 1 + len(ascii_domain) > ADDRESS_OCTETS_MAX:
        raise ValueError("the address is longer than 254 octets")
    return _folded(email, unicodedata.normalize("NFC", local.casefold()), ascii_domain)


def _check_domain(ascii_domain: str) -> None:
    """Refuse one-label domains and numeric top-level labels, which would be IPv4 addresses."""
    if "." not in ascii_domain:
        raise ValueError("the domain has no dot")
    if not ascii_domain.rpartition(".")[2][:1].isalpha():
        raise ValueError("the domain does not end in a top-level name")
    if len(ascii_domain) > DOMAIN_OCTETS_MAX:
        raise ValueError("the domain is longer than 253 octets")
