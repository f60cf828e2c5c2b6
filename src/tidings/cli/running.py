"""The commands that run until they are stopped: serve, web, engine."""

import argparse
import errno
import os
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from tidings import app
from tidings.cli.ground import Said, chosen, database, given, plain
from tidings.settings import Settings
from tidings.store import health

# getaddrinfo cuts higher numbers to 16 bits without a word.
PORT_MAX = 65_535


def serve(args: argparse.Namespace) -> int:
    """Run web and engine."""
    using = chosen(args)
    _refuse_port_in_use(using)
    health.opened(using.database).close()
    # The supervised engine is told of these by its environment; its links need them.
    os.environ.update(given(args))
    return _until_stopped(lambda: app.serve(using, demo=args.demo, config=getattr(args, "config", None)))


def web(args: argparse.Namespace) -> int:
    """Run one web process."""
    using = chosen(args)
    with database(using):
        _refuse_port_in_use(using)
    return _until_stopped(lambda: app.serve_web(using))


def engine(args: argparse.Namespace) -> int:
    """Run one engine."""
    using = chosen(args)
    with database(using):
        pass
    return app.run_engine(using, supervised=args.supervised)


def _refuse_port_in_use(using: Settings) -> None:
    """Say in words what the web server would only log: that it cannot listen there."""
    if using.port > PORT_MAX:
        raise Said(f"there is no port {using.port}: the highest is {PORT_MAX}")
    try:
        found = socket.getaddrinfo(using.host, using.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        with socket.socket(family, kind, protocol) as trying:
            trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trying.bind(where)
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise Said(
                f"port {using.port} of {using.host} is in use; choose another with --port"
            ) from problem
        said = problem.strerror or str(problem)
        raise Said(f"cannot listen on {plain(using.host)} port {using.port}: {said}") from problem


def _until_stopped(run: Callable[[], int]) -> int:
    """Run until Ctrl-C or SIGTERM, both of which are a good end.

    The web server stops at the signal and raises it again afterwards: as an exception it
    leaves through every `finally`, so that the engine is ended and the database closed.
    """
    signal.signal(signal.SIGTERM, _stop)
    try:
        return run()
    except KeyboardInterrupt:
        return 0


def _stop(*_: object) -> NoReturn:
    raise SystemExit(0)
