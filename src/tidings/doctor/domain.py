"""What a sending domain says in the DNS: SPF (RFC 7208), DKIM (RFC 6376), DMARC (RFC 9989)."""

import base64
import binascii
import re
from collections.abc import Callable, Iterator

import dns.exception
import dns.name
import dns.resolver
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tidings.doctor.finding import Finding

# A domain name to its TXT records; an empty list when there are none.
Lookup = Callable[[str], list[str]]

# Kept out of the DNS on purpose (RFC 2606, RFC 6761).
_EXAMPLES = re.compile(r"(?:.+\.)?(?:example(?:\.com|\.net|\.org)?|test|invalid|localhost)", re.IGNORECASE)
LIFETIME_S = 5.0
# RFC 8301 3.2: verifiers must not believe less than 1,024 bits, signers should use 2,048.
RSA_BITS_MIN, RSA_BITS_GOOD = 1_024, 2_048
# Longer names are shortened to so many labels at the first step of the tree walk (RFC 9989).
WALK_LABELS = 7
_POLICIES = ("none", "quarantine", "reject")
_SELECTOR = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


class CannotAsk(Exception):
    """The DNS gives no answer, neither yes nor no; the text says why."""


def resolver(lifetime_s: float = LIFETIME_S) -> Lookup:
    """Return a look-up by the machine's own resolver that gives up after so many seconds."""
    try:
        asking = dns.resolver.Resolver()
    except dns.resolver.NoResolverConfiguration:
        return _no_resolver
    asking.lifetime = lifetime_s

    def lookup(name: str) -> list[str]:
        try:
            answer = asking.resolve(name, "TXT")
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.Timeout, dns.resolver.NoNameservers) as problem:
            raise CannotAsk(f"the DNS does not answer for {name}") from problem
        except (dns.exception.DNSException, OSError) as problem:
            raise CannotAsk(f"the DNS cannot be asked for {name}") from problem
        # One record may come in several strings, which belong together (RFC 7208 3.3).
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]

    return lookup


def check(domain: str, selector: str | None, lookup: Lookup) -> list[Finding]:
    """Return what is to be said of a domain that mail is sent from."""
    if _EXAMPLES.fullmatch(domain):
        return [Finding("ok", domain, "example domain, not checked")]
    checks = [spf, dmarc]
    findings = []
    for one in checks:
        try:
            findings.append(one(domain, lookup))
        except CannotAsk as problem:
            findings.append(Finding("warn", f"{one.__name__.upper()} of {domain}", str(problem), "try again"))
    if selector is None:
        return findings
    try:
        findings.append(dkim(domain, selector, lookup))
    except CannotAsk as problem:
        findings.append(Finding("warn", f"DKIM of {domain}", str(problem), "try again"))
    return findings


def spf(domain: str, lookup: Lookup) -> Finding:
    """Look at the SPF record (RFC 7208 4.5: exactly one)."""
    what = f"SPF of {domain}"
    found = [one for one in lookup(domain) if one.lower() == "v=spf1" or one.lower().startswith("v=spf1 ")]
    if not found:
        to_do = f'add the TXT record "v=spf1 include:YOUR-PROVIDER ~all" to {domain}'
        return Finding("fail", what, "no record", to_do)
    if len(found) > 1:
        return Finding(
            "fail", what, f"{len(found)} records, so none counts", "keep one, with all senders in it"
        )
    terms = found[0].lower().split()[1:]
    last = next((one for one in terms if one.lstrip("+-~?") == "all"), None)
    if last in ("all", "+all"):
        return Finding("fail", what, "everybody may send (+all)", "end the record with ~all or -all")
    if last == "?all" or (last is None and not any(one.startswith("redirect=") for one in terms)):
        return Finding("warn", what, "says nothing of other senders", "end the record with ~all or -all")
    return Finding("ok", what, found[0])


def dkim(domain: str, selector: str, lookup: Lookup) -> Finding:
    """Look at the key of a selector (RFC 6376 3.6.1)."""
    what = f"DKIM of {domain}"
    if not _SELECTOR.fullmatch(selector):
        return Finding("fail", what, "the selector is not a name", "give it as in SELECTOR._domainkey")
    name = f"{selector}._domainkey.{domain}"
    found = [tags for tags in map(_tags, lookup(name)) if tags.get("v", "DKIM1") == "DKIM1" and "p" in tags]
    if not found:
        return Finding("fail", what, f"no key at {name}", "publish the TXT record that your provider gives")
    if len(found) > 1:
        return Finding("fail", what, f"{len(found)} keys at {name}", "keep one")
    return _key(what, found[0])


