"""Every setting: name, kind, default, help. Read from `TIDINGS_*` and from a TOML file.

`docs/settings.md` is made from this list. Only `app` and `cli` read settings; everything
else is handed values.
"""

import ipaddress
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Bad(ValueError):
    """A setting has a value that cannot be used; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `kind` is text, number, networks, or the allowed words joined by `|`."""

    name: str
    kind: str
    default: str
    help: str


SETTINGS = (
    Setting(
        "TIDINGS_HOST", "text", "127.0.0.1", "Address to listen on. `0.0.0.0` lets other machines reach it."
    ),
    Setting("TIDINGS_PORT", "number", "8080", "Port to listen on."),
    Setting(
        "TIDINGS_DATABASE",
        "text",
        "sqlite:///data/tidings.db",
        "`sqlite:///FILE` (relative to where Tidings is started; `sqlite:////FILE` is absolute) or "
        "`postgresql://user:password@host/name`.",
    ),
    Setting(
        "TIDINGS_BASE_URL",
        "text",
        "",
        "Where people reach this installation, for the links in mails and forms, such as "
        "`https://mail.example.com`. Default: the address it listens on.",
    ),
    Setting(
        "TIDINGS_SMTP_URL",
        "text",
        "outbox:",
        "`smtp://user:password@host:port?connections=10`, `smtps://…`, or `outbox:`, which keeps mail in the "
        "database for the Outbox page: nothing leaves the machine. `per_second=`, `per_minute=`, `per_hour=` "
        "and `per_day=` limit what the server is given (see `docs/sending.md`).",
    ),
    Setting(
        "TIDINGS_RATE_LIMIT",
        "number",
        "120",
        "API requests in any 60 seconds for each key; 0 switches the limit off.",
    ),
    Setting(
        "TIDINGS_TRUSTED_PROXIES",
        "networks",
        "",
        "Networks of reverse proxies whose `X-Forwarded-For` is believed, such as "
        "`127.0.0.1/32, 10.0.0.0/8`.",
    ),
    Setting(
        "TIDINGS_WEBHOOK_ALLOW",
        "networks",
        "",
        "Networks that webhooks may reach although they are private, such as `10.0.0.0/8, 127.0.0.1/32`.",
    ),
    Setting(
        "TIDINGS_MASTER_KEY",
        "text",
        "",
        "At least 32 characters that sign links. Default: the file `master.key` beside the SQLite database, "
        "made at the first start; with PostgreSQL it must be set when several machines share the database.",
    ),
    Setting(
        "TIDINGS_METRICS_TOKEN",
        "text",
        "",
        "At least 16 characters: who says them as `Authorization: Bearer …` may read `/metrics`. Without it "
        "there is no such page.",
    ),
    Setting(
        "TIDINGS_LEASE",
        "number",
        "60",
        "Seconds after which a worker that is silent is taken for dead and its mail is taken back.",
    ),
    Setting(
        "TIDINGS_UNCERTAIN_WAIT",
        "number",
        "900",
        "Seconds that a mail waits of which nobody knows whether it arrived, before it is sent once more.",
    ),
    Setting(
        "TIDINGS_KEEP_DELIVERIES",
        "number",
        "400",
        "Days that each mail's row, its attempts, opens and clicks are kept after it has come to its end; "
        "then only the numbers stay. At least 60; 0 keeps all for ever.",
    ),
    Setting(
        "TIDINGS_FREE_SPACE",
        "number",
        "200",
        "Megabytes that must be free on the disk of an SQLite database, or 2 % of it where that is more (up "
        "to 2 GB): with less, broadcasts wait. 0 switches this off.",
    ),
    Setting(
        "TIDINGS_BACKUP",
        "text",
        "",
        "Folder that the engine writes backups to (see `docs/backup.md`); empty switches this off.",
    ),
    Setting("TIDINGS_BACKUP_EVERY", "number", "1", "Hours between two backups of the engine."),
    Setting(
        "TIDINGS_BACKUP_KEEP", "number", "24", "Backups of the engine that are kept; older ones are deleted."
    ),
    Setting(
        "TIDINGS_CLOCK_SPEED",
        "number",
        "1",
        "For tests: how many seconds pass for each real one. Delays of sequences and retries shrink by it.",
    ),
    Setting(
        "TIDINGS_FAILPOINT",
        "text",
        "",
        "For tests: the place where the engine kills itself, such as `handed` or `handed:3`.",
    ),
    Setting(
        "TIDINGS_LOG", "debug|info|warning|error|off", "info", "How much is logged, as JSON lines on stderr."
    ),
    Setting(
        "TIDINGS_LOG_ADDRESSES",
        "short|full|none",
        "short",
        "How client addresses are logged: cut to their network, in full, or not at all.",
    ),
)
# A mailbox's refusals are looked back on for 60 days: kept shorter, none would ever be told dead.
_LEAST = {"TIDINGS_KEEP_DELIVERIES": 60}


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings as values."""

    host: str
    port: int
    database: str
    base_url: str
    smtp_url: str
    rate_limit: int
    trusted_proxies: tuple[Network, ...]
    webhook_allow: tuple[Network, ...]
    master_key: str
    metrics_token: str
    lease: int
    uncertain_wait: int
    keep_deliveries: int
    free_space: int
    backup: str
    backup_every: int
    backup_keep: int
    clock_speed: int
    failpoint: str
    log: str
    log_addresses: str


def load(environment: Mapping[str, str] | None = None, file: str | None = None) -> Settings:
    """Read the settings: the environment wins over the TOML file, which wins over defaults.

    The file holds the names without `TIDINGS_`, in lower case: `port = 8080`.
    """
    given = _from_file(file) if file else {}
    environment = os.environ if environment is None else environment
    known = {setting.name for setting in SETTINGS}
    given.update({name: value for name, value in environment.items() if name in known})
    values = {one.name: _checked(one, given.get(one.name, one.default).strip()) for one in SETTINGS}
    names = {name.removeprefix("TIDINGS_").lower(): value for name, value in values.items()}
    host, port = names["host"], names["port"]
    if not names["base_url"]:
        shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104 (compared, not bound)
        names["base_url"] = f"http://[{shown}]:{port}" if ":" in str(shown) else f"http://{shown}:{port}"
    names["base_url"] = str(names["base_url"]).rstrip("/")
    return Settings(**names)  # type: ignore[arg-type]


def as_markdown() -> str:
    """Return `docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Made from `src/tidings/settings.py` (`make docs`). Each is an environment variable, or a line in",
        "the TOML file that `--config FILE` names, without `TIDINGS_` and in lower case (`port = 8080`).",
        "The environment wins.",
        "",
        "| Name | Kind | Default | Meaning |",
        "|---|---|---|---|",
    ]
    for one in SETTINGS:
        default = f"`{one.default}`" if one.default else ""
        kind = one.kind.replace("|", ", ")
        lines.append(f"| `{one.name}` | {kind} | {default} | {one.help} |")
    return "\n".join(lines) + "\n"


def _from_file(path: str) -> dict[str, str]:
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as problem:
        raise Bad(f"the settings file {path} cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise Bad(f"the settings file {path} is not TOML: {problem}") from problem
    known = {one.name.removeprefix("TIDINGS_").lower() for one in SETTINGS}
    for name, value in table.items():
        if name not in known:
            raise Bad(f"the settings file {path} has an unknown line: {name}")
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise Bad(f"{name} in {path} must be text or a number")
    return {f"TIDINGS_{name.upper()}": str(value) for name, value in table.items()}


def _checked(setting: Setting, value: str) -> object:
    if setting.kind == "number":
        if not value.isascii() or not value.isdigit() or len(value) > 9:
            raise Bad(f"{setting.name} must be a whole number, not {value!r}")
        number = int(value)
        if setting.name in _LEAST and 0 < number < _LEAST[setting.name]:
            raise Bad(f"{setting.name} must be 0 or at least {_LEAST[setting.name]}, not {value}")
        return number
    if setting.kind == "networks":
        try:
            return tuple(
                ipaddress.ip_network(one.strip(), strict=False) for one in value.split(",") if one.strip()
            )
        except ValueError as problem:
            raise Bad(f"{setting.name} must be networks such as 10.0.0.0/8: {problem}") from problem
    if "|" in setting.kind and value not in setting.kind.split("|"):
        raise Bad(f"{setting.name} must be one of {', '.join(setting.kind.split('|'))}, not {value!r}")
    return value
