"""Newer bundles from a static index on a web server into the inbox; what happens to them there is the inbox's business.

The index is JSON, `{"schema": 1, "bundles": [{"name", "version", "file", "sha256", "size_bytes"}]}`; an archive lies
beside it under its `file`.

Constraints
- TLS only, no redirects: the index names files of its own folder and nothing else.
- An archive appears in the inbox whole and with the digest of the index, or not at all. Trust comes from the bundle's
  own signature, not from the server.
- The fleet does not ask at the same moment, and a server that is away is asked again at the next turn.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Annotated, Final, Literal
from urllib.parse import urljoin

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_sync.errors import SyncError
from cloud_sync.host.printable import printable
from cloud_sync.host.private_files import make_private_folder, open_private
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_errors import LIBRARY_ERRORS
from cloud_sync.transports.http_exchange import Answer, client_for
from cloud_sync.transports.speaker import speaker_of
from cloud_sync.transports.tls import trusting
from edge_agent.bundles.archive import MAX_ARCHIVE_BYTES
from edge_agent.bundles.manifest import BundleName, BundleVersion, Sha256, version_key
from edge_agent.bundles.store import list_bundles
from edge_agent.core.clock import Clock
from edge_agent.errors import BundleError
from edge_agent.rollout.inbox import REFUSED_DIR
from edge_agent.settings import ModelSettings

MAX_INDEX_BYTES: Final = 1_000_000
MAX_ENTRIES: Final = 1_000
PULL_TIMEOUT_S: Final = 900.0
_ANSWER_TIMEOUT_S: Final = 30.0
_FIRST_WITHIN_S: Final = 60.0
_ASK_AGAIN_S: Final = 600.0
"""Whether the link may be used for it again: quiet hours, or a data budget."""
_CHUNK: Final = 1 << 18


class _Strict(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class IndexEntry(_Strict):
    """One archive. `file` is a plain name: it can lead nowhere else."""

    name: BundleName
    version: BundleVersion
    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*\.(zip|tar|tar\.gz|tgz)$", max_length=200)]
    sha256: Sha256
    size_bytes: int = Field(ge=1, le=MAX_ARCHIVE_BYTES)

    @property
    def local_name(self) -> str:
        """Return its name in the inbox, always the same for the same archive: once refused, it is not fetched again."""
        return f"{self.sha256[:12]}-{self.file}"


class Index(_Strict):
    schema_: Literal[1] = Field(alias="schema")
    bundles: list[IndexEntry] = Field(max_length=MAX_ENTRIES)


class ModelPull:
    """`names` are the models this agent scores with; `connection` says how the index is reached: as the central is.

    `may_ask` says whether the link may be used for it now.
    """

    def __init__(
        self,
        settings: ModelSettings,
        *,
        names: Collection[str],
        connection: Callable[[], ConnectionOptions],
        clock: Clock,
        log: Callable[[str, str], None],
        may_ask: Callable[[], bool] = lambda: True,
    ) -> None:
        self.error: str | None = None
        self._settings = settings
        self._names = names
        self._connection = connection
        self._clock = clock
        self._log = log
        self._may_ask = may_ask

    async def run(self) -> None:
        """Run until cancelled; at once over when no index is configured."""
        if self._settings.pull_url is None:
            return
        await self._clock.sleep(random.uniform(0, min(_FIRST_WITHIN_S, self._settings.pull_every_s)))  # noqa: S311
        while True:
            if not self._may_ask():
                await self._clock.sleep(min(_ASK_AGAIN_S, self._settings.pull_every_s))
                continue
            try:
                await self.pull()
            except BundleError as exc:
                if self.error != exc.message:
                    self._log("warning", exc.message)
                self.error = exc.message
            else:
                self.error = None
            await self._clock.sleep(self._settings.pull_every_s * random.uniform(0.75, 1.25))  # noqa: S311

    async def pull(self) -> list[str]:
        """Ask once; the names of the archives that were put into the inbox. Raises BundleError."""
        url, inbox = str(self._settings.pull_url), self._settings.inbox
        if inbox is None:
            raise BundleError("models.pull_url needs models.inbox")
        try:
            connection = self._connection()
            async with (
                asyncio.timeout(PULL_TIMEOUT_S),
                client_for(
                    url, connection, trusting(connection.ca_file), timeout=httpx.Timeout(_ANSWER_TIMEOUT_S)
                ) as client,
            ):
                index = _parse(url, await _fetch_index(client, url))
                wanted = await asyncio.to_thread(self._wanted, index, inbox)
                for entry in wanted:
                    await _fetch(client, urljoin(url, entry.file), entry, inbox)
        except TimeoutError as exc:
            raise BundleError(f"{url}: not done within {PULL_TIMEOUT_S:.0f} s") from exc
        except SyncError as exc:  # the CA file, or a proxy
            raise BundleError(f"{url}: {exc.message}", hint=exc.hint) from exc
        except LIBRARY_ERRORS as exc:
            raise BundleError(f"{url}: {printable(exc, limit=300) or type(exc).__name__}") from exc
        except OSError as exc:
            raise BundleError(f"the inbox {inbox} cannot be used: {exc.strerror or exc}") from exc
        return [entry.local_name for entry in wanted]

    def _wanted(self, index: Index, inbox: Path) -> list[IndexEntry]:
        """Return of each model the newest, when it is newer than all that was ever here."""
        make_private_folder(inbox)
        listings = {listing.name: listing for listing in list_bundles(self._settings.dir)}
        out = []
        for name in self._names:
            entries = [entry for entry in index.bundles if entry.name == name]
            if not entries or name not in listings:
                continue
            newest = max(entries, key=lambda entry: version_key(entry.version))
            pointer = listings[name].pointer
            here = {*listings[name].versions, *(pointer.was_champion if pointer else ())}
            known = (inbox / newest.local_name).exists() or (inbox / REFUSED_DIR / newest.local_name).exists()
            if not known and version_key(newest.version) > max(map(version_key, here)):
                out.append(newest)
        return out


async def _fetch_index(client: httpx.AsyncClient, url: str) -> bytes:
    body = bytearray()
    async with client.stream("GET", url) as response:
        _check_status(url, response)
        async for chunk in response.aiter_raw(_CHUNK):
            body += chunk
            if len(body) > MAX_INDEX_BYTES:
                raise BundleError(f"{url}: the index is larger than {MAX_INDEX_BYTES} bytes")
    return bytes(body)


async def _fetch(client: httpx.AsyncClient, url: str, entry: IndexEntry, inbox: Path) -> None:
    part = inbox / f"{entry.local_name}.part"
    digest, size = hashlib.sha256(), 0
    try:
        async with client.stream("GET", url) as response:
            _check_status(url, response)
            with await asyncio.to_thread(open_private, part, "wb") as file:
                async for chunk in response.aiter_raw(_CHUNK):
                    size += len(chunk)
                    if size > entry.size_bytes:
                        raise BundleError(f"{url}: larger than the {entry.size_bytes} bytes of the index")
                    digest.update(chunk)
                    await asyncio.to_thread(file.write, chunk)
        if digest.hexdigest() != entry.sha256:
            raise BundleError(f"{url}: {size} bytes that do not match the digest in the index")
        part.rename(inbox / entry.local_name)
    finally:
        part.unlink(missing_ok=True)


def _check_status(url: str, response: httpx.Response) -> None:
    if response.status_code != httpx.codes.OK:
        found = Answer(response.status_code, response.headers, b"", url)
        raise BundleError(f"{url}: {speaker_of(found)} answers {found.status}")


def _parse(url: str, body: bytes) -> Index:
    try:
        return Index.model_validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(f"{url}: not an index of bundles: {printable(where, limit=100)}: {first['msg']}") from exc
