"""Settings of the SMTP provider, as one URL."""

import ipaddress
import re
import socket
import ssl
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote, urlsplit

Starttls = Literal["require", "opportunistic", "never"]

CONNECTIONS_DEFAULT = 10
# Postfix lets one client have 50 at once (smtpd_client_connection_count_limit).
CONNECTIONS_MAX = 100
MESSAGES_MAX = 100_000
# More than anybody sends: 11 a millisecond for a day.
RATE_MAX = 999_999_999
_RATES = ("per_second", "per_minute", "per_hour", "per_day")
_PARAMETERS = frozenset({"connections", "messages", "starttls", "name", "timeout", "ca", *_RATES})
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}\Z")
_NAME = re.compile(r"[A-Za-z0-9._:\[\]-]{1,253}\Z")


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The longest wait for each step, in seconds: the minima of RFC 5321 4.5.3.2."""

    connect_s: float = 30.0
    banner_s: float = 300.0
    command_s: float = 300.0
    data_s: float = 120.0
    block_s: float = 180.0
    dot_s: float = 600.0
    # For one message from MAIL to the final reply, however the steps add up.
    message_s: float = 1800.0
    # Nothing depends on QUIT, so nobody waits for it.
    quit_s: float = 2.0

    def capped(self, longest_s: float) -> "Timeouts":
        """Give the same with no step above `longest_s` seconds."""
        return Timeouts(*(min(getattr(self, name), longest_s) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Settings:
    """One provider. `ca_file` names a PEM file trusted instead of the system's authorities.

    `messages` is how many one connection may carry; 0 sets no limit, and one the provider
    states by a refusal is learnt. `per_second` to `per_day` are the most mails it is given in any
    such time; 0 sets no limit.
    """

    host: str
    port: int = 25
    user: str = ""
    password: str = field(default="", repr=False)
    implicit_tls: bool = False
    starttls: Starttls = "opportunistic"
    connections: int = CONNECTIONS_DEFAULT
    messages: int = 0
    per_second: int = 0
    per_minute: int = 0
    per_hour: int = 0
    per_day: int = 0
    name: str = ""
    ca_file: str | None = None
    timeouts: Timeouts = Timeouts()

    @classmethod
    def from_url(cls, url: str) -> "Settings":
        """Read `smtp://user:pass@host:port?connections=10&starttls=require` or `smtps://…`.

        Further parameters: `messages` (the most one connection carries), `per_second`, `per_minute`,
        `per_hour` and `per_day` (the most mails in any such time), `name` (for EHLO), `timeout` (the
        longest step, in seconds), `ca` (PEM file). Raises `ValueError` with a reason that never holds
        the password.
        """
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("the SMTP URL has no valid host and port") from None
        if parts.scheme not in ("smtp", "smtps"):
            raise ValueError("the SMTP URL begins with neither smtp:// nor smtps://")
        if _HOST.match(host) is None or port == 0 or parts.path not in ("", "/") or parts.fragment:
            raise ValueError("the SMTP URL has no valid host and port")
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        given = dict(pairs)
        unknown = sorted(set(given) - _PARAMETERS)
        if unknown or len(given) != len(pairs):
            raise ValueError(f"the SMTP URL has an unknown or repeated parameter: {', '.join(unknown)}")
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        if bool(user) != bool(password) or "\0" in user + password:
            raise ValueError("the SMTP URL needs both a user and a password, or neither")
        implicit = parts.scheme == "smtps"
        return cls(
            host=host,
            port=port or (465 if implicit else 25),
            user=user,
            password=password,
            implicit_tls=implicit,
            starttls=_starttls(given.get("starttls"), implicit, bool(user), host),
            connections=_whole(given, "connections", CONNECTIONS_DEFAULT, CONNECTIONS_MAX),
            messages=_whole(given, "messages", 0, MESSAGES_MAX, least=0),
            **{rate: _whole(given, rate, 0, RATE_MAX, least=0) for rate in _RATES},
            name=_ehlo_name(given.get("name", "")),
            ca_file=given.get("ca") or None,
            timeouts=Timeouts().capped(_whole(given, "timeout", 1800, 86_400)),
        )

    def tls_context(self) -> ssl.SSLContext:
        """Make the TLS context: certificate and host name are checked wherever TLS is demanded.

        Where it is merely welcome, encryption without a check is better than none (RFC 7435); no
        credentials travel then.
        """
        if self.starttls == "never" and not self.implicit_tls:
            # It is never used; it trusts nobody, and the system's authorities, 18 ms to read, stay unread.
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.starttls == "opportunistic" and not (self.implicit_tls or self.user or self.ca_file):
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def ehlo_name(self) -> str:
        """Give the name for EHLO: the one set, the host's if it is qualified, or a literal."""
        if self.name:
            return self.name
        own = socket.gethostname()
        return own if "." in own and _NAME.match(own) else "[127.0.0.1]"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def _starttls(given: str | None, implicit: bool, credentials: bool, host: str) -> Starttls:
    """Choose the mode; credentials ask for TLS unless the provider is this machine."""
    if given is None:
        return "require" if credentials and not is_loopback(host) else "opportunistic"
    if implicit:
        raise ValueError("smtps:// is TLS from the start and takes no starttls")
    if given not in ("require", "opportunistic", "never"):
        raise ValueError("starttls is one of require, opportunistic and never")
    if given == "never" and credentials and not is_loopback(host):
        raise ValueError("starttls=never would send the password in clear")
    return cast(Starttls, given)


def _whole(given: dict[str, str], name: str, default: int, most: int, *, least: int = 1) -> int:
    """Read a whole number from `least` to `most`."""
    text = given.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and least <= int(text) <= most):
        raise ValueError(f"{name} is a whole number from {least} to {most}")
    return int(text)


def _ehlo_name(name: str) -> str:
    if name and _NAME.match(name) is None:
        raise ValueError("name is a host name or an address literal")
    return name
