"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import home, outbox, rules, signing_in, webhooks

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *outbox.ROUTES,
    *rules.ROUTES,
    *webhooks.ROUTES,
)
