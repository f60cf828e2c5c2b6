"""The pages of broadcasts: written, aimed, looked over, sent, watched."""

from typing import Final

from tidings.web.dashboard.broadcasts import aim, listing, recipients, review, watch, writing

ROUTES: Final = (
    *listing.ROUTES,
    *writing.ROUTES,
    *aim.ROUTES,
    *review.ROUTES,
    *watch.ROUTES,
    *recipients.ROUTES,
)
