"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import (
    fields,
    form_mail,
    forms,
    home,
    outbox,
    sequence_emails,
    sequences,
    signing_in,
    tags,
)
from tidings.web.dashboard.settings import account, keys, members, you

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *outbox.ROUTES,
    *forms.ROUTES,
    *form_mail.ROUTES,
    *tags.ROUTES,
    *fields.ROUTES,
    *sequences.ROUTES,
    *sequence_emails.ROUTES,
    *account.ROUTES,
    *keys.ROUTES,
    *members.ROUTES,
    *you.ROUTES,
)
