"""Signing: the keys by which an account's domains sign its mail. Owns `signing_keys`.

A private key is kept sealed with the master key, which is not in the database.
"""

import msgspec

from tidings.errors import Conflict, Invalid, NotFound
from tidings.mail import dkim
from tidings.store.tx import Rx, Tx
from tidings.tokens import Links, seal, unseal

PURPOSE = "dkim"


class Key(msgspec.Struct, frozen=True):
    """One key; `record` is the text of its DNS record at `{selector}._domainkey.{domain}`."""

    id: int
    domain: str
    selector: str
    kind: str
    sealed: str
    record: str

    @property
    def name(self) -> str:
        """Where its DNS record stands."""
        return f"{self.selector}._domainkey.{self.domain}"

    @property
    def value(self) -> str:
        """The record in one piece, as the page of a DNS provider asks for it."""
        return self.record.replace('" "', "").strip('"')

    def signer(self, links: Links) -> dkim.Signer:
        """Open the key; raises ValueError when the master key is another."""
        return dkim.Signer(self.domain, self.selector, unseal(links.key, PURPOSE, self.sealed))


def keys(rx: Rx) -> list[Key]:
    """Return the account's keys that sign now."""
    return rx.remember(_load)


def create(tx: Tx, links: Links, domain: str, selector: str, pem: str) -> Key:
    """Keep a key (of `dkim.make_key`) for a domain; it signs from now on, so publish its record first.

    The key is made before: 70 to 240 ms of arithmetic would hold up every other writer.
    """
    try:
        signer = dkim.Signer(domain, selector, pem)
    except ValueError as problem:
        raise Invalid("domain", str(problem)) from problem
    if any((one.domain, one.selector) == (signer.domain, selector) for one in keys(tx)):
        raise Conflict(f"there is a key {selector} of {signer.domain} already")
    tx.run(
        "INSERT INTO signing_keys (account_id, domain, selector, kind, sealed, record, created_at)"
        " VALUES (:account_id, :domain, :selector, :kind, :sealed, :record, :now)"
        " ON CONFLICT (account_id, domain, selector) DO UPDATE SET kind = excluded.kind,"
        " sealed = excluded.sealed, record = excluded.record, created_at = excluded.created_at,"
        " retired_at = NULL",
        account_id=tx.account_id,
        domain=signer.domain,
        selector=selector,
        kind=signer.kind,
        sealed=seal(links.key, PURPOSE, pem),
        record=dkim.dns_record(pem),
        now=tx.now,
    )
    tx.redefine()
    return next(one for one in _load(tx) if (one.domain, one.selector) == (signer.domain, selector))


def retire(tx: Tx, key_id: int) -> None:
    """Let a key sign no more; its record should stay for the mail that is on its way."""
    if not tx.run(
        "UPDATE signing_keys SET retired_at = :now WHERE account_id = :account_id AND id = :id"
        " AND retired_at IS NULL",
        now=tx.now,
        account_id=tx.account_id,
        id=key_id,
    ):
        raise NotFound("signing key")
    tx.redefine()


def _load(rx: Rx) -> list[Key]:
    rows = rx.all(
        "SELECT id, domain, selector, kind, sealed, record FROM signing_keys"
        " WHERE account_id = :account_id AND retired_at IS NULL ORDER BY id LIMIT 100",
        account_id=rx.account_id,
    )
    return [Key(*row) for row in rows]
