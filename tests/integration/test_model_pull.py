"""Bundles from an index on a real TLS server: whole and with the digest of the index, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import http.server
import json
import ssl
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cloud_sync.transports.connection import ConnectionOptions
from edge_agent.bundles.champion_file import Note
from edge_agent.bundles.install import install
from edge_agent.bundles.store import list_bundles
from edge_agent.core.clock import Clock, FakeClock
from edge_agent.errors import BundleError
from edge_agent.rollout.inbox import SETTLE_S, Inbox
from edge_agent.rollout.index_client import ModelPull
from edge_agent.settings import ModelSettings
from tests.support.authority import Authority
from tests.support.bundle_workshop import AI4I, Workshop, make_workshop


class Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path == "/moved.json":
            self.send_response(302)
            self.send_header("Location", "/index.json")
            self.end_headers()
        else:
            super().do_GET()

    def log_message(self, *args: object) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *args: object) -> None:
        """A client that does not believe us hangs up: that is its right."""


class World:
    """A web server's folder, a gateway's models and inbox."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.workshop: Workshop = make_workshop(folder / "models", AI4I)
        self.web = folder / "web"
        self.inbox = folder / "inbox"
        self.web.mkdir()
        self.asked: list[str] = []
        self.port = 0
        self.entries: list[dict[str, Any]] = []

    def offer(self, version: str, **more: Any) -> dict[str, Any]:
        made = self.workshop.add_version(AI4I, version)
        made = made.rename(self.web / made.name)
        file = self.web / f"{AI4I}-{version}.tar.gz"
        with tarfile.open(file, "w:gz") as tar:
            tar.add(made, arcname=made.name)
        content = file.read_bytes()
        entry = {
            "name": AI4I, "version": version, "file": file.name, "sha256": hashlib.sha256(content).hexdigest(),
            "size_bytes": len(content), **more,
        }  # fmt: skip
        self.entries.append(entry)
        self.write({"schema": 1, "bundles": self.entries})
        return entry

    def write(self, document: Any) -> None:
        (self.web / "index.json").write_text(document if isinstance(document, str) else json.dumps(document))

    def pull(self, file: str = "index.json", clock: Clock | None = None) -> ModelPull:
        settings = ModelSettings(
            dir=self.workshop.models, inbox=self.inbox, pull_url=f"https://127.0.0.1:{self.port}/{file}"
        )
        return ModelPull(
            settings,
            names=[AI4I],
            connection=lambda: ConnectionOptions(self.authority.ca_file),
            clock=clock or FakeClock(),
            log=lambda level, line: None,
        )

    def take_in(self) -> None:
        box = Inbox(self.inbox, lambda path: install(path, self.workshop.store))
        box.look(now_s=0.0, time="2026-05-04T12:00:00Z")
        box.look(now_s=SETTLE_S, time="2026-05-04T12:00:00Z")

    @property
    def in_inbox(self) -> list[str]:
        return sorted(path.name for path in self.inbox.iterdir())


