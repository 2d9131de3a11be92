"""What a stream of frames says of itself, for a person who commissions its sensor."""

from __future__ import annotations

from edge_agent.drivers.accelerometer.link import TcpLink, UdpLink
from edge_agent.drivers.accelerometer.protocol import FrameHeader


async def first_header(interface: str, host: str, port: int, *, silent_after_s: float) -> FrameHeader:
    """Return the header of the first frame that comes. Raises TransientDriverError."""
    where = f"sensor at {host}:{port} ({interface})"
    link = (TcpLink if interface == "tcp" else UdpLink)(where, host=host, port=port, silent_after_s=silent_after_s)
    try:
        await link.open()
        return (await link.receive()).header
    finally:
        await link.close()
