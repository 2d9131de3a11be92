"""Proxies that others wrote, as child processes: tinyproxy for CONNECT, microsocks for SOCKS 5."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from pathlib import Path

from cloud_sync.central.embedded_postgres.processes import die_with_parent
from tests.support.patience import Patience
from tests.support.programs import find_program
from tests.support.sockets import free_port

USERNAME = "gateway"
PASSWORD = "se-cr_et.1"  # noqa: S105 (of a proxy that lives for a test; tinyproxy takes no other signs)
PATIENCE_S = 15.0


@contextlib.asynccontextmanager
async def tinyproxy(folder: Path, *, with_password: bool = False, lines: tuple[str, ...] = ()) -> AsyncIterator[int]:
    """Hand out the port of an HTTP proxy on loopback."""
    port = free_port()
    settings = [f"Port {port}", "Listen 127.0.0.1", "Timeout 600", "MaxClients 20", *lines]
    if with_password:
        settings.append(f"BasicAuth {USERNAME} {PASSWORD}")
    file = folder / "tinyproxy.conf"
    file.write_text("\n".join(settings) + "\n")
    async with _running([find_program("tinyproxy", "/usr/bin/tinyproxy"), "-d", "-c", str(file)], port):
        yield port


@contextlib.asynccontextmanager
async def microsocks(*, with_password: bool = False) -> AsyncIterator[int]:
    """Hand out the port of a SOCKS 5 proxy on loopback."""
    port = free_port()
    sign_in = ["-u", USERNAME, "-P", PASSWORD] if with_password else []
    program = find_program("microsocks", "/usr/bin/microsocks")
    async with _running([program, "-i", "127.0.0.1", "-p", str(port), *sign_in], port):
        yield port


@contextlib.asynccontextmanager
async def _running(command: list[str], port: int) -> AsyncIterator[None]:
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=die_with_parent(signal.SIGKILL)
    )
    try:
        await asyncio.to_thread(_await_listening, process, port)
        yield
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def _await_listening(process: subprocess.Popen[bytes], port: int) -> None:
    patience = Patience(PATIENCE_S)
    while process.poll() is None and not patience.is_over:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise TimeoutError(f"{process.args} takes no connections")
