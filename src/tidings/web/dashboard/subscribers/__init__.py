"""Subscribers: the list with its search, one person, adding somebody, and changes of many at once."""

from typing import Final

from tidings.web.dashboard.subscribers import adding, changes, listing, person

ROUTES: Final = (*listing.ROUTES, *adding.ROUTES, *changes.ROUTES, *person.ROUTES)
