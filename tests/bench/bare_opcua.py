"""What asyncua's manual shows: a subscription whose handler counts, and nothing is kept.

`python -m tests.bench.bare_opcua URL NAMESPACE VARIABLES PUBLISH_MS`; each line on its stdin is answered with
the number of changes so far. The agent is compared with it.
"""

import asyncio
import sys

from asyncua.client.client import Client
from asyncua.common.node import Node
from asyncua.common.subscription import DataChangeNotif

QUEUE = 64


class Counting:
    """The handler."""

    def __init__(self) -> None:
        self.changes = 0

    def datachange_notification(self, node: Node, val: object, data: DataChangeNotif) -> None:
        self.changes += 1


async def main(url: str, namespace: str, variables: int, publish_ms: int) -> None:
    handler = Counting()
    async with Client(url) as client:
        index = await client.get_namespace_index(namespace)
        subscription = await client.create_subscription(publish_ms, handler)
        nodes = [client.get_node(f"ns={index};s=Fast.V{number}") for number in range(variables)]
        await subscription.subscribe_data_change(nodes, queuesize=QUEUE)
        while await asyncio.to_thread(sys.stdin.readline):
            sys.stdout.write(f"{handler.changes}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
