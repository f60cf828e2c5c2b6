"""What a refusal says about whom: the mailbox, the message or the provider.

Only proof about the mailbox may touch the subscriber, so whatever leaves room for doubt is less:

mailbox        the address does not exist: suppress it
mailbox-full   it exists and takes nothing now
soft           refused for good, and nobody said why
policy         the message, its sender or our standing was refused, not the address
temporary      4xx: try again
relay          the provider refuses us: log-in, relaying, protocol, its own state

The enhanced code decides (RFC 3463, RFC 5248 and the IANA registry); where it is missing or says too
little, the words do, as the big providers document them; last the basic code (RFC 5321 4.2.3).
"""

import re
from typing import Literal

Verdict = Literal["mailbox", "mailbox-full", "soft", "policy", "temporary", "relay"]

# Most servers begin with the enhanced code; qmail and IronPort hide it behind a "#".
_ENHANCED = re.compile(r"\s*([245])\.(\d{1,3})\.(\d{1,3})(?![.\d])")
_HIDDEN = re.compile(r"#([245])\.(\d{1,3})\.(\d{1,3})(?![.\d])")
# An address that a reply repeats may hold any word, so does a link: both are taken out first.
_QUOTED = re.compile(r"<[^<>]{0,320}>|\S{0,320}@\S{0,320}|https?://\S{0,500}")
TEXT_MAX = 1_000

# By subject and detail of 5.x.y; a subject alone (None) is the fallback for its details.
_CODES: dict[tuple[int, int | None], Verdict] = {
    (1, 1): "mailbox",
    (1, 2): "mailbox",
    (1, 3): "mailbox",
    (1, 6): "mailbox",
    (1, 10): "mailbox",
    (1, 7): "policy",
    (1, 8): "policy",
    (2, 2): "mailbox-full",
    (2, 3): "policy",
    (3, 4): "policy",
    (3, None): "relay",
    (5, None): "relay",
    (6, None): "policy",
    (7, 8): "relay",
    (7, 9): "relay",
    (7, 11): "relay",
    (7, 12): "relay",
    (7, 13): "relay",
    (7, 14): "relay",
    (7, None): "policy",
}
# Codes that stand for too much: Outlook says 5.5.0 and Sendmail 5.3.0 of an unknown mailbox.
_VAGUE = {(1, 0), (2, 0), (2, 1), (3, 0), (4, 1), (4, 4), (5, 0), (0, 0)}
# By basic code, where neither enhanced code nor words tell.
_BASIC: dict[int, Verdict] = {
    **dict.fromkeys((500, 501, 502, 503, 504, 521, 523, 524, 525, 530, 534, 535, 538, 555), "relay"),
    # RFC 7504: the domain takes no mail at all.
    556: "mailbox",
    552: "mailbox-full",
}
# RFC 4954: whatever else such a reply says, it is about our log-in.
_LOG_IN = {523, 524, 525, 530, 534, 535, 538}


