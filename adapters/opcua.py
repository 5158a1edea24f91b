"""OPC UA over `opc.tcp`: a subscription for speed, absolute reads for the truth.

The page beside this file, `opcua.md`, says what goes over the wire and why.
"""

import shlex
from collections.abc import Sequence

from adapters._opcua.address import Address
from adapters._opcua.connect import connect
from adapters._opcua.security import Party
from adapters._opcua.session import Plan, Session
from adapters._opcua.settings import Settings
from adapters._opcua.write import Write
from edge.contract import Intake, Signal

__all__ = ["Address", "Settings", "Write", "collect"]


async def collect(settings: Settings, signals: Sequence[Signal[Address]], intake: Intake) -> None:
    """Serve one connection until it fails. Raises SourceLost or SourceRefused."""
    party = Party(intake.name, intake.data, intake.line, shlex.quote(str(intake.file)))
    async with connect(settings, party) as (link, protection):
        plan = Plan(settings.publish.total_seconds(), settings.subscribe, [protection.watch])
        await Session(link, signals, intake, plan).run()