def published(domain: str, selector: str, record: str, lookup: Lookup) -> Finding:
    """Look whether the record of a key that signs is in the DNS, and is the one of this key.

    `record` is the TXT record as a zone file has it: quoted strings.
    """
    what = f"DKIM key {selector} of {domain}"
    if _EXAMPLES.fullmatch(domain):
        return Finding("ok", what, "example domain, not checked")
    own = _tags(record.replace('" "', "").strip('"')).get("p", "")
    name = f"{selector}._domainkey.{domain}"
    try:
        found = [tags for tags in map(_tags, lookup(name)) if "p" in tags]
    except CannotAsk as problem:
        return Finding("warn", what, str(problem), "try again")
    if not found:
        to_do = "mail is signed and cannot be checked; publish what `tidings dkim list` prints"
        return Finding("fail", what, f"no record at {name}", to_do)
    if len(found) > 1:
        return Finding("fail", what, f"{len(found)} records at {name}", "keep one")
    if re.sub(r"\s", "", found[0]["p"]) != own:
        to_do = "publish what `tidings dkim list` prints"
        return Finding("fail", what, f"the record at {name} is of another key", to_do)
    return _key(what, found[0])


def dmarc(domain: str, lookup: Lookup) -> Finding:
    """Look at the policy that counts for a domain, by the tree walk (RFC 9989)."""
    what = f"DMARC of {domain}"
    records = dict(_walk(domain, lookup))
    own = records.get(domain)
    if own is not None:
        return _policy(what, own, _p(own), "")
    organisation = _organisation(domain, records)
    where = organisation if organisation in records else organisation.partition(".")[2]
    if where not in records:
        to_do = f'add the TXT record "v=DMARC1; p=none; rua=mailto:YOU" to _dmarc.{domain}'
        return Finding("fail", what, "no record", to_do)
    tags = records[where]
    inherited = tags.get("sp", "").lower()
    return _policy(what, tags, inherited if inherited in _POLICIES else _p(tags), f" from {where}")


def _no_resolver(_: str) -> list[str]:
    raise CannotAsk("this machine has no DNS resolver configured")


def _key(what: str, tags: dict[str, str]) -> Finding:
    if not tags["p"]:
        return Finding("fail", what, "the key is revoked", "sign with another selector")
    kind = tags.get("k", "rsa").lower()
    try:
        raw = base64.b64decode(re.sub(r"\s", "", tags["p"]), validate=True)
        if kind == "ed25519":
            fits = len(raw) == 32
            return Finding("ok", what, "an Ed25519 key") if fits else _unreadable(what)
        key = serialization.load_der_public_key(raw)
    except (binascii.Error, ValueError, UnsupportedAlgorithm):
        return _unreadable(what)
    if not isinstance(key, rsa.RSAPublicKey):
        return _unreadable(what)
    said = f"an RSA key of {key.key_size} bits"
    if key.key_size < RSA_BITS_MIN:
        return Finding("fail", what, said, f"nobody believes it; use {RSA_BITS_GOOD} bits")
    if key.key_size < RSA_BITS_GOOD:
        return Finding("warn", what, said, f"use {RSA_BITS_GOOD} bits")
    if "y" in tags.get("t", "").lower().split(":"):
        return Finding("warn", what, f"{said}, marked as a test (t=y)", "remove t=y")
    return Finding("ok", what, said)


def _unreadable(what: str) -> Finding:
    return Finding("fail", what, "the key cannot be read", "publish the TXT record that your provider gives")


def _policy(what: str, tags: dict[str, str], policy: str, source: str) -> Finding:
    said = f"p={policy}{source}"
    if tags.get("t", "").lower() == "y":
        return Finding(
            "warn", what, f"{said}, marked as a test (t=y)", "remove t=y once the reports are fine"
        )
    if "rua" not in tags:
        return Finding("ok", what, said, "add rua=mailto:YOU to get reports")
    return Finding("ok", what, said)


def _walk(domain: str, lookup: Lookup) -> Iterator[tuple[str, dict[str, str]]]:
    """Give the valid records on the way up from a domain; psd=y or psd=n ends the walk."""
    labels = domain.split(".")
    while labels:
        name = ".".join(labels)
        found = [tags for tags in map(_tags, lookup(f"_dmarc.{name}")) if _is_policy(tags)]
        # Several are as good as none.
        if len(found) == 1:
            yield name, found[0]
            if found[0].get("psd", "").lower() in ("y", "n"):
                return
        labels = labels[1:] if len(labels) <= WALK_LABELS else labels[-WALK_LABELS:]


def _organisation(domain: str, records: dict[str, dict[str, str]]) -> str:
    """Return the organisational domain: where psd=n, one below psd=y, else the shortest with a record."""
    for name, tags in records.items():
        psd = tags.get("psd", "").lower()
        if psd == "n":
            return name
        if psd == "y" and name != domain:
            below = domain.removesuffix("." + name).rpartition(".")[2]
            return f"{below}.{name}"
    return min(records, key=lambda name: name.count("."), default=domain)


def _tags(record: str) -> dict[str, str]:
    """Return the tags of a record such as `v=DMARC1; p=none`; the first of a name counts."""
    tags: dict[str, str] = {}
    for part in record.split(";"):
        name, equals, value = part.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    return tags


def _is_policy(tags: dict[str, str]) -> bool:
    """A DMARC record begins with its version; an unknown policy needs an address for reports beside it."""
    first = next(iter(tags.items()), ("", ""))
    return first == ("v", "DMARC1") and (tags.get("p", "none").lower() in _POLICIES or "rua" in tags)


def _p(tags: dict[str, str]) -> str:
    policy = tags.get("p", "").lower()
    return policy if policy in _POLICIES else "none"
