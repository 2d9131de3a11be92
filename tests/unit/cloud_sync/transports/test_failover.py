"""Several routes to one central: when the route changes, when it changes back, and what is never hidden."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from cloud_sync import wire
from cloud_sync.errors import BatchRefusedError, BatchTooLargeError, CredentialsError, SyncError, TransientSyncError
from cloud_sync.transports.base import Route
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.memory import Fault, MemoryTransport
from cloud_sync.transports.speaker import SMALL_BYTES
from tests.contract.check_transport import batch, keys_of

PROBE_EVERY_S = 100.0


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Routes:
    """A failover over two memory transports that share what is stored, as two routes to one central do."""

    def __init__(self, *, after_failures: int = 2, retry_after_s: float | None = None) -> None:
        self.preferred = MemoryTransport(name="first", retry_after_s=retry_after_s)
        self.fallback = MemoryTransport(name="second")
        self.fallback.rows, self.fallback.events = self.preferred.rows, self.preferred.events
        self.clock = Clock()
        self.transport = FailoverTransport(
            self.preferred, self.fallback,
            after_failures=after_failures, probe_every_s=PROBE_EVERY_S, now_s=self.clock,
            now_ns=lambda: int(self.clock.now_s * 1e9),
        )  # fmt: skip

    async def send(self, batch_id: str = "b1"):
        return await self.transport.send(wire.encode(batch()), batch_id=batch_id)

    async def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(TransientSyncError):
                await self.send()

    @property
    def sent(self) -> tuple[int, int]:
        return self.preferred.sent_total, self.fallback.sent_total


async def test_the_preferred_route_is_used_while_it_works():
    routes = Routes()
    for _ in range(5):
        await routes.send()
    assert routes.sent == (5, 0)
    assert routes.transport.route.name == "first"


async def test_the_route_changes_after_the_given_failures_and_the_batch_goes_at_once():
    routes = Routes(after_failures=3)
    routes.preferred.reachable = False
    await routes.fail(2)
    assert (await routes.send()).accepted == 6
    assert routes.sent == (3, 1)
    assert routes.transport.route.name == "second"
    assert routes.transport.switches_total == 1


async def test_failures_that_are_not_in_a_row_change_nothing():
    routes = Routes(after_failures=2)
    for _ in range(4):
        routes.preferred.script(Fault.UNREACHABLE)
        await routes.fail(1)
        await routes.send()
    assert routes.fallback.sent_total == 0


async def test_the_preferred_route_is_tried_again_later_and_taken_back():
    routes = Routes(after_failures=1)
    routes.preferred.script(Fault.UNREACHABLE)
    await routes.send()
    routes.clock.now_s += PROBE_EVERY_S / 2
    await routes.send()
    assert routes.sent == (1, 2)
    routes.clock.now_s += PROBE_EVERY_S
    await routes.send()
    await routes.send()
    assert routes.sent == (3, 2)
    assert routes.transport.route.name == "first"


async def test_a_probe_that_fails_costs_nothing_and_the_next_one_is_as_far_away():
    routes = Routes(after_failures=1)
    routes.preferred.reachable = False
    await routes.send()
    routes.clock.now_s += PROBE_EVERY_S
    await routes.send()
    await routes.send()
    assert routes.sent == (2, 3)
    assert routes.transport.route.name == "second"


async def test_a_fallback_that_fails_too_gives_the_preferred_route_its_turn():
    routes = Routes(after_failures=2)
    routes.preferred.reachable = routes.fallback.reachable = False
    await routes.fail(6)
    routes.preferred.reachable = True
    async with asyncio.timeout(10):
        while routes.transport.route.name != "first":
            try:
                await routes.send()
            except TransientSyncError:
                continue
    assert set(routes.preferred.rows) | set(routes.preferred.events) == keys_of(batch())


async def test_an_answer_that_was_lost_on_one_route_counts_once_over_the_other():
    routes = Routes(after_failures=1)
    routes.preferred.script(Fault.ANSWER_LOST)
    settlement = await routes.send()
    assert (settlement.accepted, settlement.duplicates) == (0, 6)
    assert set(routes.preferred.rows) | set(routes.preferred.events) == keys_of(batch())


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.WRONG_KEY, CredentialsError),
        (Fault.TOO_LARGE, BatchTooLargeError),
        (Fault.UNREADABLE, BatchRefusedError),
    ],
)
async def test_what_somebody_must_mend_or_cut_is_not_hidden_by_the_other_way(fault: Fault, error: type[SyncError]):
    routes = Routes(after_failures=1)
    routes.preferred.script(fault, fault)
    for _ in range(2):
        with pytest.raises(error):
            await routes.send()
    assert routes.sent == (2, 0)


async def test_refused_credentials_are_said_at_each_probe_and_delivery_goes_on_between():
    routes = Routes(after_failures=1)
    routes.preferred.script(Fault.UNREACHABLE, Fault.WRONG_KEY)
    await routes.send()
    routes.clock.now_s += PROBE_EVERY_S
    with pytest.raises(CredentialsError):
        await routes.send()
    await routes.send()
    assert routes.sent == (2, 2)


async def test_a_batch_refused_at_a_probe_shows_that_the_preferred_route_is_back():
    routes = Routes(after_failures=1)
    routes.preferred.script(Fault.UNREACHABLE, Fault.UNREADABLE)
    await routes.send()
    routes.clock.now_s += PROBE_EVERY_S
    with pytest.raises(BatchRefusedError):
        await routes.send()
    assert routes.transport.route.name == "first"


async def test_a_busy_central_is_busy_on_either_way():
    routes = Routes(after_failures=1, retry_after_s=2.0)
    routes.preferred.script(Fault.BUSY, Fault.BUSY)
    for _ in range(2):
        with pytest.raises(TransientSyncError) as caught:
            await routes.send()
        assert caught.value.retry_after_s == 2.0
    assert routes.sent == (2, 0)


async def test_cancellation_passes_and_counts_as_no_failure():
    routes = Routes(after_failures=1)
    routes.preferred.script(Fault.SILENT)
    sending = asyncio.create_task(routes.send())
    await routes.preferred.heard.wait()
    sending.cancel()
    await asyncio.wait([sending])
    assert sending.cancelled()
    await routes.send()
    assert routes.sent == (2, 0)


async def test_both_routes_are_closed():
    routes = Routes()
    await routes.transport.close()
    assert routes.preferred.closed
    assert routes.fallback.closed


async def test_which_route_delivers_and_since_when_can_be_told():
    routes = Routes(after_failures=1)
    assert routes.transport.route == Route("first")
    routes.preferred.script(Fault.UNREACHABLE)
    routes.clock.now_s = 7.0
    await routes.send()
    assert routes.transport.route == Route("second", since_ns=7_000_000_000, instead_of="first")
    routes.clock.now_s = 7.0 + PROBE_EVERY_S
    await routes.send()
    assert routes.transport.route == Route("first", since_ns=107_000_000_000)


class Three(Routes):
    """An order of three: the cable, a modem, and the last resort."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.routes = tuple(MemoryTransport(name=name) for name in ("cable", "modem", "satellite"))
        self.transport = FailoverTransport(
            *self.routes, after_failures=1, probe_every_s=PROBE_EVERY_S, probation_answers=2, now_s=self.clock,
            now_ns=lambda: int(self.clock.now_s * 1e9),
        )  # fmt: skip

    def reach(self, *names: str) -> None:
        for route in self.routes:
            route.reachable = route.route.name in names

    async def used(self, *, after_s: float = 0.0) -> str:
        self.clock.now_s += after_s
        await self.send()
        return self.transport.route.name


