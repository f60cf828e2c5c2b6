"""Every route of the dashboard, in one table."""

from typing import Final

from tidings.web.dashboard import form_mail, forms, home, outbox, signing_in

ROUTES: Final = (
    *signing_in.ROUTES,
    *home.ROUTES,
    *outbox.ROUTES,
    *forms.ROUTES,
    *form_mail.ROUTES,
)
