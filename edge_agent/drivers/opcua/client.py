"""The client of an OPC UA server within bounds, and the library's errors as ours."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from typing import Any, Final

from asyncua import Client, ua
from asyncua.common.utils import NotEnoughData, ServiceError, SocketClosedException
from asyncua.crypto.uacrypto import InvalidSignature
from asyncua.ua.uaerrors import (
    UaInvalidParameterError,
    UaStatusCodeError,
    UaStringParsingError,
    UaStructParsingError,
)

from edge_agent.drivers.opcua.refusals import REFUSALS, TRUST_US
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError

MAX_MESSAGE_BYTES: Final = 4_000_000
"""Values of some ten thousand nodes in one notification. The library itself would wait for 4 GB, and keep any number of
chunks."""

_CHUNK_BYTES: Final = 65_535  # the largest we allow in the greeting
_MAX_CHUNKS: Final = MAX_MESSAGE_BYTES // _CHUNK_BYTES
_NO_OPC_UA: Final = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError, struct.error)
"""What the library raises when it reads an answer whose bytes are not what the protocol says."""
_IS_IT_THERE: Final = "check that the server runs, and that host and port are right"

TRANSLATION: Final[dict[type[Exception], type[DriverError]]] = {
    UaStatusCodeError: TransientDriverError,
    ServiceError: TransientDriverError,
    SocketClosedException: TransientDriverError,
    NotEnoughData: TransientDriverError,
    UaStructParsingError: TransientDriverError,
    UaStringParsingError: DeviceRejectedError,
    UaInvalidParameterError: DeviceRejectedError,
}


@contextlib.contextmanager
def translated(source: str, endpoint: str) -> Iterator[None]:
    """Let only our errors out of this block."""
    try:
        yield
    except ua.UaError as exc:
        raise _translation(exc, f"{source}: {endpoint}") from exc
    except (AssertionError, InvalidSignature) as exc:
        # The library asserts that the server opened the secure channel, and says nothing when it did not.
        raise DeviceRejectedError(f"{source}: {endpoint} did not open a secure channel", hint=TRUST_US) from exc
    except _NO_OPC_UA as exc:
        raise TransientDriverError(
            f"{source}: {endpoint} answers something that is not OPC UA: {type(exc).__name__}: {exc}",
            hint="is this the right port, and an OPC UA server?",
        ) from exc
    except TimeoutError as exc:  # of the connection, or of a request: then there is one
        raise TransientDriverError(f"{source}: {endpoint} does not answer in time", hint=_IS_IT_THERE) from exc
    except OSError as exc:
        raise TransientDriverError(
            f"{source}: no connection to the OPC UA server at {endpoint}: {_why_no_connection(exc)}", hint=_IS_IT_THERE
        ) from exc


def _why_no_connection(exc: OSError) -> str:
    match exc:
        case ConnectionRefusedError():
            return "nothing listens there (connection refused)"
        case socket.gaierror():
            return "its name is not found"
    if exc.errno is not None and exc.errno > 0 and exc.filename is None:  # asyncio's own words repeat the address
        return os.strerror(exc.errno).lower()
    return str(exc) or "it was closed"


def expect_greeting(client: Client, where: str) -> None:
    """Say that something listens and does not speak OPC UA; to the library there is no connection then."""
    send_hello = client.send_hello

    async def greeted() -> None:
        try:
            await send_hello()
        except (TimeoutError, ConnectionError) as exc:
            said = "no answer of that kind comes in time" if isinstance(exc, TimeoutError) else "it ends the connection"
            raise TransientDriverError(
                f"{where}: something listens there and does not speak OPC UA: greeted, {said}",
                hint="is it the right port? 4840 is usual; a server that hangs does the same",
            ) from exc

    client.send_hello = greeted


def bound_messages(client: Client) -> None:
    """End a connection whose server sends a message longer than any is, before the library has kept it."""
    make = client.uaclient._make_protocol

    def bounded() -> Any:
        protocol = make()
        take = protocol.data_received

        def data_received(data: bytes) -> None:
            take(data)
            waiting = len(protocol.receive_buffer or b"")
            if waiting > 2 * _CHUNK_BYTES or len(protocol._connection._incoming_parts) > _MAX_CHUNKS:
                protocol.disconnect_socket()

        protocol.data_received = data_received
        return protocol

    client.uaclient._make_protocol = bounded


def refused(code: int, where: str, own: str = "") -> DriverError:
    """Return a server's StatusCode as our error; `own` names our certificate, which the server may have to trust."""
    name = f"0x{code:08X} {ua.StatusCode(code).name}"
    refusal = REFUSALS.get(code)
    if refusal is None:
        return TransientDriverError(f"{where}: {name}")
    do = f"{refusal.do}; {own}" if own and refusal.do == TRUST_US else refusal.do
    return DeviceRejectedError(f"{where} refuses us: {refusal.words} ({name})", hint=do)


def _translation(exc: ua.UaError, where: str) -> DriverError:
    if isinstance(exc, UaStatusCodeError) and exc.code in REFUSALS:
        return refused(exc.code, where)
    ours = next((ours for theirs, ours in TRANSLATION.items() if isinstance(exc, theirs)), None)
    if ours is None:  # a bare UaError: the library compared what we want with what the server offers
        return DeviceRejectedError(f"{where}: {exc}", hint="edge-agent probe opcua shows what the server offers")
    return ours(f"{where}: {exc}")