async def test_the_order_is_kept_and_after_the_last_comes_the_first():
    three = Three()
    three.reach("satellite")
    with pytest.raises(TransientSyncError):
        await three.send()  # the cable, then the modem at once
    assert await three.used() == "satellite"
    three.reach("cable")
    assert await three.used() == "cable"


async def test_routes_before_the_one_in_use_are_tried_by_turns():
    three = Three()
    three.reach("satellite")
    with pytest.raises(TransientSyncError):
        await three.send()
    await three.send()
    three.reach("modem", "satellite")
    assert await three.used(after_s=PROBE_EVERY_S) == "satellite"  # the cable was asked
    assert await three.used(after_s=PROBE_EVERY_S) == "modem"
    three.reach("cable", "modem", "satellite")
    assert [await three.used() for _ in range(3)] == ["modem"] * 3
    assert await three.used(after_s=PROBE_EVERY_S) == "cable"


async def test_a_route_that_comes_back_is_on_probation_and_a_failure_costs_it_the_next_probe():
    three = Three()
    cable, modem, _ = three.routes
    three.reach("modem")
    assert await three.used() == "modem"
    three.reach("cable", "modem")
    assert await three.used(after_s=PROBE_EVERY_S) == "cable"
    three.reach("modem")
    sent = modem.sent_total
    assert await three.used() == "modem"
    assert modem.sent_total == sent + 1, "the batch of the failure goes at once"
    three.reach("cable", "modem")
    asked = cable.sent_total
    assert await three.used(after_s=PROBE_EVERY_S) == "modem"
    assert cable.sent_total == asked, "not probed yet: twice the time"
    assert await three.used(after_s=PROBE_EVERY_S) == "cable"


