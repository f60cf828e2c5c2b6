"""Rehearsal: a broadcast made into a mail before it is sent, so that what is wrong is seen by its owner."""

import msgspec

from tidings.core import accounts, custom_fields, sending
from tidings.mail import content
from tidings.store.tx import Rx
from tidings.tokens import Links

# Gmail hides what comes after 102 KB of HTML, the unsubscribe link with it.
CLIPPED_OCTETS = 102_000
_REF = "A" * 16


class Rehearsal(msgspec.Struct, frozen=True):
    """What came of it: `unknown` names render empty for everybody, `size` is octets of HTML.

    `links` are the addresses whose clicks will be counted.
    """

    unknown: tuple[str, ...]
    links: tuple[str, ...]
    size: int

    def remarks(self) -> list[str]:
        """Say in sentences what the owner should look at; nothing when all is well."""
        said = [f"nobody has {{{{ {name} }}}}: it will be empty in every mail" for name in self.unknown]
        if self.size > CLIPPED_OCTETS:
            shown = CLIPPED_OCTETS // 1_000
            said.append(f"the HTML has {self.size // 1_000} KB: Gmail shows {shown} of them")
        return said


def rehearse(rx: Rx, broadcast_id: int, links: Links, *, outbox: bool) -> Rehearsal:
    """Make the mail of a broadcast for nobody.

    Raises `sending.NotReady` where something is missing, and ValueError, with the line, for a content
    that cannot be made into a mail. Compiling takes up to a second, so in a thread.
    """
    frozen = sending.freeze(rx, broadcast_id, outbox=outbox)
    opens, clicks = accounts.tracking(rx)
    domain = frozen.from_address.rpartition("@")[2].lower()
    compiled = content.compile(
        frozen.content(track_opens=opens, track_clicks=clicks),
        base_url=links.base_url,
        list_id=f"account-{rx.account_id}.{domain}",
        refs=lambda urls: [_REF] * len(urls),
        field_keys=[one.key for one in custom_fields.all_fields(rx)],
    )
    return Rehearsal(compiled.unknown, compiled.links, compiled.size)