@contextlib.contextmanager
def serving(world: World) -> Iterator[World]:
    handler = type("Asked", (Quiet,), {"asked": world.asked})
    server = Server(("127.0.0.1", 0), functools.partial(handler, directory=str(world.web)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*world.authority.issue())
    server.socket = context.wrap_socket(server.socket, server_side=True)
    world.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield world
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with serving(World(tmp_path)) as world:
        yield world


async def test_the_newest_is_fetched_once_and_gets_in(world: World) -> None:
    world.offer("1.1.0")
    entry = world.offer("1.10.0")
    assert await world.pull().pull() == world.in_inbox == [f"{entry['sha256'][:12]}-{entry['file']}"]
    assert await world.pull().pull() == [], "it lies in the inbox"
    world.take_in()
    assert [listing.versions for listing in list_bundles(world.workshop.models)] == [("1.0.0", "1.10.0")]
    assert await world.pull().pull() == [], "it is installed"
    assert sum(path.endswith("gz") for path in world.asked) == 1


async def test_what_was_refused_is_not_fetched_again(world: World) -> None:
    entry = world.offer("1.1.0")
    file = world.web / entry["file"]
    file.write_bytes(b"no archive at all")
    entry |= {"sha256": hashlib.sha256(file.read_bytes()).hexdigest(), "size_bytes": file.stat().st_size}
    world.write({"schema": 1, "bundles": [entry]})
    (name,) = await world.pull().pull()
    world.inbox.joinpath("refused").mkdir()
    (world.inbox / name).rename(world.inbox / "refused" / name)
    assert await world.pull().pull() == []


async def test_what_somebody_went_back_from_is_not_fetched_again(world: World) -> None:
    world.workshop.add_version(AI4I, "1.1.0")
    world.workshop.store.promote(AI4I, "1.1.0")
    world.workshop.store.roll_back(AI4I, note=Note("anna", "floods", "2026-05-04T12:00:00Z"))
    world.workshop.bundle(AI4I, "1.1.0").rename(world.web / "moved")
    world.offer("1.1.0")
    assert await world.pull().pull() == []


async def test_a_model_that_this_agent_does_not_use_is_not_fetched(world: World) -> None:
    world.offer("1.1.0", name="another")
    assert await world.pull().pull() == []


@pytest.mark.parametrize(
    ("change", "word"),
    [({"sha256": "0" * 64}, "do not match the digest"), ({"size_bytes": 10}, "larger than the 10 bytes")],
)
async def test_what_is_not_as_the_index_says_leaves_nothing_behind(
    world: World, change: dict[str, Any], word: str
) -> None:
    world.offer("1.1.0", **change)
    with pytest.raises(BundleError, match=word):
        await world.pull().pull()
    assert world.in_inbox == []


@pytest.mark.parametrize(
    "version", ["1" * 5_000 + ".0.0", "1.0." + "9" * 4_000, "٩٩.0.0", "1.0", "1.0.0\n", "-1.0.0", 2]
)
async def test_a_version_that_is_none_is_refused_by_name(world: World, version: object) -> None:
    world.write({"schema": 1, "bundles": [world.offer("1.1.0") | {"version": version}]})
    with pytest.raises(BundleError, match=r"not an index of bundles: bundles\.0\.version") as caught:
        await world.pull().pull()
    assert caught.value.message.isprintable()
    assert len(caught.value.message) < 300


@pytest.mark.parametrize("file", ["../secret.tar", "https://elsewhere.test/a.tar", "/etc/a.tar", "a.exe", ".tar"])
async def test_an_index_leads_nowhere_else(world: World, file: str) -> None:
    world.offer("1.1.0", file=file)
    with pytest.raises(BundleError, match=r"not an index of bundles: bundles\.0\.file"):
        await world.pull().pull()
    assert world.asked == ["/index.json"]


@pytest.mark.parametrize("document", ["", "[]", '{"schema": 2, "bundles": []}', '{"schema": 1}', "\x00"])
async def test_what_is_no_index_is_said(world: World, document: str) -> None:
    world.write(document)
    with pytest.raises(BundleError, match="not an index of bundles"):
        await world.pull().pull()


async def test_an_index_without_end_is_not_read_to_its_end(world: World) -> None:
    world.write(" " * 2_000_000)
    with pytest.raises(BundleError, match="the index is larger than"):
        await world.pull().pull()


@pytest.mark.parametrize(("file", "word"), [("nothing.json", "answers 404"), ("moved.json", "answers 302")])
async def test_an_answer_that_is_no_index_is_said_and_no_redirect_followed(world: World, file: str, word: str) -> None:
    world.offer("1.1.0")
    with pytest.raises(BundleError, match=word):
        await world.pull(file).pull()


async def test_a_server_of_another_ca_is_not_believed(world: World, tmp_path: Path) -> None:
    world.offer("1.1.0")
    (tmp_path / "other").mkdir()
    world.authority = Authority(tmp_path / "other")
    with pytest.raises(BundleError, match="certificate"):
        await world.pull().pull()


class Turns(FakeClock):
    """Each sleep lasts until the test takes its turn: so nothing is under way when the test ends."""

    def __init__(self) -> None:
        super().__init__()
        self._asleep, self._over = asyncio.Event(), asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        self._asleep.set()
        await self._over.wait()
        self._over.clear()

    async def next(self) -> None:
        """Let what sleeps go on until it sleeps again."""
        self._asleep.clear()
        self._over.set()
        await self._asleep.wait()


async def test_a_server_that_is_away_is_an_error_and_asked_again(world: World) -> None:
    entry = world.offer("1.1.0")
    (world.web / "index.json").rename(world.web / "away")
    clock = Turns()
    pull = world.pull(clock=clock)
    running = asyncio.create_task(pull.run())
    try:
        async with asyncio.timeout(60):
            await asyncio.sleep(0)
            await clock.next()
            assert "answers 404" in (pull.error or "")
            (world.web / "away").rename(world.web / "index.json")
            await clock.next()
        assert pull.error is None
        assert world.in_inbox == [f"{entry['sha256'][:12]}-{entry['file']}"]
    finally:
        running.cancel()
        await asyncio.wait([running])


@pytest.mark.parametrize("url", ["http://central.test/index.json", "ftp://x/y", "https://x"])
def test_only_tls_is_asked(url: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        ModelSettings(inbox=tmp_path, pull_url=url)


def test_what_is_fetched_needs_a_place() -> None:
    with pytest.raises(ValidationError, match="pull_url needs an inbox"):
        ModelSettings(pull_url="https://central.test/index.json")
