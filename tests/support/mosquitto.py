"""A real mosquitto as a child process, which a test may kill and start again on the same port.

Started as root it becomes the user `mosquitto`, so its folder is in /tmp and readable.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from cloud_sync.central.embedded_postgres.processes import die_with_parent
from cloud_sync.transports.mqtt.broker import Broker
from tests.support.databases import REPOSITORY, remove, short_folder
from tests.support.patience import Patience
from tests.support.programs import find_program
from tests.support.relay import Relay
from tests.support.sockets import free_port, listening

PATIENCE_S = 15.0


def documented_acl() -> str:
    """The ACL that docs/MQTT.md tells people to use."""
    text = (REPOSITORY / "docs" / "MQTT.md").read_text()
    return text.partition("```acl\n")[2].partition("```")[0]


class Mosquitto:
    """`lines` are added to its configuration; users are name -> password."""

    def __init__(
        self, folder: Path, *, lines: tuple[str, ...] = (), users: dict[str, str] | None = None, acl: str | None = None
    ) -> None:
        self.folder = folder
        self.port = free_port()
        self._program = find_program("mosquitto", "/usr/sbin/mosquitto")
        self._process: subprocess.Popen[bytes] | None = None
        settings = [f"listener {self.port} 127.0.0.1", "set_tcp_nodelay true", *lines]
        if users:
            self._write("users", "")
            for name, password in users.items():
                command = ["mosquitto_passwd", "-b", folder / "users", name, password]
                subprocess.run(command, check=True, capture_output=True)
            (folder / "users").chmod(0o644)
            settings.append(f"password_file {folder / 'users'}")
        settings.append(f"allow_anonymous {'false' if users else 'true'}")
        if acl is not None:
            settings.append(f"acl_file {self._write('acl', acl)}")
        self._write("mosquitto.conf", "\n".join(settings) + "\n")

    def start(self) -> None:
        """Returns once it takes connections."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._program, "-v", "-c", self.folder / "mosquitto.conf"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=die_with_parent(9),
            )  # fmt: skip
        patience = Patience(PATIENCE_S)
        while self._process.poll() is None and not patience.is_over:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return
            time.sleep(0.01)
        raise TimeoutError((self.folder / "log").read_text()[-2_000:])

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def send(self, order: signal.Signals) -> None:
        """SIGSTOP: every connection stands, and nobody answers."""
        assert self._process is not None
        self._process.send_signal(order)

    def broker(self, username: str | None = None, password: str | None = None) -> Broker:
        return Broker("127.0.0.1", self.port, tls=None, username=username, password=password)

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o644)
        return path


@contextlib.contextmanager
def mosquitto(
    *, lines: tuple[str, ...] = (), users: dict[str, str] | None = None, acl: str | None = None
) -> Iterator[Mosquitto]:
    folder = short_folder()
    try:
        server = Mosquitto(folder, lines=lines, users=users, acl=acl)
        try:
            server.start()
            yield server
        finally:
            server.kill()
    finally:
        remove(folder)


class BrokerRelay(Relay):
    """Between a gateway and its broker; the answer it may lose is the central's, not the broker's."""

    port = 0

    def is_answer(self, chunk: bytes) -> bool:
        return b'"committed"' in chunk

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection that fell silent stays so, as a lost one does; a new one is heard."""
        is_dead = False
        with contextlib.suppress(OSError):
            while chunk := await reader.read(65_536):
                self.heard.set()
                is_dead = is_dead or self.silent
                if not is_dead:
                    writer.write(chunk)
                    await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def relaying_broker(port: int) -> AsyncIterator[BrokerRelay]:
    relay = BrokerRelay(f"mqtt://127.0.0.1:{port}")
    async with listening(relay.handle) as relay.port:
        yield relay
