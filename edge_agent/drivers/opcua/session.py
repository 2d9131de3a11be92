"""The session with a server: made, taken up again over a new connection, and given up within a bound.

A server keeps a session for its time-out after the connection is cut, and with it what its subscriptions queue: taken
up again in time, nothing is lost (OPC 10000-4, 6.7).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from asyncua import Client, ua

from edge_agent.core.cancellation import check_cancelled
from edge_agent.drivers.opcua.client import bound_messages, expect_greeting
from edge_agent.drivers.opcua.security.identity import Secured
from edge_agent.drivers.opcua.security.secure import connect_securely
from edge_agent.drivers.opcua.settings import OpcUaSettings

ANSWER_TIMEOUT_S: Final = 5.0  # for one request; a healthy server answers within tens of milliseconds
CLOSE_TIMEOUT_S: Final = 1.0  # saying goodbye to a dead server must not hold up a restart
SESSION_TIMEOUT_S: Final = 60.0  # servers allow few sessions; one we could not close must not linger for an hour

_FORGOTTEN: Final = (ua.StatusCodes.BadSessionIdInvalid, ua.StatusCodes.BadSessionClosed)


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
    expect_greeting(client, f"{settings.name}: {settings.endpoint}")
    return client


async def connect(client: Client, settings: OpcUaSettings, now: datetime) -> Secured:
    """Open the channel and the session, as who the settings say; the certificates in use.

    Raise DeviceRejectedError and the library's errors.
    """
    secured = await connect_securely(client, settings, now)
    check_cancelled()
    return secured


async def resume(client: Client, subscriptions: list[int]) -> None:
    """Take up the session over a new connection, with its subscriptions. Raise the library's errors.

    Connection, channel and keys are new; that the session is ours we prove again, as when it was made. When the server
    has forgotten the session and kept its subscriptions, they move into a new one.
    """
    await client._cancel_task(client._supervisor_task)
    await client._teardown_transport_only()
    check_cancelled()
    await client.connect_socket()
    check_cancelled()
    await client.send_hello()
    await client.open_secure_channel()
    check_cancelled()
    client.uaclient.session.rebind_authentication_token()
    try:
        await client._activate_with_credentials()
    except ua.UaStatusCodeError as exc:
        if exc.code not in _FORGOTTEN:
            raise
        await _move(client, subscriptions)
    check_cancelled()
    client._start_renew_loop()
    client._supervisor_task = asyncio.create_task(client._connection_supervisor())


async def answers(client: Client, within_s: float) -> bool:
    """Return whether the server answers in the session."""
    try:
        async with asyncio.timeout(within_s):
            await client.nodes.server_state.read_value()
    except (ua.UaError, OSError):
        return False
    finally:
        check_cancelled()
    return True


async def _move(client: Client, subscriptions: list[int]) -> None:
    """Make a new session and move subscriptions into it. Raise the library's errors when one does not come along."""
    client.uaclient.session.reset_authentication_token()
    await client._create_and_activate_session()
    parameters = ua.TransferSubscriptionsParameters(SubscriptionIds=subscriptions, SendInitialValues=False)
    for result in await client.uaclient.session.transfer_subscriptions(parameters):
        result.StatusCode.check()


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
