"""A server of numbers that change all the time, in a process of its own: prints its port, ends with its standard input.

`python -m benchmarks._opcua_server NODES PERIOD_S`
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime

from asyncua import Server, ua

NAMESPACE_INDEX = 2


async def serve(n_nodes: int, period_s: float) -> None:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/numbers")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    index = await server.register_namespace("urn:benchmark:numbers")
    if index != NAMESPACE_INDEX:
        raise RuntimeError(f"the namespace has index {index}, not {NAMESPACE_INDEX}")
    node_ids = [ua.NodeId(f"v{number}", index) for number in range(n_nodes)]
    for number, node_id in enumerate(node_ids):
        await server.nodes.objects.add_variable(node_id, f"v{number}", 0.0)
    async with server:
        print(server.bserver.port, flush=True)
        turn = 0
        while True:
            turn += 1
            now = datetime.now(UTC)
            for number, node_id in enumerate(node_ids):
                value = ua.Variant(turn + number / 2, ua.VariantType.Double)
                await server.write_attribute_value(
                    node_id, ua.DataValue(value, SourceTimestamp=now, ServerTimestamp=now)
                )
            await asyncio.sleep(period_s)


async def until_input_ends(n_nodes: int, period_s: float) -> None:
    serving = asyncio.create_task(serve(n_nodes, period_s))
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    await asyncio.wait({serving, ended}, return_when=asyncio.FIRST_COMPLETED)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(until_input_ends(int(sys.argv[1]), float(sys.argv[2])))
