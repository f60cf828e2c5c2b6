"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import home, outbox, signing_in

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *outbox.ROUTES,
)
