"""Whose API key it is, without a question to the database for every request, and with hardly any for those who guess.

Constraints
- A key that was found is believed for `FOUND_S`, so a key revoked elsewhere is refused that much later at most; one
  that nobody has is remembered for `UNKNOWN_S`.
- Everything else is looked up together: one question at a time, for all keys that came since the last. So a guess
  costs no question of its own, and keeps no gateway waiting that comes for the first time.
- Only digests are kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from cloud_sync.central.errors import CentralError
from cloud_sync.central.lru import Lru
from cloud_sync.token_bucket import TokenBucket

FOUND_S: Final = 3.0
UNKNOWN_S: Final = 5.0
KEPT: Final = 10_000
"""Keys of each kind, and addresses: about 2 MB each."""
AT_ONCE: Final = 1_000
PAUSE_S: Final = 0.02
"""Between two questions: 50 a second at most, and nobody notices the wait."""

GUESSES_PER_S: Final = 2.0
GUESS_BURST: Final = 40.0
"""What one address may guess and be answered at once; beyond, its answers come late."""


@dataclass(frozen=True, slots=True)
class KeyHolder:
    """Whom an API key belongs to."""

    gateway_id: str
    revoked: bool


LookUp = Callable[[Sequence[bytes]], Awaitable[Mapping[bytes, KeyHolder]]]
"""Brings the holders of those digests that somebody has."""


class TooManyGuessesError(Exception):
    """More unknown keys wait to be looked up than there is place for."""


class KnownKeys:
    """`look_up` asks the database."""

    def __init__(self, look_up: LookUp, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._look_up = look_up
        self._now_s = now_s
        self._found: Lru[bytes, tuple[KeyHolder, float]] = Lru(KEPT)
        self._unknown: Lru[bytes, float] = Lru(KEPT)
        self._guesses: Lru[str, TokenBucket] = Lru(KEPT)
        self._waiting: dict[bytes, asyncio.Future[KeyHolder | None]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def holder(self, api_key: str) -> KeyHolder | None:
        """Return whom a key belongs to, None when nobody has it. Raises TooManyGuessesError and the database's."""
        digest, now_s = key_digest(api_key), self._now_s()
        known = self._found.get(digest)
        if known is not None and now_s - known[1] < FOUND_S:
            return known[0]
        unknown_since_s = self._unknown.get(digest)
        if unknown_since_s is not None and now_s - unknown_since_s < UNKNOWN_S:
            return None
        return await self._looked_up(digest)

    def is_guessing(self, address: str) -> bool:
        """Count a request whose key nobody has, and return whether its address has sent too many of them."""
        now_s, block = self._now_s(), address_block(address)
        bucket = self._guesses.get(block)
        if bucket is None:
            bucket = TokenBucket(GUESSES_PER_S, GUESS_BURST, now_s=now_s)
            self._guesses.put(block, bucket)
        if bucket.wait_s(now_s=now_s, wanted=1):
            return True
        bucket.take(1, now_s=now_s)
        return False

    def forget(self) -> None:
        """Look every key up again: they were changed here."""
        self._found.clear()
        self._unknown.clear()

    async def close(self) -> None:
        """End the look-up that is in work; who still waits for it is cancelled."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait([self._asking])
            self._end()  # a task that had not begun has done nothing, not even this

    async def _looked_up(self, digest: bytes) -> KeyHolder | None:
        if digest not in self._waiting:
            if len(self._waiting) >= KEPT:
                raise TooManyGuessesError
            self._waiting[digest] = asyncio.get_running_loop().create_future()
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="key look-up")  # ends when nobody waits, or by `close`
        return await asyncio.shield(self._waiting[digest])

    async def _ask(self) -> None:
        try:
            while self._waiting:
                digests = list(islice(self._waiting, AT_ONCE))
                await self._answer(digests)
                await asyncio.sleep(PAUSE_S)
        finally:
            self._end()

    def _end(self) -> None:
        """Nobody is left waiting: it was closed, or met what is no error of the database's."""
        self._asking = None
        while self._waiting:
            self._waiting.popitem()[1].cancel()

    async def _answer(self, digests: Sequence[bytes]) -> None:
        """Ask for these, and tell everybody who waits for them; also that the database is away."""
        try:
            found = await self._look_up(digests)
        except CentralError as exc:
            for digest in digests:
                waiting = self._waiting.pop(digest)
                waiting.set_exception(exc)
                waiting.exception()  # who waited for it may be gone
            return
        for digest in digests:
            self._remember(digest, found.get(digest))
            self._waiting.pop(digest).set_result(found.get(digest))

    def _remember(self, digest: bytes, holder: KeyHolder | None) -> None:
        if holder is None:
            self._found.pop(digest)
            self._unknown.put(digest, self._now_s())
        else:
            self._unknown.pop(digest)
            self._found.put(digest, (holder, self._now_s()))


def key_digest(api_key: str) -> bytes:
    """Return what is stored of a key. Keys are 256 random bits, so a plain digest needs no salt and no stretching."""
    return hashlib.sha256(api_key.encode()).digest()


def address_block(address: str) -> str:
    """Return what one sender has: an IPv4 address, or the 64 bits of an IPv6 network."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else address
