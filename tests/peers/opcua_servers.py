"""OPC UA servers on node-opcua as child processes, and what they were told."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge_agent.drivers.opcua.security.certificates import read_certificate
from tests.peers.processes import PEERS, child, first_line, node_opcua_environment
from tests.support.sockets import free_port


@dataclass(frozen=True)
class OpcUaServer:
    """One that serves; `folder` holds what it writes down."""

    port: int
    folder: Path
    namespace: int
    pem: str

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def fingerprint(self) -> str:
        return read_certificate(self.pem.encode()).fingerprint

    @property
    def logins(self) -> list[list[str]]:
        """What it was told at sign-ins: users and passwords."""
        return [json.loads(line) for line in self._lines("logins")]

    @property
    def requests(self) -> set[str]:
        """The names of the requests it got, "ReadRequest"."""
        return set(self._lines("requests"))

    def _lines(self, name: str) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / name).read_text().splitlines()
        return []


@contextlib.contextmanager
def opcua_servers(
    request: pytest.FixtureRequest, folder: Path, *options: Sequence[str], mode: str = "open"
) -> Iterator[list[OpcUaServer]]:
    """Servers in one process, one for each of the options (see opcua_server.js)."""
    starts = []
    for number, given in enumerate(options):
        own = folder / f"server{number}"
        own.mkdir(parents=True, exist_ok=True)
        starts.append([str(free_port()), str(own), mode, *given])
    arguments = [argument for start in starts for argument in ("--", *start)][1:]
    with child(["node", str(PEERS / "opcua_server.js"), *arguments], node_opcua_environment(request)) as process:
        servers = []
        for port, own, *_ in starts:
            said = json.loads(first_line(process))
            servers.append(OpcUaServer(int(port), Path(own), said["namespace"], said["certificate"]))
        yield servers
