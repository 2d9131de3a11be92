"""Keys are looked up rarely, guesses next to never, and a key that was revoked does not live on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from cloud_sync.central.database.known_keys import (
    FOUND_S,
    GUESS_BURST,
    KEPT,
    UNKNOWN_S,
    KeyHolder,
    KnownKeys,
    address_block,
    key_digest,
)
from cloud_sync.central.database.store import Store
from cloud_sync.central.errors import DatabaseAwayError
from cloud_sync.central.ingress import http
from tests.support.central import API_KEY


class Keys:
    """A database of keys that counts its questions, and a clock."""

    def __init__(self, *names: str) -> None:
        self.holders = {key_digest(name): KeyHolder(f"gw-{name}", revoked=False) for name in names}
        self.asked: list[int] = []
        self.failure: Exception | None = None
        self.hangs = False
        self.now_s = 0.0
        self.known = KnownKeys(self._look_up, now_s=lambda: self.now_s)

    async def _look_up(self, digests: Sequence[bytes]) -> dict[bytes, KeyHolder]:
        self.asked.append(len(digests))
        await asyncio.sleep(3_600 if self.hangs else 0)
        if self.failure is not None:
            raise self.failure
        return {digest: self.holders[digest] for digest in digests if digest in self.holders}


async def test_a_known_key_is_looked_up_once_in_a_while():
    keys = Keys("a")
    for _ in range(1_000):
        assert await keys.known.holder("a") == KeyHolder("gw-a", revoked=False)
    assert keys.asked == [1]


async def test_a_key_that_was_revoked_elsewhere_is_refused_a_little_later():
    keys = Keys("a")
    await keys.known.holder("a")
    keys.holders[key_digest("a")] = KeyHolder("gw-a", revoked=True)
    keys.now_s += FOUND_S
    assert await keys.known.holder("a") == KeyHolder("gw-a", revoked=True)
    assert FOUND_S <= 5.0


async def test_a_key_that_was_added_is_taken_a_little_later():
    keys = Keys()
    assert await keys.known.holder("a") is None
    keys.holders[key_digest("a")] = KeyHolder("gw-a", revoked=False)
    assert await keys.known.holder("a") is None
    keys.now_s += UNKNOWN_S
    assert await keys.known.holder("a") == KeyHolder("gw-a", revoked=False)


async def test_one_key_that_nobody_has_is_looked_up_once():
    keys = Keys()
    assert await asyncio.gather(*(keys.known.holder("nobody") for _ in range(500))) == [None] * 500
    assert await keys.known.holder("nobody") is None
    assert keys.asked == [1]


async def test_thousands_of_guesses_are_a_few_questions_and_a_gateway_among_them_is_known_at_once():
    keys = Keys("new")
    names = [*(f"guess-{n}" for n in range(2_500)), "new"]
    *guesses, new = await asyncio.gather(*map(keys.known.holder, names))
    assert set(guesses) == {None}
    assert new == KeyHolder("gw-new", revoked=False)
    assert keys.asked == [1_000, 1_000, 501]


async def test_a_database_that_is_away_is_an_error_for_all_who_wait_and_not_for_the_next():
    keys = Keys("a")
    keys.failure = DatabaseAwayError("away")
    answers = await asyncio.gather(*(keys.known.holder("a") for _ in range(3)), return_exceptions=True)
    assert answers == [keys.failure] * 3
    keys.failure = None
    assert await keys.known.holder("a") == KeyHolder("gw-a", revoked=False)


async def test_who_no_longer_waits_costs_the_others_nothing():
    keys = Keys("a")
    first, second = (asyncio.create_task(keys.known.holder("a")) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == KeyHolder("gw-a", revoked=False)


@pytest.mark.parametrize("steps", [1, 2, 3])
async def test_nobody_waits_for_a_look_up_that_is_closed(steps: int):
    keys = Keys("a")
    keys.hangs = True
    names = [f"guess-{n}" for n in range(1_001)]  # one more than is asked for at once
    waiting = [asyncio.create_task(keys.known.holder(name)) for name in names]
    for _ in range(steps):  # before it has begun, and in the middle
        await asyncio.sleep(0)
    await keys.known.close()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * len(names)
    assert keys.known._asking is None
    await keys.known.close()
    keys.hangs = False
    assert await keys.known.holder("a") == KeyHolder("gw-a", revoked=False)


async def test_nobody_waits_for_a_look_up_that_failed_unforeseen():
    keys = Keys("a")
    keys.failure = RuntimeError("a fault of ours")
    waiting = [asyncio.create_task(keys.known.holder(name)) for name in ("a", "b")]
    await asyncio.sleep(0)
    asking = keys.known._asking
    assert asking is not None
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] * 2
    assert asking.exception() is keys.failure
    keys.failure = None
    assert await keys.known.holder("a") == KeyHolder("gw-a", revoked=False)


async def test_what_is_remembered_is_bounded():
    keys = Keys()
    for part in range(3):
        await asyncio.gather(*(keys.known.holder(f"guess-{part}-{n}") for n in range(KEPT // 2)))
    for n in range(2 * KEPT):
        keys.known.is_guessing(f"2001:db8:0:{n:x}::1")
    assert len(keys.known._unknown) == len(keys.known._guesses) == KEPT


def test_an_address_that_guesses_is_found_out_and_forgiven():
    keys = Keys()
    assert not any(keys.known.is_guessing("192.0.2.7") for _ in range(int(GUESS_BURST)))
    assert keys.known.is_guessing("192.0.2.7")
    assert not keys.known.is_guessing("192.0.2.8")
    keys.now_s += 1.0
    assert not keys.known.is_guessing("192.0.2.7")


@pytest.mark.parametrize(
    ("address", "block"),
    [("192.0.2.7", "192.0.2.7"), ("2001:db8::1", "2001:db8::/64"), ("2001:db8::ffff:1", "2001:db8::/64"), ("", "")],
)
def test_an_address_stands_for_what_one_sender_has(address: str, block: str):
    assert address_block(address) == block


async def test_a_gateway_that_comes_among_guessers_is_served(service_url: str, store: Store, monkeypatch):
    monkeypatch.setattr(http, "GUESS_PENALTY_S", 0.0)
    async with httpx.AsyncClient(base_url=service_url, timeout=30) as client:
        headers: list[dict[str, str]] = [{"X-API-Key": "nobody"}, {}]
        answers = await asyncio.gather(*(client.post(http.INGEST_PATH, headers=headers[n % 2]) for n in range(60)))
        assert {answer.status_code for answer in answers} == {401}
        question = {"gateway_id": "gw-1", "from": "0", "to": "1"}
        answer = await client.get(http.DIGEST_PATH, params=question, headers={"X-API-Key": API_KEY})
        assert answer.status_code == 200
