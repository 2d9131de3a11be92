"""What every way to the central must do, as checks over a bench.

A bench is a central that the checks can break, and transports to it; a test parametrises over CHECKS:

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    async def test_transport_contract(check, bench):
        await check(bench)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import pytest

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, CredentialsError, TransientSyncError
from cloud_sync.records import Batch, Event, EventKind, Row, Series
from cloud_sync.transports.base import Transport

GATEWAY = "gw-1"
NOW_US = 1_750_000_000_000_000
CANCEL_DEADLINE_S = 5.0


class Bench(Protocol):
    """A central with faults on request. `transport` may send as GATEWAY, `stranger` has a key nobody knows."""

    transport: Transport
    stranger: Transport
    max_body_bytes: int

    async def keys(self) -> set[tuple[str, int] | str]:
        """What the central has committed: row keys and event ids."""

    async def lose_next_answer(self) -> None: ...
    async def go_down(self) -> None: ...
    async def come_up(self) -> None: ...
    async def put_somebody_between(self, status: int) -> None:
        """From now on somebody who is no central answers, with a page and this status."""

    async def let_through(self) -> None: ...
    async def fall_silent(self) -> asyncio.Event:
        """From now on nothing is answered. The event is set once something was heard."""


def rms(sensor_id: str = "pump-07.de-x.rms", sensor_type: str = "vibration") -> Series:
    return Series(sensor_id, sensor_type, "g", {"asset": "pump-07"})


def rows(count: int, series: Series | None = None) -> tuple[Row, ...]:
    series = series or rms()
    return tuple(Row(series, NOW_US + n * 1_000_000, n / 8, 1.0) for n in range(count))


def event(event_id: str) -> Event:
    return Event(event_id, EventKind.GAP, "pump-07", NOW_US, {"cause": "link down"})


def batch(count: int = 5) -> Batch:
    return Batch(GATEWAY, rows(count), (event("ev-1"),))


def keys_of(offered: Batch) -> set[tuple[str, int] | str]:
    return {row.key for row in offered.rows} | {item.event_id for item in offered.events}


async def check_same_batch_twice_counts_once(bench: Bench) -> None:
    first = await bench.transport.send(wire.encode(batch()), batch_id="b1")
    second = await bench.transport.send(wire.encode(batch()), batch_id="b2")
    assert (first.accepted, first.duplicates, first.refused) == (6, 0, ())
    assert (second.accepted, second.duplicates, second.refused) == (0, 6, ())
    assert await bench.keys() == keys_of(batch())


async def check_lost_answer_then_resend_loses_and_doubles_nothing(bench: Bench) -> None:
    await bench.lose_next_answer()
    with pytest.raises(TransientSyncError):
        await bench.transport.send(wire.encode(batch()), batch_id="b1")
    assert await bench.keys() == keys_of(batch())
    again = await bench.transport.send(wire.encode(batch()), batch_id="b1")
    assert (again.accepted, again.duplicates) == (0, 6)
    assert await bench.keys() == keys_of(batch())


async def check_batch_cut_differently_after_lost_answer_counts_once(bench: Bench) -> None:
    await bench.lose_next_answer()
    with pytest.raises(TransientSyncError):
        await bench.transport.send(wire.encode(batch(4)), batch_id="b1")
    again = await bench.transport.send(wire.encode(Batch(GATEWAY, rows(8))), batch_id="b2")
    assert (again.accepted, again.duplicates) == (4, 4)


async def check_refused_row_is_named_and_costs_no_other(bench: Bench) -> None:
    bad = rows(1, rms("pump-07.de-x.mood", "happiness"))
    offered = Batch(GATEWAY, rows(2) + bad + rows(1, rms("pump-08.rms")), (event("ev-1"),))
    settlement = await bench.transport.send(wire.encode(offered), batch_id="b1")
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [(2, "unknown_sensor_type")]
    assert "happiness" in settlement.refused[0].detail
    assert (settlement.accepted, len(settlement)) == (4, len(offered))
    assert await bench.keys() == keys_of(offered) - {bad[0].key}


async def check_conflict_inside_a_batch_keeps_the_first(bench: Bench) -> None:
    twin = Row(rms(), NOW_US, 99.0, 1.0)
    settlement = await bench.transport.send(wire.encode(Batch(GATEWAY, (*rows(1), twin, *rows(1)))), batch_id="b1")
    assert (settlement.accepted, settlement.duplicates) == (1, 1)
    assert [(refusal.index, refusal.code) for refusal in settlement.refused] == [(1, "conflict_in_batch")]


async def check_empty_batch_settles_as_nothing(bench: Bench) -> None:
    settlement = await bench.transport.send(wire.encode(Batch(GATEWAY)), batch_id="b1")
    assert len(settlement) == 0


async def check_unknown_key_is_a_credentials_error(bench: Bench) -> None:
    with pytest.raises(CredentialsError) as caught:
        await bench.stranger.send(wire.encode(batch()), batch_id="b1")
    assert caught.value.hint
    assert await bench.keys() == set()


async def check_too_large_body_is_named_so(bench: Bench) -> None:
    body = wire.encode(batch()) + bytes(bench.max_body_bytes)
    with pytest.raises(BatchTooLargeError):
        await bench.transport.send(body, batch_id="b1")
    assert (await bench.transport.send(wire.encode(batch()), batch_id="b2")).accepted == 6


async def check_unreadable_body_is_refused_with_a_reason(bench: Bench) -> None:
    with pytest.raises(BatchRefusedError, match="zstd"):
        await bench.transport.send(b"not a batch", batch_id="b1")


async def check_central_down_is_transient_and_over_when_it_is_back(bench: Bench) -> None:
    await bench.go_down()
    with pytest.raises(TransientSyncError):
        await bench.transport.send(wire.encode(batch()), batch_id="b1")
    await bench.come_up()
    assert (await bench.transport.send(wire.encode(batch()), batch_id="b1")).accepted == 6


async def check_cancellation_passes_through_a_pending_send(bench: Bench) -> None:
    heard = await bench.fall_silent()
    sending = asyncio.create_task(bench.transport.send(wire.encode(batch()), batch_id="b1"))
    await asyncio.wait_for(heard.wait(), CANCEL_DEADLINE_S)
    sending.cancel()
    done, _ = await asyncio.wait([sending], timeout=CANCEL_DEADLINE_S)
    assert done
    assert sending.cancelled()


async def check_what_somebody_in_between_says_is_about_the_way_only(bench: Bench) -> None:
    for status in (200, 401, 403, 404, 413, 422, 503):
        await bench.put_somebody_between(status)
        with pytest.raises((TransientSyncError, BatchTooLargeError)) as caught:
            await bench.transport.send(wire.encode(batch()), batch_id="b1")
        assert isinstance(caught.value, TransientSyncError) or not caught.value.is_centrals
    await bench.let_through()
    assert (await bench.transport.send(wire.encode(batch()), batch_id="b1")).accepted == 6


async def check_closed_transport_says_so(bench: Bench) -> None:
    await bench.transport.close()
    with pytest.raises(TransientSyncError):
        await bench.transport.send(wire.encode(batch()), batch_id="b1")


CHECKS: list[Callable[[Bench], Awaitable[None]]] = [
    check_same_batch_twice_counts_once,
    check_lost_answer_then_resend_loses_and_doubles_nothing,
    check_batch_cut_differently_after_lost_answer_counts_once,
    check_refused_row_is_named_and_costs_no_other,
    check_conflict_inside_a_batch_keeps_the_first,
    check_empty_batch_settles_as_nothing,
    check_unknown_key_is_a_credentials_error,
    check_too_large_body_is_named_so,
    check_unreadable_body_is_refused_with_a_reason,
    check_central_down_is_transient_and_over_when_it_is_back,
    check_cancellation_passes_through_a_pending_send,
    check_what_somebody_in_between_says_is_about_the_way_only,
    check_closed_transport_says_so,
]
