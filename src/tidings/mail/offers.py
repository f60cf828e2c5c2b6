"""What a server offers in its answer to EHLO, and what follows for an envelope (RFC 5321 4.1.1.1)."""

from collections.abc import Iterable

from tidings.mail.outcome import Envelope, Refused


class Offers:
    """The keywords of one EHLO reply; without lines, of a server that offers nothing."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        words = [line.strip().partition(" ") for line in lines]
        self._offered = {word.upper(): rest.upper() for word, _, rest in words}
        largest = self._offered.get("SIZE", "")
        self._size = "SIZE" in self._offered
        # 18 digits hold any size; more of them are nonsense and cost time to read.
        self._largest = int(largest[:18]) if largest.isascii() and largest.isdecimal() else 0
        self._eight_bit = "8BITMIME" in self._offered
        self._smtputf8 = "SMTPUTF8" in self._offered
        self.pipelining = "PIPELINING" in self._offered
        self.starttls = "STARTTLS" in self._offered

    @property
    def log_ins(self) -> list[str]:
        """The mechanisms of AUTH (RFC 4954), in capitals."""
        return self._offered.get("AUTH", "").split()

    def unfit(self, envelope: Envelope) -> Refused | None:
        """Refuse what this server says it cannot take, before a word is spent on it."""
        if envelope.needs_smtputf8 and not self._smtputf8:
            # RFC 6531 3.5 names 553 and 5.6.7 for it.
            text = "5.6.7 the provider does not offer SMTPUTF8, which this address needs"
            return Refused(envelope.key, 553, text, permanent=True, stage="mail")
        if 0 < self._largest < len(envelope.data):
            text = f"5.3.4 the provider takes at most {self._largest} octets"
            return Refused(envelope.key, 552, text, permanent=True, stage="mail")
        return None

    def mail_line(self, envelope: Envelope) -> str:
        """Give the MAIL command for an envelope, without its CRLF."""
        line = f"MAIL FROM:<{envelope.mail_from}>"
        if self._size:
            line += f" SIZE={len(envelope.data)}"
        if self._eight_bit and not envelope.data.isascii():
            line += " BODY=8BITMIME"
        if envelope.needs_smtputf8:
            line += " SMTPUTF8"
        return line
