"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import broadcasts, home, outbox, signing_in

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *broadcasts.ROUTES,
    *outbox.ROUTES,
)
