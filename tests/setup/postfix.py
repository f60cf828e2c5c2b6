"""`smtp-sink` and `smtp-source` of Debian's postfix package, without installing a mail server.

Where they are not on the machine the package is downloaded and only unpacked, into a folder of
this user's cache: no service starts, nothing of the system changes.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "tidings" / "postfix"


class Missing(Exception):
    """The programs are not here and could not be fetched; the message says why."""


def program(name: str) -> tuple[list[str], dict[str, str]]:
    """Return the command of `smtp-sink` or `smtp-source`, and the environment that it needs."""
    for place in (shutil.which(name), f"/usr/sbin/{name}"):
        if place and Path(place).exists():
            return [place], dict(os.environ)
    unpacked = CACHE / "usr" / "sbin" / name
    if not unpacked.exists():
        _fetch()
    libraries = str(CACHE / "usr" / "lib" / "postfix")
    return [str(unpacked)], {**os.environ, "LD_LIBRARY_PATH": libraries}


def _fetch() -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        raise Missing("smtp-sink is part of the package postfix, and this is no Debian: install it")
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 (apt reads it as another user)
        done = subprocess.run(
            ["apt-get", "download", "postfix"], cwd=folder, capture_output=True, check=False, timeout=300
        )
        found = list(Path(folder).glob("postfix_*.deb"))
        if done.returncode or not found:
            raise Missing(f"the package postfix cannot be downloaded: {done.stderr.decode()[-300:]}")
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["dpkg-deb", "-x", str(found[0]), str(CACHE)], check=True, timeout=60)
