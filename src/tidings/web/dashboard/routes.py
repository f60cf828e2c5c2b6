"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import (
    home,
    outbox,
    rules,
    sending,
    signing_in,
    signing_keys,
    suppressed,
    webhooks,
)

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *outbox.ROUTES,
    *rules.ROUTES,
    *webhooks.ROUTES,
    *sending.ROUTES,
    *signing_keys.ROUTES,
    *suppressed.ROUTES,
)