def _words(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


_SAYS_RELAY = _words(
    r"\brelay(?:ing)? (?:access |not |is )?(?:denied|prohibited|permitted|allowed)",
    r"\b(?:unable|not permitted|not allowed|do not) to relay\b|\bwe do not relay\b",
    r"\bauthenticat(?:ion|e) (?:is )?(?:required|needed|failed|credentials)|\bmust (?:first )?authenticate\b",
    r"\bmust issue a starttls\b|\bencryption required\b",
)
_SAYS_POLICY = _words(
    r"\bspam|\bunsolicited\b|\bphish|\bvirus\b|\bmalware\b|\bjunk\b|\bbulk mail\b",
    r"\breputation\b|\bblock(?:ed|ing)?[ -]?list|\bblack[ -]?list|\bdeny[ -]?list|\bblocked\b|\bbanned\b",
    r"\b(?:rbl|dnsbl|spamhaus|spamcop|barracuda|proofpoint|cloudmark|senderscore|sorbs|abusix)\b",
    r"\b(?:spf|dkim|dmarc|arc|ptr|rdns|reverse dns)\b|\bunauthenticated\b|\bnot authenticated\b",
    r"\bpolicy\b|\bpolicies\b|\bpolicy reasons\b|\bcontent (?:rejected|refused)\b|\bmessage content\b",
    r"\bsender (?:address )?(?:rejected|denied|verify|unknown|invalid|not)|\bsender'?s? domain\b",
    r"\bmessage (?:size )?(?:is )?(?:too (?:big|large|long)|exceeds)|\bsize exceeds\b|\btoo large\b",
    r"\bcomplaint|\bclient host\b|\bip (?:address )?(?:is )?(?:listed|denied|rejected)\b",
)
_SAYS_FULL = _words(
    r"\bover[ -]?quota\b|\bquota (?:is )?(?:exceeded|full)|\bexceed\w* (?:\w+ ){0,3}(?:quota|storage)",
    r"\b(?:mailbox|inbox|mail box|user|account)(?:'s)?(?: \w+){0,3} (?:over)?full\b|\bfull mailbox\b",
    r"\b(?:insufficient|out of|not enough) (?:system |disk |mail )?storage",
    r"\bstorage (?:space )?(?:limit|exceed)",
)
_SAYS_MAILBOX = _words(
    r"\b(?:user|recipient|mailbox|address|account|addressee|alias)(?: is| was)? (?:unknown|not found)",
    r"\bunknown (?:user|recipient|mailbox|address|account|local|or illegal alias)",
    r"\bunknown in (?:local|virtual|relay)|\bis not a known user\b|\bnot our customer\b",
    r"\bno such (?:user|recipient|mailbox|address|person|account|local)",
    r"\bno (?:mailbox|user|account)(?: \w+)? (?:here|by that)",
    r"\b(?:user|recipient|mailbox|address|account|domain)\b.{0,60}\b(?:do(?:es)? not|do(?:es)?n't) exist\b",
    r"\b(?:user|recipient|mailbox|address)\b.{0,40}\b(?:doesn't|does not) have an? .{0,40}\baccount\b",
    r"\binvalid (?:recipient|mailbox|user|address|destination)",
    r"\bnot a valid (?:user|mailbox|recipient|address)|\bmailbox (?:not found|unavailable: no)",
    r"\brequested action not taken: mailbox unavailable",
    r"\brecipient address rejected: (?:access denied|user unknown|undeliverable)",
    r"\b(?:account|mailbox) (?:has been |is |was )?(?:deleted|closed|terminated|removed)\b",
    r"\bno longer (?:available|valid|exists|works|with us)\b|\bnull mx\b",
)
# In this order: what speaks of us or of the message weighs against proof about the mailbox.
_SAYINGS: tuple[tuple[re.Pattern[str], Verdict], ...] = (
    (_SAYS_RELAY, "relay"),
    (_SAYS_POLICY, "policy"),
    (_SAYS_FULL, "mailbox-full"),
    (_SAYS_MAILBOX, "mailbox"),
)
# How servers say that a connection has carried enough, by 421 or 452; a limit on time is another thing.
_ENOUGH = _words(
    r"\btoo many (?:messages|mails|transactions)\b",
    r"\b(?:messages?|mails?|transactions?) (?:limit|per (?:connection|session))",
    r"\b(?:max\w*|limit\w*)(?: \w+){0,4} (?:messages?|mails?|transactions?)\b",
)
_PER_TIME = _words(r"\b(?:minutes?|hour(?:s|ly)?|daily|days?|rates?|quota)\b")


def classify(code: int, text: str) -> Verdict:
    """Say whom a complete 4xx or 5xx reply speaks of; `text` is what follows the basic code."""
    text = text[:TEXT_MAX]
    if code < 500:
        return "temporary"
    found = _ENHANCED.match(text) or _HIDDEN.search(text)
    if code in _LOG_IN:
        return "relay"
    said = _said(text)
    if found is None:
        return said or _BASIC.get(code, "soft")
    kind, subject, detail = (int(part) for part in found.groups())
    if (subject, detail) in _VAGUE:
        return said or _CODES.get((subject, None), "soft")
    verdict = _CODES.get((subject, detail)) or _CODES.get((subject, None), "soft")
    if verdict == "mailbox":
        # A code of another class than the reply's, or words that speak of something else, are doubt.
        return "soft" if kind != 5 else said if said in ("policy", "mailbox-full") else "mailbox"
    if verdict == "policy" and subject == 7 and said == "relay":
        return "relay"
    return said or "soft" if verdict == "soft" else verdict


def enough(code: int, text: str) -> bool:
    """Whether a 4xx states that this connection, not this hour, has carried its messages."""
    text = text[:TEXT_MAX]
    return 400 <= code < 500 and _ENOUGH.search(text) is not None and _PER_TIME.search(text) is None


def _said(text: str) -> Verdict | None:
    words = _QUOTED.sub(" ", text)
    return next((verdict for pattern, verdict in _SAYINGS if pattern.search(words)), None)
