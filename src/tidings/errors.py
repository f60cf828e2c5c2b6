"""What can go wrong, as the core says it. No HTTP here: each door has one table to statuses.

Problem
├── NotFound       the thing named does not exist for this account
├── Invalid        a value is malformed, not allowed, or taken
├── Missing        a needed value was not given
├── Conflict       the thing is not in a state that allows this
├── Unauthorized   no credentials, wrong ones, or not enough
├── Forbidden      allowed in general, not for this account now
├── TooMany        a limit is reached for now; says when to come back
└── Unavailable    our storage cannot take the write now; nothing was changed
"""


class Problem(Exception):
    """The caller's mistake or a plain refusal: expected, answered, never logged as a fault."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class NotFound(Problem):
    """`what` is the noun in our glossary: form, sequence, tag, subscriber, broadcast …"""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} not found")
        self.what = what


class Invalid(Problem):
    """`field` names the value, `reason` says what is wrong with it, as a sentence's end."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


class Missing(Problem):
    """Needed values were not given; `message` lists them."""


class Conflict(Problem):
    """The thing is in a state that does not allow this."""


class Unauthorized(Problem):
    """`reason` is one of absent, unknown, insufficient, unknown_integration."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Forbidden(Problem):
    """Allowed in general, but not for this account now."""


class TooMany(Problem):
    """A limit is reached; `retry_after` is in whole seconds, at least 1."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"try again in {retry_after} s")
        self.retry_after = retry_after


class Unavailable(Problem):
    """The write could not be made durable (disk full, database gone); nothing was changed."""
