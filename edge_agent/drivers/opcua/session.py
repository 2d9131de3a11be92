"""The session with a server: made, and given up within a bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from asyncua import Client

from edge_agent.core.cancellation import check_cancelled
from edge_agent.drivers.opcua.client import bound_messages
from edge_agent.drivers.opcua.identity import Secured
from edge_agent.drivers.opcua.secure import connect_securely
from edge_agent.drivers.opcua.settings import OpcUaSettings

ANSWER_TIMEOUT_S: Final = 5.0  # for one request; a healthy server answers within tens of milliseconds
CLOSE_TIMEOUT_S: Final = 1.0  # saying goodbye to a dead server must not hold up a restart
SESSION_TIMEOUT_S: Final = 60.0  # servers allow few sessions; one we could not close must not linger for an hour


def new_client(settings: OpcUaSettings, on_lost: Callable[[Exception], Awaitable[None]]) -> Client:
    """Return a client that is not connected; `on_lost` hears why a connection ended."""
    answer_timeout_s = min(ANSWER_TIMEOUT_S, settings.silent_after_s)
    # The library reads the server's state at this interval and gives it as long to answer.
    client = Client(
        settings.endpoint,
        timeout=answer_timeout_s,
        watchdog_intervall=settings.silent_after_s,
        auto_reconnect=False,
    )
    # Four silences: the library's read of the server's state keeps a quiet session open.
    client.session_timeout = max(SESSION_TIMEOUT_S, 4 * settings.silent_after_s) * 1_000
    client.connection_lost_callback = on_lost
    bound_messages(client)
    return client


async def connect(client: Client, settings: OpcUaSettings, now: datetime) -> Secured:
    """Open the channel and the session, as who the settings say; the certificates in use.

    Raise DeviceRejectedError and the library's errors.
    """
    secured = await connect_securely(client, settings, now)
    check_cancelled()
    return secured


async def disconnect(client: Client, name: str) -> None:
    """Close session and channel, within a bound; raise nothing."""
    # Owned here. A task, because the library swallows a cancellation that hits its own clean-up.
    closing = asyncio.create_task(client.disconnect(), name=f"{name} disconnect")
    try:
        await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
    finally:
        client.disconnect_socket()
        closing.cancel()
    await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
