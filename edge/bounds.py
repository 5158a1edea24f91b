"""How long and how large what a person asks for may be: the types of a request's fields.

A request that goes beyond is refused as it is read, for each of these is written down.
"""

from typing import Annotated

from msgspec import Meta

LONGEST_NAME = 64
"""Characters of who asks, and of what a sink is called."""
LAST = (1 << 63) - 1
"""The largest number that SQLite has."""
MOST = 10_000
"""Numbers in one request."""

PRINTABLE = r"\A[^\x00-\x1f\x7f]*\Z"

By = Annotated[str, Meta(max_length=LONGEST_NAME, pattern=PRINTABLE)]
"""Who asks; empty where nobody says."""
Called = Annotated[str, Meta(min_length=1, max_length=LONGEST_NAME, pattern=PRINTABLE)]
"""The name of something that was configured."""
Number = Annotated[int, Meta(ge=1, le=LAST)]
"""A seq, or the number of an observation in quarantine."""
Numbers = Annotated[tuple[Number, ...], Meta(max_length=MOST)]
