"""What an owner sets of an account in one go."""

import msgspec

from tidings.core import accounts, slots
from tidings.errors import Invalid
from tidings.store.tx import Tx

NAME_MAX = 100


class Choices(msgspec.Struct, frozen=True):
    """What an owner sets of an account in one go."""

    name: str
    primary_email: str
    postal_address: str
    time_zone: str
    language: str
    opens: bool
    clicks: bool
    ambiguity: str


def choose(tx: Tx, choices: Choices) -> None:
    """Set what an owner chooses of an account, all of it or nothing."""
    name = " ".join(choices.name.split())
    if not name or len(name) > NAME_MAX:
        raise Invalid("name", f"must have 1 to {NAME_MAX} characters")
    if len(choices.postal_address) > accounts.POSTAL_MAX:
        raise Invalid("postal_address", f"must have at most {accounts.POSTAL_MAX} characters")
    if not slots.known(choices.time_zone):
        raise Invalid("time_zone", "is not a time zone that this system knows, such as Europe/Berlin")
    accounts.set_language(tx, choices.language)
    accounts.set_ambiguity(tx, choices.ambiguity)
    accounts.set_tracking(tx, opens=choices.opens, clicks=choices.clicks)
    accounts.set_time_zone(tx, choices.time_zone)
    accounts.describe(
        tx, name=name, primary_email=choices.primary_email, postal_address=choices.postal_address
    )
