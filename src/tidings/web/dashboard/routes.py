"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import home, outbox, signing_in
from tidings.web.dashboard.moving import backups, exporting, importing
from tidings.web.dashboard.settings import account, keys, members, you

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *outbox.ROUTES,
    *account.ROUTES,
    *keys.ROUTES,
    *members.ROUTES,
    *you.ROUTES,
    *importing.ROUTES,
    *exporting.ROUTES,
    *backups.ROUTES,
)
