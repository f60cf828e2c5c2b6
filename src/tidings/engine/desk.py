"""The desk: claimed deliveries become letters, each content compiled once and each mail signed."""

import asyncio
import contextlib
import logging
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

from tidings.core import compose, letters, signing
from tidings.core.broadcasts import course
from tidings.core.deliveries import Delivery, Letter, Outcome
from tidings.core.letters import Unfit, Words
from tidings.errors import Problem, Unavailable
from tidings.mail import address, content, dkim
from tidings.mail.content import Compiled, Recipient
from tidings.mail.press import Press, Source
from tidings.store.db import Database
from tidings.tokens import Links

log = logging.getLogger("tidings.engine")

# Contents kept compiled; one takes some hundred kilobytes.
KEPT_MOST = 64
SIGNING_THREADS = 2
# What waits for its owner is looked at again so often.
LATER_MS = 3_600_000
# Letters signed by one turn of a thread.
SIGNED_AT_ONCE = 32


class Unready(Unfit):
    """Mail that can be made once its owner has mended something; the message says what."""


class _Ready:
    """One content, compiled; `source` is for the press where it is not plain."""

    __slots__ = ("compiled", "signers", "source", "words")

    def __init__(self, words: Words, compiled: Compiled, source: Source, signers: list[dkim.Signer]) -> None:
        self.words = words
        self.compiled = compiled
        self.source = source
        self.signers = signers


