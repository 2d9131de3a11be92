"""Whoever may look can only look: neither a client nor what answers in the agent's place holds anybody up."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_agent.cli.status import read_status
from edge_agent.errors import DaemonUnreachableError
from edge_agent.status import local_socket
from edge_agent.status.local_socket import LocalApi, StatusFile, ask_daemon

DEADLINE_S = 60.0
STATUS: dict[str, Any] = {
    "state": "healthy",
    "summary": "all well",
    "filler": ["x" * 1_000] * 2_000,
}  # more than a socket's buffers hold


@contextlib.asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Path, LocalApi, list[int]]]:
    asked: list[int] = []

    async def describe() -> dict[str, Any]:
        asked.append(1)
        return STATUS

    path = folder / "edge-agent.sock"
    async with asyncio.timeout(DEADLINE_S), LocalApi(path, describe=describe) as server:
        yield path, server, asked


async def connect(path: Path, count: int, stack: contextlib.AsyncExitStack) -> None:
    for _ in range(count):
        client = stack.enter_context(socket.socket(socket.AF_UNIX))
        await asyncio.to_thread(client.connect, str(path))


async def test_clients_that_never_read_are_parted_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_socket, "ANSWER_TIMEOUT_S", 0.2)
    async with serving(tmp_path) as (path, server, asked), contextlib.AsyncExitStack() as idle:
        await connect(path, 3, idle)
        while not asked or server._clients:
            await asyncio.sleep(0.01)


async def test_of_many_clients_that_never_read_some_are_turned_away_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_socket, "ANSWER_TIMEOUT_S", DEADLINE_S)
    async with serving(tmp_path) as (path, server, _):
        async with contextlib.AsyncExitStack() as idle:
            await connect(path, local_socket.MAX_CLIENTS + 5, idle)
            while server.turned_away_total < 5:
                await asyncio.sleep(0.01)
        while server._clients:
            await asyncio.sleep(0.01)
        assert (await asyncio.to_thread(ask_daemon, path))["summary"] == "all well"


async def test_many_who_ask_at_once_cost_few_descriptions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_socket, "SAME_FOR_S", DEADLINE_S)
    async with serving(tmp_path) as (path, _, asked):
        found = await asyncio.gather(*(asyncio.to_thread(ask_daemon, path) for _ in range(20)))
        assert {status["summary"] for status in found} == {"all well"}
        assert len(asked) == 1


@contextlib.contextmanager
def answering(path: Path, send: Callable[[socket.socket, threading.Event], None]) -> Iterator[None]:
    """Something else than an agent at the socket."""
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            client, _ = listener.accept()
            with client, contextlib.suppress(OSError):
                send(client, over)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        over.set()
        thread.join()


def drops(client: socket.socket, over: threading.Event) -> None:
    while not over.wait(0.01):
        client.sendall(b" ")


def endless(client: socket.socket, over: threading.Event) -> None:
    while not over.is_set():
        client.sendall(b" " * 1_000_000)


def silence(_: socket.socket, over: threading.Event) -> None:
    over.wait()


@pytest.mark.parametrize(
    ("send", "named"), [(drops, "has not answered"), (silence, "has not answered"), (endless, "bytes came")]
)
def test_an_answer_without_end_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, send: Callable[..., None], named: str
) -> None:
    monkeypatch.setattr(local_socket, "ANSWER_TIMEOUT_S", DEADLINE_S if send is endless else 0.3)
    with answering(tmp_path / "s", send), pytest.raises(DaemonUnreachableError, match=named):
        ask_daemon(tmp_path / "s")


@pytest.mark.parametrize(
    "content", [b"[" * 100_000, b"\xff", b"[]", b"{", b""], ids=["deep", "ff", "list", "cut", "none"]
)
def test_a_status_file_of_anything_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "status.json").write_bytes(content)
    assert StatusFile(tmp_path / "status.json").read() is None


def test_an_agent_of_another_version_is_named_as_that(tmp_path: Path) -> None:
    site = tmp_path / "edge.toml"
    site.write_text(
        f'[gateway]\nid = "g"\nsite = "s"\nstate_dir = "{tmp_path}"\nruntime_dir = "{tmp_path}"\n'
        '[central]\nurl = "https://c"\n'
        '[[sources]]\ntype = "synthetic"\nname = "a"\nasset = "b"\nsample_rate_hz = 100\nchannels = [{ point = "x" }]\n'
    )
    path = tmp_path / "edge-agent.sock"
    with answering(path, lambda client, _: client.sendall(b'{"state": "healthy", "summary": 5, "sources": [{}]}')):
        found = read_status(site)
    assert found["state"] == "down"
    assert "a status that this program cannot read" in found["summary"]
    assert "of one version" in found["problems"][0]["do"]
