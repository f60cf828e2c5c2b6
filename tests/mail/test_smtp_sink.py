"""The sink as a rig of its own: it writes down what it accepts before it says so."""

import asyncio
import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tidings.mail.outcome import Accepted, Envelope, Outcome, Unknown
from tidings.mail.provider import Settings, Timeouts
from tidings.mail.smtp import Smtp

ROOT = Path(__file__).parents[2]
DATA = b"Message-ID: <m1@a.test>\r\nSubject: hi\r\n\r\n.hello\r\n"


@contextmanager
def program(*options: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Run the sink as a program; gives it and its port."""
    command = [sys.executable, "-m", "tests.mail.sink", *options]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield running, int(running.stdout.readline().rpartition(":")[2])
        finally:
            running.kill()


def send(port: int, count: int) -> list[Outcome]:
    async def sending() -> list[Outcome]:
        waits = Timeouts(quit_s=0.2).capped(20.0)
        smtp = Smtp(Settings("127.0.0.1", port, starttls="never", timeouts=waits))
        batch = [Envelope(key, "news@a.test", f"p{key}@b.test", DATA) for key in range(count)]
        outcomes = await smtp.send(batch)
        await smtp.close()
        return outcomes

    return asyncio.run(sending())


def test_every_accepted_message_is_on_disk_before_its_250(tmp_path: Path) -> None:
    record = tmp_path / "taken.jsonl"
    with program("--record", str(record), "--fsync") as (running, port):
        assert all(isinstance(outcome, Accepted) for outcome in send(port, 20))
        # Killed at once: what the client was told is in the file all the same.
        running.send_signal(signal.SIGKILL)
        running.wait(10)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["rcpt"] for line in lines] == [[f"p{key}@b.test"] for key in range(20)]
    assert {line["message_id"] for line in lines} == {"<m1@a.test>"}
    assert {line["sha256"] for line in lines} == {hashlib.sha256(DATA).hexdigest()}
    assert len({line["queue_id"] for line in lines}) == 20


def test_a_script_from_the_command_line_is_followed(tmp_path: Path) -> None:
    record = tmp_path / "taken.jsonl"
    script = json.dumps([{"answer": [None, "RST"]}, {"banner": "554 5.3.2 no"}])
    with program("--record", str(record), "--delay-ms", "1", "--script", script) as (running, port):
        outcomes = send(port, 3)
        running.terminate()
        assert running.stdout is not None
        assert running.stdout.read() == "took 2\n"
    assert isinstance(outcomes[0], Accepted)
    assert isinstance(outcomes[1], Unknown)
    # The reply of the second was lost, but the message was taken.
    assert len(record.read_text().splitlines()) == 2