class Desk:
    """Makes the letters of one engine process."""

    def __init__(self, db: Database, links: Links, *, outbox: bool = True) -> None:
        self._db = db
        self._links = links
        self._outbox = outbox
        self._press = Press()
        self._kept: OrderedDict[tuple[object, ...], _Ready] = OrderedDict()
        self._pool = ThreadPoolExecutor(SIGNING_THREADS, thread_name_prefix="signer")

    async def letters(self, claimed: list[Delivery]) -> tuple[list[Letter], list[Outcome]]:
        """Return the letters of a batch, and how those end that can have none."""
        made: list[Letter] = []
        unfit: list[Outcome] = []
        for (account_id, owner), group in groupby(sorted(claimed, key=_content), key=_content):
            theirs = list(group)
            try:
                if owner.startswith("confirm:"):
                    one, none = await self._confirmations(theirs)
                else:
                    one, none = await self._bulk(account_id, owner, theirs)
            except Unready as problem:
                one, none = [], await self._held(account_id, owner, theirs, problem.message)
            except Unavailable:
                # The database is away, which says nothing about the mail: it lapses and is made again.
                raise
            except Problem as problem:
                one, none = [], [Outcome(each, "failed", problem.message) for each in theirs]
            made += one
            unfit += none
        return made, unfit

    async def single(self, stands_for: Delivery, words: Words, who: Recipient) -> Letter:
        """Return one letter that is no delivery of a subscriber, made as theirs are, or raise Unfit."""
        ready = await self._made_ready(stands_for.account_id, stands_for.owner, words)
        (data,) = await self._print(ready, [who])
        if isinstance(data, str):
            raise Unfit(f"the mail could not be made: {data}")
        mail_from = address.with_ascii_domain(words.content.from_address)
        to = address.with_ascii_domain(who.email)
        letter = Letter(stands_for, mail_from, to, words.content.subject, data, not to.isascii())
        return (await self._signed(ready.signers, [letter]))[0] if ready.signers else letter

    async def close(self) -> None:
        """End the render process and the threads."""
        await self._press.stop()
        self._pool.shutdown()

    async def _held(self, account_id: int, owner: str, theirs: list[Delivery], why: str) -> list[Outcome]:
        """Put off what can be sent once its owner has mended something; nobody's mail fails for it."""
        log.error("mail cannot be made yet", extra={"account": account_id, "owner": owner, "reason": why})
        kind, _, ref = owner.partition(":")
        if kind == "broadcast":
            with contextlib.suppress(Problem):
                await self._db.write(account_id, course.pause, int(ref), why)
            return [Outcome(one, "queued", untried=True) for one in theirs]
        later = self._db.clock() + LATER_MS
        return [Outcome(one, "deferred", why, later, untried=True) for one in theirs]

    async def _confirmations(self, theirs: list[Delivery]) -> tuple[list[Letter], list[Outcome]]:
        made, unfit = [], []
        for one in theirs:
            try:
                made.append(await self._db.scan(one.account_id, compose.letter, one, self._links))
            except Unavailable:
                # The database is away, which says nothing about the mail: it lapses and is made again.
                raise
            except Problem as problem:
                unfit.append(Outcome(one, "failed", problem.message))
        return made, unfit

    async def _bulk(
        self, account_id: int, owner: str, theirs: list[Delivery]
    ) -> tuple[list[Letter], list[Outcome]]:
        ready = await self.ready(account_id, owner)
        if not (self._outbox or ready.words.content.postal_address):
            raise Unready(
                "the account has no postal address, which every bulk mail must show: give it one with"
                " `tidings account update --address`"
            )
        domain = ready.words.from_domain
        people = await self._db.read(account_id, letters.recipients, theirs, self._links, domain)
        there = [(one, who) for one, who in zip(theirs, people, strict=True) if who is not None]
        unfit = [
            Outcome(one, "suppressed", "the subscriber is gone")
            for one, who in zip(theirs, people, strict=True)
            if who is None
        ]
        printed = await self._print(ready, [who for _, who in there])
        made: list[Letter] = []
        mail_from = address.with_ascii_domain(ready.words.content.from_address)
        for (one, who), data in zip(there, printed, strict=True):
            if isinstance(data, str):
                unfit.append(Outcome(one, "failed", f"the mail could not be made: {data}"))
                continue
            to = address.with_ascii_domain(who.email)
            made.append(Letter(one, mail_from, to, ready.words.content.subject, data, not to.isascii()))
        if ready.signers:
            made = await self._signed(ready.signers, made)
        return made, unfit

    async def _print(self, ready: _Ready, people: Sequence[Recipient]) -> list[bytes | str]:
        if not ready.compiled.plain:
            return await self._press.print(ready.words.key, ready.source, people)
        printed: list[bytes | str] = []
        for who in people:
            try:
                printed.append(ready.compiled.message(who))
            except ValueError as problem:
                printed.append(str(problem))
        return printed

    async def _signed(self, signers: list[dkim.Signer], made: list[Letter]) -> list[Letter]:
        """Sign in threads: OpenSSL works beside the loop, 250 us a signature of RSA-2048."""
        loop = asyncio.get_running_loop()
        some = [made[at : at + SIGNED_AT_ONCE] for at in range(0, len(made), SIGNED_AT_ONCE)]
        done = await asyncio.gather(*(loop.run_in_executor(self._pool, _sign, signers, one) for one in some))
        return [one for chunk in done for one in chunk]

    async def ready(self, account_id: int, owner: str) -> _Ready:
        """Return a content compiled; raise Unfit for what is gone, Unready for what its owner can mend."""
        return await self._made_ready(
            account_id, owner, await self._db.read(account_id, letters.words, owner)
        )

    async def _made_ready(self, account_id: int, owner: str, words: Words) -> _Ready:
        keys = await self._db.read(account_id, signing.keys)
        name = (*words.key, tuple((one.id, one.sealed) for one in keys if one.domain == words.from_domain))
        kept = self._kept.get(name)
        if kept is not None:
            self._kept.move_to_end(name)
            return kept
        try:
            urls = await asyncio.to_thread(self._urls, words)
            refs = await self._db.write(account_id, letters.refs, owner, urls, self._links) if urls else []
            source = Source(
                words.content,
                self._links.base_url,
                words.list_id,
                dict(zip(urls, refs, strict=True)),
                words.feedback,
            )
            compiled = await asyncio.to_thread(source.compile)
        except ValueError as problem:
            raise Unready(f"the content cannot be made into a mail: {problem}") from problem
        try:
            signers = [one.signer(self._links) for one in keys if one.domain == words.from_domain]
        except ValueError as problem:
            raise Unready(
                f"the signing key of {words.from_domain} cannot be opened: {problem}; set the master key"
                " that it was made with, or retire the key"
            ) from problem
        self._kept[name] = made = _Ready(words, compiled, source, signers)
        while len(self._kept) > KEPT_MOST:
            self._kept.popitem(last=False)
        return made

    def _urls(self, words: Words) -> list[str]:
        """Compile once with references of no meaning, to learn which links there are."""
        compiled = content.compile(
            words.content,
            base_url=self._links.base_url,
            list_id=words.list_id,
            refs=lambda urls: ["A" * 16 for _ in urls],
            feedback=words.feedback,
        )
        return list(compiled.links)


def fresh_lease() -> int:
    """Return a fencing number that no other claim has."""
    return secrets.randbits(62)


def _content(one: Delivery) -> tuple[int, str]:
    return one.account_id, "confirm:" if one.occasion.startswith("confirm:") else one.owner


def _sign(signers: list[dkim.Signer], some: list[Letter]) -> list[Letter]:
    signed = []
    for one in some:
        fields = b"".join(signer.sign(one.data) for signer in signers)
        signed.append(
            Letter(one.delivery, one.mail_from, one.rcpt_to, one.subject, fields + one.data, one.smtputf8)
        )
    return signed
