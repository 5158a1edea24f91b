"""OPC UA over `opc.tcp`: a subscription for speed, absolute reads for the truth.

The page beside this file, `opcua.md`, says what goes over the wire and why.
"""

from collections.abc import Sequence

from adapters._opcua_address import Address
from adapters._opcua_link import connect
from adapters._opcua_session import Session
from adapters._opcua_settings import Settings
from edge.contract import Intake, Signal

__all__ = ["Address", "Settings", "collect"]


async def collect(settings: Settings, signals: Sequence[Signal[Address]], intake: Intake) -> None:
    """Serve one connection until it fails. Raises SourceLost or SourceRefused."""
    async with connect(settings, intake.name) as link:
        await Session(link, signals, intake, settings.publish.total_seconds()).run()
