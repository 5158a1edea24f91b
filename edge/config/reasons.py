"""`[reasons.scrap]` and `[reasons.downtime]`: codes that a person may scan to say why, and their words."""

from typing import Annotated

from pydantic import Field

from edge.config.tables import Text
from edge.contract import Settings

MOST_REASONS = 500
Code = Annotated[str, Field(pattern=r"^[0-9A-Z.-]{1,40}$")]
"""What the body of a label can hold."""
Reasons = Annotated[dict[Code, Text], Field(min_length=1, max_length=MOST_REASONS)]


class ReasonsTable(Settings):
    """`[reasons]`; a kind that is not written takes any code."""

    scrap: Reasons | None = None
    """Why a part is no good: `BURR = "burr at the edge"`."""
    downtime: Reasons | None = None
    """Why the machine stood: `JAM = "jammed feeder"`."""

    def known(self) -> dict[str, dict[str, str]]:
        """By kind, those that are written."""
        kinds = {"scrap": self.scrap, "downtime": self.downtime}
        return {kind: dict(codes) for kind, codes in kinds.items() if codes is not None}