async def test_a_route_that_flaps_is_probed_ever_more_rarely_until_it_holds():
    three = Three()
    waits = []
    for _ in range(4):
        three.reach("modem")
        assert await three.used() == "modem"
        three.reach("cable", "modem")
        began_s = three.clock.now_s
        while await three.used(after_s=PROBE_EVERY_S / 4) != "cable":
            pass
        waits.append((three.clock.now_s - began_s) / PROBE_EVERY_S)
    assert waits == [1, 2, 4, 8]
    for _ in range(8):
        assert await three.used(after_s=PROBE_EVERY_S / 4) == "cable"
    three.reach("modem")
    await three.used()
    three.reach("cable", "modem")
    assert await three.used(after_s=PROBE_EVERY_S) == "cable"


class Connected(MemoryTransport):
    """One that holds a connection from a send on, whatever becomes of it, until it rests."""

    is_connected = False
    waits_for: asyncio.Event | None = None

    async def send(self, body: bytes, *, batch_id: str):
        if self.waits_for is not None:
            await self.waits_for.wait()
        self.is_connected = True
        return await super().send(body, batch_id=batch_id)

    async def rest(self) -> None:
        self.is_connected = False


def connected_routes() -> tuple[Routes, Connected, Connected]:
    routes = Routes(after_failures=1)
    routes.preferred, routes.fallback = Connected(), Connected()
    routes.transport = FailoverTransport(
        routes.preferred, routes.fallback, after_failures=1, probe_every_s=PROBE_EVERY_S, now_s=routes.clock
    )
    return routes, routes.preferred, routes.fallback


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.UNREACHABLE, None),
        (Fault.WRONG_KEY, CredentialsError),
        (None, None),
        (Fault.UNREADABLE, BatchRefusedError),
    ],
)
async def test_whatever_a_probe_finds_only_the_route_in_use_stays_connected(fault: Fault | None, error):
    routes, first, second = connected_routes()
    first.script(Fault.UNREACHABLE, fault)
    await routes.send()
    assert (first.is_connected, second.is_connected) == (False, True)
    routes.clock.now_s += PROBE_EVERY_S
    with contextlib.nullcontext() if error is None else pytest.raises(error):
        await routes.send()
    assert first.sent_total == 2
    in_use = routes.transport.in_use
    assert (first.is_connected, second.is_connected) == (in_use is first, in_use is second)


async def test_a_late_answer_over_a_route_that_was_left_keeps_it_not_connected():
    routes, first, second = connected_routes()
    first.waits_for = let_through = asyncio.Event()
    late = asyncio.create_task(routes.send("late"))
    await asyncio.sleep(0)
    first.waits_for = None
    first.script(Fault.UNREACHABLE)
    await routes.send()
    let_through.set()
    assert (await late).accepted == 6
    assert (first.is_connected, second.is_connected) == (False, True)


def test_one_route_is_no_failover():
    with pytest.raises(ValueError, match="two routes"):
        FailoverTransport(MemoryTransport())


async def test_somebody_between_who_lets_nothing_through_changes_the_route_whatever_he_says():
    for status in (413, 403):
        routes = Routes()
        routes.preferred.somebody_says = status
        with pytest.raises((TransientSyncError, BatchTooLargeError)):
            await routes.send()
        assert (await routes.send()).accepted == 6
        assert routes.transport.route.name == "second"

        routes.clock.now_s = PROBE_EVERY_S  # he is still there: the probe costs nothing
        assert (await routes.send()).duplicates == 6
        assert routes.transport.route.name == "second"

        routes.preferred.somebody_says = None
        routes.clock.now_s = 2 * PROBE_EVERY_S
        await routes.send()
        assert routes.transport.route.name == "first"


async def test_a_limit_for_large_requests_in_between_is_no_reason_to_change_the_route():
    routes = Routes()
    routes.preferred.somebody_says = 413
    large = wire.encode(batch()) + bytes(SMALL_BYTES)
    for _ in range(5):
        with pytest.raises(BatchTooLargeError):
            await routes.transport.send(large, batch_id="b1")
    assert routes.transport.route.name == "first"
