"""Bulk mail: a content compiled once, then one message for each person, in microseconds.

`compile` settles all that is the same for everybody and encodes it; `Compiled.message` fills in what
is not. A content whose changing places are simple (`plain`) needs no render; any other is rendered
whole for each person, which is safe only within a process that may be ended (see `press`).
"""

import functools
import re
from collections.abc import Callable, Collection, Sequence

from tidings.mail import address, headers, message, plain, plan, render
from tidings.mail.assemble import SOFT, Assembly, piece, undotted
from tidings.mail.markup import LEAVE, TRACK
from tidings.mail.plan import Fill
from tidings.mail.recipient import Names, Recipient, fields_said
from tidings.mail.sources import Content, Sources, checked_base, sources

__all__ = ["Compiled", "Content", "Recipient", "compile", "feedback_id"]

# What two parts of the most that a template may put out take when encoded as plain letters.
MESSAGE_OCTETS_MAX = 3 * 1024 * 1024

_TO, _SUBJECT, _DATE, _ID, _LEAVE_RAW, _TRACK_SLOT, _LEAVE_SLOT, _FIRST_FILL = range(8)
_TOKEN_SPLIT = re.compile(f"([{TRACK}{LEAVE}])")
_LIST_ID = re.compile(r"(?:(.*?)\s*<)?([A-Za-z0-9](?:[A-Za-z0-9._-]{0,200}[A-Za-z0-9])?)>?\Z", re.DOTALL)
_EASY_NAME = re.compile(r"[A-Za-z0-9]{1,39}\Z")
_EASY_SUBJECT = re.compile(r"[!-~](?:(?!  )[ -~]){0,67}\Z")
_Values = dict[str, plain.Plain]
_Body = Callable[[_Values, Recipient], bytes]


