"""How hard a server is asked while it is probed, and when it is enough."""

import time
from collections.abc import Awaitable
from typing import TypeVar

from adapters._probe_patience import Patience

T = TypeVar("T")

_LONGEST_REST_S = 0.5


class Pace(Patience):
    """One request at a time, then a rest as long as it took: half of the server is left to others."""

    async def paced(self, request: Awaitable[T]) -> T:
        """Its answer, after the rest."""
        began_s = time.monotonic()
        answer = await request
        await self.rest(min(time.monotonic() - began_s, _LONGEST_REST_S))
        return answer
