"""pump-2 on an OPC UA server of its own: values with source timestamps and the sensors' statuses."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from asyncua import Server, ua

from edge_agent.core.quality import Quality
from edge_agent.demo.plant_pump import PumpState
from edge_agent.demo.plant_sources import NAMESPACE_INDEX, NAMESPACE_URI, PUMP_NODES

STATUSES: Final = {
    Quality.GOOD: ua.StatusCodes.Good,
    Quality.UNCERTAIN: ua.StatusCodes.UncertainSensorNotAccurate,
    Quality.BAD: ua.StatusCodes.BadSensorFailure,
}


class PumpServer:
    """The OPC UA server. `start` before `show`; `stop` at the end."""

    def __init__(self) -> None:
        self._server = Server()
        self._node_ids = {node.quantity: ua.NodeId.from_string(node.node_id) for node in PUMP_NODES}

    async def start(self, port: int) -> int:
        """Serve on 127.0.0.1; port 0 lets the system choose. The port that was taken."""
        await self._server.init()
        self._server.set_endpoint(f"opc.tcp://127.0.0.1:{port}/plant")
        self._server.set_server_name("Simulated plant")
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self._server.register_namespace(NAMESPACE_URI)
        if index != NAMESPACE_INDEX:
            raise RuntimeError(f"the plant's namespace got index {index}, not {NAMESPACE_INDEX}")
        pump = await self._server.nodes.objects.add_object(ua.NodeId("Pump2", index), "Pump2")
        for node in PUMP_NODES:
            await pump.add_variable(self._node_ids[node.quantity], node.browse_name, 0.0)
        await self._server.start()
        taken: int = self._server.bserver.port
        return taken

    async def show(self, state: PumpState, at: datetime | None = None) -> None:
        """Put the values on the server, stamped `at` (now when not given)."""
        stamp = datetime.now(UTC) if at is None else at
        for quantity, node_id in self._node_ids.items():
            quality = state.quality.get(quantity, Quality.GOOD)
            value = ua.DataValue(
                ua.Variant(state.values[quantity], ua.VariantType.Double),
                StatusCode=ua.StatusCode(STATUSES[quality]),
                SourceTimestamp=stamp,
            )
            await self._server.write_attribute_value(node_id, value)

    async def stop(self) -> None:
        await self._server.stop()