class Compiled:
    """A content ready to be sent; may be used by several threads at once.

    `links` are the distinct tracked addresses, in the order in which `refs` was asked for them.
    `unknown` are names that the letter says and nobody has. `size` is the HTML part's constant octets
    before encoding: Gmail clips what is longer than 102 KB.
    """

    __slots__ = (
        "_assembly", "_fields", "_fills", "_names", "_subject", "_subject_template", "_whole",
        "links", "plain", "size", "unknown",
    )  # fmt: skip

    def __init__(
        self, made: Sources, names: Names, mail_headers: "MailHeaders", field_keys: Collection[str] | None
    ) -> None:
        subject = render.compile(made.subject, html=False)
        text = render.compile(made.text, html=False)
        page = render.compile(made.html, html=True)
        self.links = made.links
        paths = list(dict.fromkeys(path for each in (subject, page, text) for path in each.names()))
        unknown = [".".join(path) for path in paths if path and names.unknown(path, field_keys)]
        self.unknown = tuple(unknown)
        self._fields = fields_said(paths)
        self._names = names
        self._subject_template = subject
        self._subject = plan.plan(subject, names)
        self._fills: list[Fill] = []
        self._whole: list[_Body] = []
        bodies = [("plain", text), ("html", page)]
        encoded = [(kind, self._part(template)) for kind, template in bodies]
        self.plain = self._subject is not None and not self._whole
        self.size = sum(len(node.text.encode()) for node in page.nodes if hasattr(node, "text"))
        # The slots of parts rendered whole come behind those of the fills.
        first_whole = _FIRST_FILL + len(self._fills)
        parts = [
            part if isinstance(part, bytes) or part >= 0 else first_whole - part - 1
            for part in mail_headers.parts(encoded)
        ]
        self._assembly = Assembly(parts)

    def message(self, person: Recipient) -> bytes:
        """Write the whole RFC 5322 message, CRLF, unsigned; the same person gives the same octets.

        Raises `ValueError`: for an address, token, message id or date that cannot stand, and
        (`render.TemplateProblem`) for a template that fails or grows beyond the limits.
        """
        person.check_tokens()
        values = {} if self.plain else _plain_values(self._names.values(person, self._fields))
        leave = person.leave.encode("ascii")
        slots = (
            _to_field(person),
            self._subject_field(person, values),
            _date_field(person.date_ms // 1000),
            f"Message-ID: <{message.checked_id(person.message_id)}>\r\n".encode("ascii"),
            leave,
            piece(person.track),
            piece(person.leave),
            *[piece(fill(person)) for fill in self._fills],
            *[whole(values, person) for whole in self._whole],
        )
        # An upper bound first, so that no memory is spent on what is refused anyway.
        if self._assembly.largest(slots) > 4 * MESSAGE_OCTETS_MAX:
            raise render.TemplateProblem("the message is too large")
        data = self._assembly.join(slots)
        if len(data) > MESSAGE_OCTETS_MAX:
            raise render.TemplateProblem("the message is too large")
        return data

    def _part(self, template: render.Template) -> list[bytes | int]:
        """Encode one part: constants and slots; a negative slot is a part rendered whole."""
        parts = plan.plan(template, self._names)
        if parts is None:
            self._whole.append(_rendered(template))
            return [-len(self._whole)]
        encoded: list[bytes | int] = []
        for part in parts:
            if isinstance(part, str):
                encoded += [_token_slot(word) or undotted(piece(word)) for word in _TOKEN_SPLIT.split(part)]
            else:
                if part not in self._fills:
                    self._fills.append(part)
                encoded.append(_FIRST_FILL + self._fills.index(part))
        last = encoded[-1] if encoded else b""
        if isinstance(last, bytes) and last.endswith(SOFT):
            encoded[-1] = last.removesuffix(SOFT) + b"\r\n"
        elif not isinstance(last, bytes) or not last.endswith(b"\r\n"):
            encoded.append(b"\r\n")
        return encoded

    def _subject_field(self, person: Recipient, values: _Values) -> bytes:
        parts = self._subject
        if parts is None:
            said = self._subject_template.render_plain(values)
        else:
            said = "".join([part if isinstance(part, str) else part(person) for part in parts])
        # The sign of an encoded word needs two characters; a trailing space would be lost.
        if _EASY_SUBJECT.match(said) and "=?" not in said and said[-1] != " ":
            return f"Subject: {said}\r\n".encode("ascii")
        return _guarded("Subject", headers.text_field("Subject", said))


class MailHeaders:
    """The header fields of one content: all but To, Subject, Date and Message-ID are constant."""

    def __init__(self, content: Content, base: str, list_id: str, feedback: str) -> None:
        found = _LIST_ID.match(list_id)
        if found is None:
            raise ValueError("the list id is not of the form name.domain")
        self._sender = headers.mailbox_field(
            "From", content.from_name, address.with_ascii_domain(content.from_address)
        )
        if content.reply_to:
            reply_to = address.with_ascii_domain(content.reply_to)
            self._reply_to = headers.mailbox_field("Reply-To", "", reply_to)
        else:
            self._reply_to = b""
        self._leave_url = f"{base}/u/".encode("ascii")
        fields = [headers.mailbox_field("List-Id", found[1] or content.sender_name, found[2])]
        if feedback:
            fields.append(headers.text_field("Feedback-ID", feedback))
        fields.append(headers.raw_field("Precedence", "bulk"))
        self._listed = b"".join(fields)
        # The constant block as a whole, parsed again: nothing in it may have become a field.
        block = self._sender + self._reply_to + self._listed
        wanted = ["From", *["Reply-To"][: bool(self._reply_to)], "List-Id"]
        if headers.read_names(block) != [*wanted, *["Feedback-ID"][: bool(feedback)], "Precedence"]:
            raise ValueError("a value would have changed the header fields")
        # "=_" cannot occur in quoted-printable (RFC 2045 6.7), so any boundary of it serves all.
        self._boundary = message.boundary_for(f"{list_id}\n{content.subject}\n{feedback}")

    def parts(self, bodies: list[tuple[str, list[bytes | int]]]) -> list[bytes | int]:
        """Give the whole message: fields, then the parts as multipart/alternative (RFC 2046 5.1.4)."""
        # RFC 8058: both fields, and the POST goes to the address in the first.
        leave: list[bytes | int] = [b"List-Unsubscribe: <" + self._leave_url, _LEAVE_RAW, b">\r\n"]
        leave.append(b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n")
        mime = b"MIME-Version: 1.0\r\n" + headers.raw_field(
            "Content-Type", f'multipart/alternative; boundary="{self._boundary}"'
        )
        out: list[bytes | int] = [self._sender, _TO, self._reply_to, _SUBJECT, _DATE, _ID, *leave]
        out += [self._listed, mime, b"\r\n"]
        line = b"--" + self._boundary.encode("ascii")
        for kind, body in bodies:
            out.append(line + b"\r\nContent-Type: text/" + kind.encode("ascii") + b'; charset="utf-8"\r\n')
            out += [b"Content-Transfer-Encoding: quoted-printable\r\n\r\n", *body]
        out.append(line + b"--\r\n")
        return out


def compile(  # noqa: A001 - reads as content.compile(...)
    content: Content,
    *,
    base_url: str,
    list_id: str,
    refs: Callable[[Sequence[str]], Sequence[str]],
    feedback: str = "",
    lang: str | None = None,
    field_keys: Collection[str] | None = None,
) -> Compiled:
    """Compile a content; raises `ValueError`, and `render.TemplateProblem` with the line for its Liquid.

    `refs` is called once, with the distinct web addresses to be tracked, and gives 16 characters for
    each. `list_id` is `name.domain`, alone or as `Words <name.domain>`. `feedback` is the Feedback-ID.
    `field_keys` are the keys of all custom fields; without them any `subscriber.KEY` counts as known.
    """
    base = checked_base(base_url)
    mail_headers = MailHeaders(content, base, list_id, feedback)
    made = sources(content, base, lang or content.lang, refs)
    names = Names(
        account_name=content.sender_name,
        address=content.postal_address,
        leave_url=f"{base}/u/",
        preferences_url=f"{base}/p/",
        snippets=dict(content.snippets),
    )
    return Compiled(made, names, mail_headers, field_keys)


def feedback_id(owner: str, account_id: int) -> str:
    """Write Gmail's Feedback-ID: what was sent, for whom, which kind, and the sender's own name."""
    return f"{owner.replace(':', '-')}:{account_id}:bulk:tidings"


def _token_slot(word: str) -> int:
    """Give the slot of a token's sign; 0, which is no token's, for other text."""
    return _TRACK_SLOT if word == TRACK else _LEAVE_SLOT if word == LEAVE else 0


def _rendered(template: render.Template) -> _Body:
    """Give what renders a part whole and encodes it."""

    def body(values: _Values, person: Recipient) -> bytes:
        return message.quoted_printable(plan.tokens_put(template.render_plain(values), person))

    return body


def _plain_values(values: dict[str, object]) -> _Values:
    """Copy the values within their limits, once for all parts."""
    try:
        return plain.plain(values)
    except ValueError as problem:
        raise render.TemplateProblem(str(problem)) from problem


def _to_field(person: Recipient) -> bytes:
    """Write To; a short name of letters is what almost all are."""
    email = address.with_ascii_domain(person.email)
    name = person.first_name or ""
    if _EASY_NAME.match(name) and len(name) + len(email) < 70 and email.isascii():
        return f"To: {name} <{email}>\r\n".encode("ascii")
    return _guarded("To", headers.mailbox_field("To", name, email))


@functools.lru_cache(maxsize=64)
def _date_field(second: int) -> bytes:
    """Write Date; deliveries queued together share it."""
    return headers.raw_field("Date", message.date_value(second * 1000))


def _guarded(name: str, field: bytes) -> bytes:
    """Give the field back if it is one field of this name, whatever went into it."""
    if headers.read_names(field) != [name]:
        raise ValueError("a value would have changed the header fields")
    return field
