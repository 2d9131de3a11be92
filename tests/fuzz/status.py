"""Doors of the status: what a socket answers, what a file left behind holds, and what a client does to the agent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edge_agent.cli.models_explain import explain_scores
from edge_agent.cli.status import EXIT_CODES, read_status
from edge_agent.cli.status_text import as_text
from edge_agent.errors import ConfigurationError, DaemonUnreachableError
from edge_agent.status.local_socket import LocalApi, ask_daemon
from tests.fuzz.door import Door, Enter
from tests.fuzz.generator import damaged, document

TIME = "2026-03-01T12:00:00.000Z"
PROBLEM = {"what": "the disk is full", "since": TIME, "do": "make room"}
CHANNEL = {"point": "de-x", "model": "m", "score": 0.5, "verdict": "normal", "is_alarm": False, "threshold": 0.7,
           "scored_total": 5, "pushed_by": [], "subject": "rig.de-x", "fault_lines": []}  # fmt: skip
TAG = {"name": "t", "state": "refused", "value": None, "unit": "bar", "is_stale": False, "text": None,
       "status": "0x80340000 BadNodeIdUnknown"}  # fmt: skip
STATUS = {
    "schema": 1, "state": "degraded", "summary": "1 problem", "time": TIME, "problems": [PROBLEM],
    "alarms": [],
    "gateway": {"id": "gw-1", "site": "s", "version": "0.1.0"},
    "sources": [{"name": "shaft", "type": "synthetic", "state": "running", "last_data_age_s": 0.5,
                 "channels": [CHANNEL],
                 "sample_rate_hz": 20480.0, "tags": [TAG, *[TAG | {"state": "good", "value": 1.0}] * 20],
                 "indicators": []}],
    "tag_models": [], "model_updates": {},
    "central": {"state": "offline", "since": TIME, "url": "https://c", "error": "no answer", "hint": None,
                "last_settled": TIME,
                "way": "single", "way_since": TIME, "way_instead_of": "mqtt", "takes_events": False,
                "reconcile": {"checked_at": TIME, "differences": 1, "hours": 24, "sensors": 3, "error": "no answer"}},
    "gaps": {"total": 2, "by_cause": {"thinned": 2}, "outbox_records": {"thinned": 800, "damaged": None}},
    "clock": {"is_synced": False},
    "outbox": {"records": 5, "file_bytes": 4096, "oldest": TIME, "dead_letters": 1, "no_place": 3, "room_days": 2.5,
               "max_bytes": 10**9},
}  # fmt: skip
LEFT = [STATUS, {"failure": PROBLEM}, STATUS | {"state": "stopped"}]


class _OneAnswer:
    """A socket at which the next client is told `content`."""

    def __init__(self, path: Path) -> None:
        self.content = b""
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client, contextlib.suppress(OSError):
                client.sendall(self.content)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@contextlib.contextmanager
def _site() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fz-") as folder:
        site = Path(folder) / "edge.toml"
        site.write_text(f'[gateway]\nid = "g"\nsite = "s"\nstate_dir = "{folder}"\nruntime_dir = "{folder}"\n')
        yield site


@contextlib.contextmanager
def _asking() -> Iterator[Enter]:
    with _site() as site:
        path = site.parent / "edge-agent.sock"
        with contextlib.closing(_OneAnswer(path)) as server:

            def ask(content: bytes) -> None:
                server.content = content
                _show(site)
                ask_daemon(path)

            yield ask


@contextlib.contextmanager
def _reading() -> Iterator[Enter]:
    with _site() as site:

        def read(content: bytes) -> None:
            (site.parent / "status.json").write_bytes(content)
            _show(site)

        yield read


def _show(site: Path) -> None:
    found = read_status(site)
    assert EXIT_CODES[found["state"]] in (0, 1, 2, 3)
    as_text(found)
    json.dumps(found)
    with contextlib.redirect_stdout(None), contextlib.redirect_stderr(None):
        explain_scores(site, None, as_json=False)


@contextlib.contextmanager
def _serving() -> Iterator[Enter]:
    """What a client sends, and how much it reads, changes nothing for the next one."""

    async def describe() -> dict[str, Any]:
        return STATUS | {"filler": ["x" * 1_000] * 300}  # more than the buffers of a socket hold

    async def visit(path: Path, content: bytes) -> None:
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(content)
        if len(content) % 2:
            await reader.read(len(content))
        if len(content) % 3:
            writer.transport.abort()
        found = await asyncio.to_thread(ask_daemon, path)
        assert found["summary"] == STATUS["summary"]
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    with _site() as site, asyncio.Runner() as runner:
        path = site.parent / "edge-agent.sock"
        api = LocalApi(path, describe=describe)
        runner.run(api.__aenter__())
        try:
            yield lambda content: runner.run(visit(path, content))
        finally:
            runner.run(api.__aexit__(None, None, None))


def _garbage(rng: random.Random) -> bytes:
    return damaged(rng, rng.choice([b"", b"GET / HTTP/1.1\r\n\r\n", b"{}", b"x" * 1_000]))


DOORS = (
    Door("status-answer", lambda rng: document(rng, [STATUS]), _asking, (DaemonUnreachableError, ConfigurationError)),
    Door("status-file", lambda rng: document(rng, LEFT), _reading, ()),
    Door("status-client", _garbage, _serving, ()),
)
