"""Whom a refusal speaks of: only proof about the mailbox may touch a subscriber."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidings.mail.classify import classify, enough

# The shapes of replies that big providers and mail servers document or are known to give.
MAILBOX = (
    (550, "5.1.1 The email account that you tried to reach does not exist. Please try again"),
    (550, "5.1.1 <p@b.test>: Recipient address rejected: User unknown in local recipient table"),
    (550, "5.1.1 <p@b.test>: Recipient address rejected: User unknown in virtual mailbox table"),
    (550, "5.1.1 User unknown"),
    (550, "5.1.1 Not our customer"),
    (550, "5.1.1 unknown or illegal alias: p@b.test"),
    (550, "5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient p@b.test not found by SMTP address lookup"),
    (550, "5.1.2 Bad destination system address"),
    (556, "5.1.10 Recipient address has null MX"),
    (556, "the domain takes no mail"),
    (553, "5.1.3 The recipient address is not a valid address"),
    (551, "5.1.6 the recipient has moved and left no address"),
    (550, "5.5.0 Requested action not taken: mailbox unavailable (S2017062302)"),
    (550, "5.4.1 Recipient address rejected: Access denied. AS(201806281)"),
    (554, "delivery error: dd This user doesn't have a mail.test account (p@mail.test) [0] - mta1.mail.test"),
    (554, "delivery error: dd Requested mail action aborted, mailbox not found"),
    (550, "Requested action not taken: mailbox unavailable"),
    (550, "No such user here"),
    (550, "No Such User Here"),
    (550, "no mailbox here by that name. (#5.1.1)"),
    (550, "#5.1.1 User unknown"),
    (550, "unknown user"),
    (550, "Unknown recipient"),
    (550, "Unknown local part p in <p@b.test>"),
    (550, "invalid mailbox. No such local user"),
    (550, "5.0.0 <p@b.test>... User unknown"),
    (553, "5.3.0 <p@b.test>... Addressee unknown, relay=[192.0.2.1]"),
    (550, "5.2.1 This mailbox has been deleted"),
    (550, "p@b.test is not a known user on this system"),
    (550, "The person at p@b.test is no longer with us"),
    (550, "account closed"),
    (550, "5.1.0 Address rejected: no such mailbox"),
)
FULL = (
    (552, "5.2.2 The email account that you tried to reach is over quota and inactive"),
    (552, "5.2.2 Mailbox size limit exceeded"),
    (554, "5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException"),
    (550, "5.2.2 <p@b.test>: user is over quota"),
    (552, "mailbox is full"),
    (552, "Requested mail action aborted: exceeded storage allocation"),
    (550, "User's mailbox is overfull"),
    (554, "Quota exceeded (mailbox for user is full)"),
    (550, "5.1.1 the account is over quota"),
    (552, ""),
)
POLICY = (
    (550, "5.7.1 Our system has detected that this message is likely unsolicited mail"),
    (550, "5.7.26 This mail has been blocked because the sender is unauthenticated"),
    (550, "5.7.25 The IP address sending this message does not have a PTR record setup"),
    (550, "5.7.28 an unusual rate of unsolicited mail originates from your address"),
    (550, "5.7.350 Remote server returned message detected as spam"),
    (550, "5.7.515 Access denied, sending domain a.test does not meet the required authentication level"),
    (550, "5.7.511 Access denied, banned sender[192.0.2.1]"),
    (550, "5.7.606 Access denied, banned sending IP [192.0.2.1]"),
    (550, "5.7.1 Service unavailable, Client host [192.0.2.1] blocked using Spamhaus"),
    (554, "5.7.1 Message cannot be accepted, policy rejection"),
    (554, "5.7.5 Permanent error evaluating the sender's DMARC policy"),
    (550, "5.7.1 recipient unknown to this policy"),
    (550, "SC-001 Mail rejected for policy reasons"),
    (554, "Message not allowed - [PH01] Email not accepted for policy reasons"),
    (554, "5.7.1 [CS01] Message blocked. Please visit https://support.b.test/"),
    (550, "High probability of spam"),
    (550, "5.6.0 the message is not well formed"),
    (553, "5.6.7 the server does not offer SMTPUTF8"),
    (552, "5.3.4 Message size exceeds fixed limit"),
    (552, "5.2.3 Your message exceeded our size limits"),
    (552, "message too large"),
    (550, "5.1.8 <news@a.test>: Sender address rejected: Domain not found"),
    (553, "5.1.7 bad sender address"),
    (550, "5.1.1 <news@a.test>: Sender address rejected: User unknown"),
    (550, "Verification failed: sender verify failed"),
    (550, "Blocked by our blacklist, see https://b.test/no-such-user"),
    (554, "554 RBL: your address is listed"),
    (550, "Your message was identified as junk, no such user"),
)
TEMPORARY = (
    (421, "4.7.0 Try again later, closing connection"),
    (421, "4.7.28 unusual rate of mail from your network"),
    (421, "4.7.0 [TSS04] Messages temporarily deferred due to user complaints"),
    (450, "4.2.1 The user you are trying to contact is receiving mail too quickly"),
    (450, "4.2.0 <p@b.test>: Recipient address rejected: Greylisted"),
    (450, "4.1.8 Sender address rejected: Domain not found"),
    (451, "4.7.500 Server busy. Please try again later"),
    (451, "4.3.0 Temporary server error"),
    (451, "5.1.1 user unknown, says a server that is of two minds"),
    (452, "4.2.2 The recipient's inbox is out of storage space"),
    (452, "4.5.3 Too many recipients"),
    (454, "4.7.0 Temporary authentication failure"),
    (432, "4.3.2 Concurrent connections limit exceeded"),
    (450, ""),
)
RELAY = (
    (530, "5.7.0 Must issue a STARTTLS command first"),
    (530, "5.7.1 Authentication required"),
    (535, "5.7.8 Username and Password not accepted"),
    (535, "5.7.139 Authentication unsuccessful, basic authentication is disabled"),
    (534, "5.7.9 Application-specific password required"),
    (538, "5.7.11 Encryption required for requested authentication mechanism"),
    (525, "5.7.13 user account disabled"),
    (554, "5.7.1 <p@b.test>: Relay access denied"),
    (550, "5.7.1 Unable to relay"),
    (550, "5.7.54 SMTP; Unable to relay recipient in non-accepted domain"),
    (550, "relay not permitted"),
    (550, "5.7.1 Client was not authenticated: authentication required"),
    (503, "5.5.1 Error: need RCPT command"),
    (501, "5.5.4 Invalid argument"),
    (555, "5.5.2 Syntax error, cannot decode response"),
    (500, "unrecognised command"),
    (521, "this host takes no mail"),
    (550, "5.3.2 System not accepting network messages"),
    (554, "5.3.5 System incorrectly configured"),
    (554, "5.3.0 something inside"),
)
SOFT = (
    (550, "Requested action not taken"),
    (550, ""),
    (550, "5.0.0 Service unavailable"),
    (550, "5.1.0 Address rejected"),
    (550, "5.2.0 mailbox problem"),
    (550, "5.2.1 The email account that you tried to reach is disabled"),
    (554, "5.4.6 Routing loop detected"),
    (554, "5.4.4 unable to route"),
    (554, "Transaction failed"),
    (550, "5.4.7 Delivery time expired"),
    (550, "<user-unknown@b.test>: refused"),
    (550, "4.1.1 a permanent reply with a passing code"),
    (599, "what is this"),
)
TABLE = [
    *((code, text, "mailbox") for code, text in MAILBOX),
    *((code, text, "mailbox-full") for code, text in FULL),
    *((code, text, "policy") for code, text in POLICY),
    *((code, text, "temporary") for code, text in TEMPORARY),
    *((code, text, "relay") for code, text in RELAY),
    *((code, text, "soft") for code, text in SOFT),
]


@pytest.mark.parametrize(("code", "text", "verdict"), TABLE)
def test_a_reply_is_read_for_what_it_says(code: int, text: str, verdict: str) -> None:
    assert classify(code, text) == verdict


def test_the_table_is_broad() -> None:
    assert len(TABLE) >= 80


@given(st.integers(400, 499), st.text())
def test_a_4xx_is_never_proof_whatever_it_says(code: int, text: str) -> None:
    assert classify(code, text) == "temporary"


@given(st.sampled_from(["7.1", "7.26", "6.0", "3.2"]), st.sampled_from([text for _, text in MAILBOX[13:]]))
def test_a_code_that_speaks_of_something_else_is_never_proof_about_the_mailbox(code: str, text: str) -> None:
    assert classify(550, f"5.{code} {text}") in ("policy", "relay")


@given(st.integers(500, 599), st.text(max_size=3_000))
def test_any_text_has_a_verdict(code: int, text: str) -> None:
    assert classify(code, text) in ("mailbox", "mailbox-full", "soft", "policy", "relay")


@pytest.mark.parametrize(
    "piece", ("user ", "no longer ", "<a", "a@", "exceeded b ", "limit x y z w ", "https://")
)
def test_a_hostile_text_of_any_length_is_read_up_to_its_limit(piece: str) -> None:
    long = piece * 200_000
    assert classify(550, long) == classify(550, long[:1_000])
    assert enough(421, long) == enough(421, long[:1_000])


@pytest.mark.parametrize(
    ("code", "text"),
    (
        (421, "4.7.0 Too many messages in this connection"),
        (421, "too many messages in this connection"),
        (452, "4.5.3 Too many transactions for this session"),
        (421, "4.7.0 Max message per connection reached, closing transmission channel"),
        (451, "4.3.2 Message limit reached, open a new connection"),
        (421, "Maximum number of messages reached"),
        (421, "4.4.5 limit of 20 messages per session"),
    ),
)
def test_a_connection_that_has_carried_enough_is_recognised(code: int, text: str) -> None:
    assert enough(code, text)


@pytest.mark.parametrize(
    ("code", "text"),
    (
        (421, "4.7.0 too many messages this hour"),
        (452, "4.3.1 daily message limit reached"),
        (450, "4.7.1 message rate limit exceeded"),
        (421, "4.4.2 idle too long"),
        (452, "4.5.3 too many recipients"),
        (550, "5.7.1 too many messages"),
        (250, "one of the too many messages"),
    ),
)
def test_a_limit_on_time_or_people_is_not_one_on_the_connection(code: int, text: str) -> None:
    assert not enough(code, text)
