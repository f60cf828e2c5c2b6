"""Keeps one child process running, and ends it with its parent."""

import logging
import subprocess
import threading
import time
from types import TracebackType

log = logging.getLogger("tidings")

REST_FIRST_S = 1.0
REST_MOST_S = 30.0
# A child that ran so long was well: its next failure is a first one again.
WELL_AFTER_S = 60.0
PATIENCE_S = 15.0


class Supervisor:
    """Starts `command` and starts it again when it ends; a context manager.

    `environment` is the child's, by default ours. Passwords go there: everybody may read
    command lines.
    """

    def __init__(self, command: list[str], environment: dict[str, str] | None = None) -> None:
        self._command = command
        self._environment = environment
        self._stopping = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> "Supervisor":
        self._start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        child = self._child
        if child is not None and child.poll() is None:
            child.terminate()
            try:
                child.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                child.kill()
        self._thread.join(PATIENCE_S)

    def _start(self) -> None:
        # Its standard input is a pipe that nobody writes to: it ends when this process does.
        self._child = subprocess.Popen(  # noqa: S603 (our own program)
            self._command, stdin=subprocess.PIPE, env=self._environment
        )

    def _watch(self) -> None:
        rest = REST_FIRST_S
        while not self._stopping.is_set():
            child, began = self._child, time.monotonic()
            assert child is not None  # noqa: S101 (started before)
            code = child.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > WELL_AFTER_S:
                rest = REST_FIRST_S
            log.error("the engine ended; it is started again", extra={"code": code, "in_seconds": rest})
            if self._stopping.wait(rest):
                return
            rest = min(rest * 2, REST_MOST_S)
            self._start()
