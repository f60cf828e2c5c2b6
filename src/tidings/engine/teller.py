"""The loop that tells events: what waits becomes notices and runs of rules, slice by slice."""

import logging

from tidings.core import telling
from tidings.core.accounts import INSTALLATION
from tidings.core.telling import Shape
from tidings.store.db import Database

log = logging.getLogger("tidings.engine")


class Teller:
    """Tells a slice a step; an idle step is one look at an index."""

    def __init__(self, db: Database, shape: Shape) -> None:
        self._db = db
        self._shape = shape

    async def step(self) -> int:
        """Tell what waits; return how many events it was."""
        if not await self._db.read(INSTALLATION, telling.any_untold):
            return 0
        return await self._db.write(INSTALLATION, telling.tell, self._shape)
