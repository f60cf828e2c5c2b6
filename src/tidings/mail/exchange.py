"""Messages over one open wire (RFC 5321 3.3), pipelined where the server says it can (RFC 2920).

Pipelined, one write carries a message, its terminator, and MAIL, RCPT and DATA of the next: one round
trip a message instead of four. Its one promise: it always knows whether the terminator of a message
has been handed to the socket. Before that a failure is `NotTaken`; after it, only a complete reply
decides. Never more than one message is in that doubt.

A state machine without a task: `_asked` holds the replies still to come, in order; `_at` is the message
between MAIL and its body, `_final` the one whose terminator is out.
"""

import asyncio
from collections import deque
from typing import Literal

from tidings.mail.classify import enough
from tidings.mail.offers import Offers
from tidings.mail.outcome import Accepted, Batch, NotTaken, Refused, Stage, Unknown
from tidings.mail.provider import Timeouts
from tidings.mail.wire import Lost, Reply, Wire, stuffed

Step = Literal["rset", "mail", "rcpt", "data", "lone", "dot"]

# A longer message goes block by block, so that a failure before its end is known to be one.
BLOCK = 128 * 1024
# No message, where the place of one in its batch stands.
NONE = -1


class Exchange:
    """The MAIL, RCPT, DATA of one connection."""

    def __init__(self, wire: Wire, waits: Timeouts, offers: Offers) -> None:
        self._wire = wire
        self._offers = offers
        self._waits = waits
        self._loop = asyncio.get_running_loop()
        self._batch = Batch(())
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._over = True
        self._asked: deque[Step] = deque()
        self._at = NONE
        self._stage: Stage = "mail"
        self._refusal: Refused | None = None
        self._final = NONE
        self._rest = memoryview(b"")
        # The server holds a MAIL that no message followed: RSET comes before the next.
        self._unfinished = False
        self._ends = 0.0
        self._due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._limit = 0
        self._first = 0
        # How many this connection has begun, and how many of them the server has taken.
        self.begun = 0
        self._taken = 0
        # Set when the server ended the connection between two messages: after how many, and whether
        # it said that this is its limit.
        self.ended_after = 0
        self.enough = False

    async def run(self, batch: Batch, limit: int) -> None:
        """Settle what waits in `batch` until it is empty or the connection is over.

        At most `limit` messages go over this connection in all, if it is not 0. What was not begun
        when the connection ended goes back to the batch.
        """
        self._batch, self._limit, self._first = batch, limit, self.begun
        self._done = self._loop.create_future()
        self._over, self._wire.listener = False, self
        try:
            self._go_on()
            self._watch()
        except Lost as lost:
            self._lose(str(lost))
        try:
            await self._done
        finally:
            self._over, self._wire.listener = True, None

    def stop(self) -> None:
        """Forget the timer; the connection is not used any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # What the wire tells.

    def arrived(self) -> None:
        """Take every reply that is complete; each may lead to the next write."""
        heard = False
        try:
            while self._asked and (reply := self._wire.take()) is not None:
                heard = True
                self._answered(self._asked.popleft(), reply)
            if self._over:
                return
            if not self._asked and self._wire.unread:
                raise Lost(self._wire.out_of_turn())
            # Only a reply moves the deadline: a server that drips bytes wins no time.
            if heard:
                self._watch()
        except Lost as lost:
            self._lose(str(lost))

    def drained(self) -> None:
        """Go on with a message that goes in blocks."""
        if self._stage == "body" and self._at != NONE:
            try:
                self._pump()
                self._watch()
            except Lost as lost:
                self._lose(str(lost))

    def ended(self, why: str) -> None:
        """The connection is over."""
        self._lose(why)

    # The replies, step by step.

    def _answered(self, step: Step, reply: Reply) -> None:
        if step == "dot":
            self._on_dot(reply)
        elif step == "mail":
            self._on_mail(reply)
        elif step == "rcpt":
            self._on_rcpt(reply)
        elif step == "data":
            self._on_data(reply)
        elif step == "lone":
            # No recipient was accepted, so nothing was taken whatever this says.
            self._unfinished = False
            self._go_on_after(reply)
        elif reply.code == 250:
            self._unfinished = False
            if not self._offers.pipelining:
                self._ask_alone("mail")
        else:
            raise Lost(f"RSET was answered by {reply.code} {reply.text}")

    def _on_mail(self, reply: Reply) -> None:
        if reply.code // 100 == 2:
            self._unfinished = True
            self._stage = "rcpt"
            if not self._offers.pipelining:
                self._ask_alone("rcpt")
            return
        if reply.code == 421 and self.begun > 1:
            self._says_enough(reply)
            # It has had enough messages or waited too long: the next connection takes this one.
            raise Lost(f"{reply.code} {reply.text}")
        self._refuse(reply, permanent=False)

    def _on_rcpt(self, reply: Reply) -> None:
        if self._refusal is not None:
            if reply.code == 421:
                raise Lost(f"{reply.code} {reply.text}")
            return
        if reply.code // 100 == 2:
            self._stage = "data"
            if not self._offers.pipelining:
                self._ask_alone("data")
            return
        self._refuse(reply, permanent=reply.code >= 500)

    def _on_data(self, reply: Reply) -> None:
        refusal = self._refusal
        if refusal is None:
            if reply.code == 354:
                self._send_body()
            else:
                self._refuse(reply, permanent=reply.code >= 500)
        elif reply.code == 354:
            if refusal.stage != "rcpt":
                # It refused MAIL and yet wants a message: who would get it nobody knows.
                raise Lost("DATA was accepted after MAIL was refused")
            self._settle_refusal()
            # RFC 2920 3.1: a lone dot ends what no recipient was accepted for.
            self._asked.append("lone")
            self._wire.hand(b".\r\n")
        elif reply.code >= 400:
            self._settle_refusal()
            self._go_on_after(reply)
        else:
            # The replies are out of step with the commands, so the refusal is in doubt too.
            self._refusal, self._stage = None, "data"
            raise Lost(f"an unexpected reply: {reply.code} {reply.text}")

    def _on_dot(self, reply: Reply) -> None:
        """Settle by the reply that decides; nothing but a complete 2xx, 4xx or 5xx does."""
        at, self._final = self._final, NONE
        key, code = self._batch.envelopes[at].key, reply.code
        self._ends = self._loop.time() + self._waits.message_s
        if code // 100 == 2:
            self._taken += 1
            self._batch.settle(at, Accepted(key, code, reply.text))
        elif code < 400:
            self._batch.settle(at, Unknown(key, f"the message was answered by {code} {reply.text}"))
            raise Lost(f"an unexpected reply: {code} {reply.text}")
        elif self._says_enough(reply):
            self._batch.waiting.appendleft(at)
            raise Lost(f"{code} {reply.text}")
        else:
            self._batch.settle(at, Refused(key, code, reply.text, permanent=code >= 500, stage="dot"))
        if code == 421 or not self._offers.pipelining or self._at == NONE:
            self._go_on_after(reply)

    def _go_on_after(self, reply: Reply) -> None:
        if reply.code == 421:
            # RFC 5321 3.8: the server closes after it, whatever command it answers.
            raise Lost(f"{reply.code} {reply.text}")
        self._go_on()

    def _refuse(self, reply: Reply, *, permanent: bool) -> None:
        """Keep a complete 4xx or 5xx; any other code means we lost step."""
        if reply.code < 400:
            raise Lost(f"an unexpected reply: {reply.code} {reply.text}")
        if self._says_enough(reply):
            self._stage = "mail"
            raise Lost(f"{reply.code} {reply.text}")
        key = self._batch.envelopes[self._at].key
        self._refusal = Refused(key, reply.code, reply.text, permanent, self._stage)
        if not self._asked:
            self._settle_refusal()
            self._go_on_after(reply)
        elif reply.code == 421:
            raise Lost(f"{reply.code} {reply.text}")

    def _settle_refusal(self) -> None:
        if self._refusal is not None:
            self._batch.settle(self._at, self._refusal)
        self._at, self._refusal = NONE, None

    # What is written.

    def _go_on(self) -> None:
        """Begin the next message, or end the run."""
        commands = self._begin_next()
        if commands:
            self._ends = self._loop.time() + self._waits.message_s
            self._wire.hand(commands)
        else:
            self._finish()

    def _begin_next(self) -> bytes:
        """Take the next message that is fit and give the commands which begin it, if there is one."""
        batch = self._batch
        while batch.waiting and not (self._limit and self.begun >= self._limit):
            at = batch.waiting.popleft()
            envelope = batch.envelopes[at]
            unfit = self._offers.unfit(envelope)
            if unfit is not None:
                batch.settle(at, unfit)
                continue
            self._at, self._stage = at, "mail"
            self.begun += 1
            if self._offers.pipelining:
                reset = b"RSET\r\n" if self._unfinished else b""
                self._asked.extend(("rset", "mail", "rcpt", "data") if reset else ("mail", "rcpt", "data"))
                lines = f"{self._offers.mail_line(envelope)}\r\nRCPT TO:<{envelope.rcpt_to}>\r\nDATA\r\n"
                return reset + lines.encode()
            self._asked.append("rset" if self._unfinished else "mail")
            return (b"RSET" if self._unfinished else self._offers.mail_line(envelope).encode()) + b"\r\n"
        return b""

    def _ask_alone(self, step: Step) -> None:
        """Send one command and wait for its reply, as without PIPELINING."""
        envelope = self._batch.envelopes[self._at]
        if step == "mail":
            line = self._offers.mail_line(envelope)
        else:
            line = f"RCPT TO:<{envelope.rcpt_to}>" if step == "rcpt" else "DATA"
        self._asked.append(step)
        self._wire.hand(line.encode() + b"\r\n")

    def _send_body(self) -> None:
        envelope = self._batch.envelopes[self._at]
        data = stuffed(envelope.data, strict=envelope.strict)
        self._stage = "body"
        if len(data) <= BLOCK:
            self._end_body(data)
        else:
            self._rest = memoryview(data)
            self._pump()

    def _pump(self) -> None:
        """Write block after block, each once the system has the one before."""
        while self._rest:
            self._wire.hand(self._rest[:BLOCK])
            self._rest = self._rest[BLOCK:]
            if self._wire.paused:
                return
        self._end_body(b"")

    def _end_body(self, last: bytes) -> None:
        """Hand over what is left, the terminator, and the commands of the next message."""
        at, self._at = self._at, NONE
        # The terminator ends the transaction, whatever answers it.
        self._unfinished = False
        self._asked.append("dot")
        following = self._begin_next() if self._offers.pipelining else b""
        try:
            # From this call on the end is ambiguous; on a dead connection it hands nothing over.
            self._wire.hand(last + b".\r\n" + following)
        except Lost as lost:
            self._batch.settle(at, NotTaken(self._batch.envelopes[at].key, str(lost), "body"))
            raise
        self._final = at

    # How it ends.

    def _watch(self) -> None:
        """Move the deadline to what is awaited now; the timer itself is moved only to ring earlier."""
        if self._over:
            return
        step = self._asked[0] if self._asked else "body"
        if step == "dot":
            wait_s = self._waits.dot_s
        elif step == "data":
            wait_s = self._waits.data_s
        else:
            wait_s = self._waits.block_s if step == "body" else self._waits.command_s
        self._due = min(self._loop.time() + wait_s, self._ends)
        if self._timer is None or self._timer.when() > self._due:
            self.stop()
            self._timer = self._loop.call_at(self._due, self._rung)

    def _rung(self) -> None:
        self._timer = None
        if self._over:
            return
        # uvloop counts in whole milliseconds and may ring one early.
        if self._loop.time() + 0.001 < self._due:
            self._timer = self._loop.call_at(self._due, self._rung)
        else:
            self._lose("no complete reply in time" if self._asked else "no block was taken in time")

    def _says_enough(self, reply: Reply) -> bool:
        if self._taken and enough(reply.code, reply.text):
            self.enough = True
            self.ended_after = self._taken
        return self.enough

    def _lose(self, why: str) -> None:
        """End the connection and say of every message what is certain."""
        if self._over:
            return
        batch, at = self._batch, self._at
        self._wire.abort(why)
        self.stop()
        if self._final != NONE:
            batch.settle(self._final, Unknown(batch.envelopes[self._final].key, why))
        if self._refusal is not None:
            self._settle_refusal()
        elif at != NONE and self._stage == "mail" and self.begun > 1:
            # Nothing of it was given away: the next connection tries it, as its first.
            batch.waiting.appendleft(at)
            if not self.enough and self.begun - self._first > 1:
                self.ended_after = self.begun - 1
        elif at != NONE:
            batch.settle(at, NotTaken(batch.envelopes[at].key, why, self._stage))
        self._finish()

    def _finish(self) -> None:
        self._over, self._wire.listener = True, None
        self._asked.clear()
        self._at = self._final = NONE
        self._refusal = None
        self._rest = memoryview(b"")
        if not self._done.done():
            self._done.set_result(None)
