"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import (
    broadcasts,
    fields,
    form_mail,
    forms,
    home,
    outbox,
    rules,
    sending,
    sequence_emails,
    sequences,
    signing_in,
    signing_keys,
    subscribers,
    suppressed,
    tags,
    webhooks,
)
from tidings.web.dashboard.moving import backups, exporting, importing
from tidings.web.dashboard.settings import account, keys, members, you

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *broadcasts.ROUTES,
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
    *subscribers.ROUTES,
    *rules.ROUTES,
    *webhooks.ROUTES,
    *importing.ROUTES,
    *exporting.ROUTES,
    *backups.ROUTES,
    *sending.ROUTES,
    *signing_keys.ROUTES,
    *suppressed.ROUTES,
)
