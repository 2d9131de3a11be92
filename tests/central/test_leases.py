"""Two boxes with one gateway id: one sends, the other is held back, both are told, and nothing mixes in silence."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import httpx
import pytest

from cloud_sync import wire
from cloud_sync.central.database import lease_desk
from cloud_sync.central.database.leases import HeldBackError, Leases, LeaseTerms
from cloud_sync.central.database.store import Store
from cloud_sync.central.ingress.http import create_app
from cloud_sync.central.metrics import Metrics
from cloud_sync.central.server import Listen, running
from cloud_sync.records import Batch
from cloud_sync.twins import HEADER, About, Sender
from tests.central.test_cli import edge_central
from tests.support.boxes import CLONE, GATEWAY, LATER, OLDER, ORIGINAL, STRANGER, Box, https_box
from tests.support.central import API_KEY, Database
from tests.support.databases import DatabaseServer

AT_ONCE = LeaseTerms(refresh_s=0.0)
"""Every batch asks the database, as it does ten seconds after the last one."""

MakeBox = Callable[[Sender | None], Box]


@pytest.fixture
def database_server(plain_server: DatabaseServer) -> DatabaseServer:
    return plain_server


@pytest.fixture
async def store(database: Database) -> AsyncIterator[Store]:
    async with Store(database.url, lease=AT_ONCE) as store:
        await store.add_key(API_KEY, gateway_id=GATEWAY)
        yield store


@pytest.fixture
async def box(service_url: str) -> AsyncIterator[MakeBox]:
    async with AsyncExitStack() as stack:

        def make(sender: Sender | None) -> Box:
            made = https_box(service_url, sender)
            stack.push_async_callback(made.transport.close)
            return made

        yield make


async def fall_silent(database: Database) -> None:
    """As long as the lease lasts, and longer."""
    await database.fetch("UPDATE gateway_leases SET expires_at = clock_timestamp() - interval '1 second'")


async def stored(database: Database) -> int:
    return await database.count("sensor_readings")


@pytest.mark.parametrize(
    ("other", "kind"),
    [(STRANGER, "duplicate"), (CLONE, "clone"), (OLDER, "older")],
    ids=["duplicate", "clone", "older"],
)
async def test_the_other_box_is_held_back_and_both_are_told(
    box: MakeBox, store: Store, database: Database, other: Sender, kind: str
):
    first, second = box(ORIGINAL), box(other)
    await first.send()
    held = await second.is_held_back()
    assert held is not None
    assert (held.about, held.kind) == (About.HELD, kind)
    assert (held.other.run, held.other.site, held.other.address) == (ORIGINAL.run, "north hall", "127.0.0.1")
    assert await second.is_held_back()  # it asks again, now that it was told
    assert (await first.send()).notice is not None
    twin = first.presence.twin
    assert twin is not None
    assert (twin.notice.about, twin.notice.kind, twin.notice.other.run) == (About.TWIN, kind, other.run)
    assert await stored(database) == len(first.taken)
    await first.send()  # the answer of the first, after it was told: both live
    (gateway,) = await lease_desk.gateways(store, GATEWAY)
    assert (gateway["run"], gateway["is_heard"]) == (ORIGINAL.run, True)
    assert [(rival["run"], rival["kind"], rival["is_present"]) for rival in gateway["rivals"]] == [
        (other.run, kind, True)
    ]
    assert gateway["rivals"][0]["proven_at"] is not None
    assert [one["what"] for one in await lease_desk.history(store, GATEWAY, limit=10)] == ["twins", "held_back"]
    totals = await store.stats()
    assert totals["twins"] == totals["gateways"][0]["twins"] == 1
    assert f'edge_central_held_back_total{{gateway="{GATEWAY}"}} 2' in store.metrics.text(database_up=True)


async def test_a_restart_goes_on_at_once_and_nobody_is_told(box: MakeBox, store: Store):
    before, after = box(ORIGINAL), box(LATER)
    await before.send()
    assert (await after.send()).notice is None
    assert await lease_desk.history(store, limit=10) == []


async def test_a_late_message_of_a_former_start_accuses_nobody(box: MakeBox, store: Store):
    before, after = box(ORIGINAL), box(LATER)
    await before.send()
    await after.send()
    assert await before.is_held_back()
    assert (await after.send()).notice is None
    assert (await lease_desk.gateways(store))[0]["rivals"] == []
    assert (await store.stats())["twins"] == 0


async def test_a_clone_that_started_later_takes_over_but_not_in_silence(box: MakeBox, database: Database):
    first, clone = box(ORIGINAL), box(LATER)
    await first.send()
    await clone.send()
    for _ in range(2):
        held = await first.is_held_back()
        assert held is not None
        assert held.other.run == LATER.run
    assert (await clone.send()).notice is not None
    await clone.send()  # by now it is known that both live: another start of either one does not decide
    again = box(Sender(ORIGINAL.instance, 9, "6" * 16))
    assert await again.is_held_back()
    assert await stored(database) == len(first.taken) + len(clone.taken)


async def test_a_new_box_takes_the_place_of_one_that_is_silent(box: MakeBox, store: Store, database: Database):
    old, new = box(ORIGINAL), box(STRANGER)
    await old.send()
    assert await new.is_held_back()
    await fall_silent(database)
    await new.send()
    assert new.presence.twin is None
    took_over = new.presence.took_over
    assert took_over is not None
    assert (took_over.notice.kind, took_over.notice.other.run) == ("replaced", ORIGINAL.run)
    notice = (await new.send()).notice  # also later: the first answer may have been lost
    assert notice is not None
    assert notice.about is About.TOOK_OVER
    assert [one["what"] for one in await lease_desk.history(store, limit=10)] == ["took_over"]
    held = await old.is_held_back()  # should it come back, it is the other one
    assert held is not None
    assert held.kind == "duplicate"


async def test_a_restored_backup_goes_on_once_its_later_start_is_silent(box: MakeBox, database: Database):
    before, restored = box(ORIGINAL), box(OLDER)
    await before.send()
    await fall_silent(database)
    notice = (await restored.send()).notice
    assert notice is not None
    assert (notice.about, notice.kind, notice.other.incarnation) == (About.TOOK_OVER, "restored", 5)


async def test_a_holder_that_comes_back_is_no_later_start(box: MakeBox, database: Database):
    first, other = box(ORIGINAL), box(OLDER)
    await first.send()
    await fall_silent(database)
    await other.send()
    held = await first.is_held_back()
    assert held is not None
    assert held.kind == "clone"


async def test_silence_costs_the_holder_nothing_while_nobody_else_asks(box: MakeBox, database: Database):
    only = box(ORIGINAL)
    await only.send()
    await fall_silent(database)
    assert (await only.send()).notice is None


async def test_an_older_agent_is_taken_and_has_no_lease(box: MakeBox, store: Store, database: Database):
    await box(None).send()
    assert await database.count("gateway_leases") == 0
    assert (await store.stats())["twins"] == 0


async def test_a_holder_is_told_of_an_older_agent_that_mixes_with_it(box: MakeBox, store: Store):
    new, old = box(ORIGINAL), box(None)
    await new.send()
    assert (await old.send()).notice is None
    for _ in range(2):
        notice = (await new.send()).notice
        assert notice is not None
        assert (notice.about, notice.kind, notice.other.address) == (About.TWIN, "unnamed", "127.0.0.1")
    assert [one["what"] for one in await lease_desk.history(store, limit=10)] == ["twins"]


async def test_an_agent_that_goes_back_to_an_older_version_accuses_nobody(box: MakeBox, store: Store):
    await box(ORIGINAL).send()
    await box(None).send()
    assert await lease_desk.history(store, limit=10) == []


async def test_the_lease_lasts_as_long_as_its_holder_may_be_silent(database: Database, store: Store):
    await store.admit(GATEWAY, Sender("a" * 16, 1, "1" * 16, lease_s=900), "")
    await store.admit("gw-2", Sender("a" * 16, 1, "1" * 16, lease_s=10**6), "")
    lasts = "SELECT extract(epoch FROM expires_at - seen_at)::int AS s FROM gateway_leases ORDER BY gateway_id"
    assert [one["s"] for one in await database.fetch(lasts)] == [900, 3_600]


async def test_a_box_on_a_link_that_costs_asks_seldom_and_is_there_all_the_same(database: Database, store: Store):
    await store.admit(GATEWAY, ORIGINAL, "")
    waits = []
    for rival in ("", ORIGINAL.run):
        with pytest.raises(HeldBackError) as held:
            await store.admit(GATEWAY, replace(STRANGER, lease_s=3_600, rival=rival), "")
        waits.append(held.value.retry_after_s)
    assert waits[0] == 2.0
    assert waits[1] > 60.0 - 1.0  # no longer than the lease of the holder may last
    there = "SELECT extract(epoch FROM present_until - last_seen_at)::int AS s FROM gateway_rivals"
    assert [one["s"] for one in await database.fetch(there)] == [1_500]


async def test_what_was_decided_is_believed_for_a_while(database: Database, store: Store):
    now_s = 0.0
    leases = Leases(store.reached, Metrics(), LeaseTerms(), monotonic_s=lambda: now_s)
    seen = "SELECT seen_at FROM gateway_leases"
    await leases.admit(GATEWAY, ORIGINAL, "")
    first = await database.fetch(seen)
    now_s = 9.9
    await leases.admit(GATEWAY, ORIGINAL, "")
    assert await database.fetch(seen) == first
    now_s = 10.0
    await leases.admit(GATEWAY, ORIGINAL, "")
    assert await database.fetch(seen) != first


async def test_of_many_that_come_at_once_to_two_centrals_one_has_the_id(database: Database, store: Store):
    senders = [Sender(f"{n:016x}", 1, f"{n:016x}") for n in range(10)]
    async with Store(database.url) as second:
        centrals = (store, second)
        came = [centrals[n % 2].admit(GATEWAY, sender, "") for n, sender in enumerate(senders)]
        outcomes = await asyncio.gather(*came, return_exceptions=True)
    assert [type(one) for one in outcomes].count(HeldBackError) == 9
    assert outcomes.count(None) == 1


async def test_a_twin_at_another_central_is_told_on_both_boxes(database: Database, box: MakeBox):
    async with Store(database.url, lease=AT_ONCE) as second, running(create_app(second), Listen()) as url:
        first, other = box(ORIGINAL), https_box(url, STRANGER)
        await first.send()
        for _ in range(2):
            assert await other.is_held_back()
        await first.send()
        assert first.presence.twin is not None
        await other.transport.close()


async def test_who_is_held_back_sends_no_full_batch_in_vain(box: MakeBox, store: Store):
    first, other = box(ORIGINAL), box(STRANGER)
    await first.send()
    for _ in range(4):
        await other.is_held_back()
    received = f'edge_central_received_bytes_total{{gateway="{GATEWAY}"}} '
    counted = next(line for line in store.metrics.text(database_up=True).splitlines() if line.startswith(received))
    before = int(counted.removeprefix(received))
    await other.is_held_back()
    counted = next(line for line in store.metrics.text(database_up=True).splitlines() if line.startswith(received))
    assert int(counted.removeprefix(received)) - before < 60


async def test_an_operator_hands_the_id_to_the_box_that_waits(box: MakeBox, store: Store, database: Database):
    first, other = box(ORIGINAL), box(STRANGER)
    await first.send()
    for _ in range(2):
        await other.is_held_back()
    listed = json.loads(edge_central("gateways", "--database-url", database.url).stdout)
    assert (listed["instance"], listed["rivals"][0]["instance"]) == (ORIGINAL.instance, STRANGER.instance)
    released = json.loads(edge_central("release", GATEWAY, "--database-url", database.url).stdout)
    assert released["to"]["run"] == STRANGER.run
    await other.send()
    assert await first.is_held_back()
    history = edge_central("gateways", "--history", "--database-url", database.url).stdout.splitlines()
    assert [json.loads(line)["what"] for line in history] == ["released", "held_back"]


async def test_a_released_id_goes_to_whoever_sends_next(box: MakeBox, store: Store, database: Database):
    await box(ORIGINAL).send()
    assert (await lease_desk.release(store, GATEWAY)) is not None
    assert (await box(STRANGER).send()).notice is None
    nobody = edge_central("release", "gw-9", "--database-url", database.url)
    assert nobody.returncode == 2
    assert "no box has the gateway id gw-9" in nobody.stderr


async def test_a_released_id_is_never_given_to_an_older_agent(box: MakeBox, store: Store, database: Database):
    new, old = box(ORIGINAL), box(None)
    await new.send()
    await old.send()
    released = await lease_desk.release(store, GATEWAY)
    assert released is not None
    assert released["to"] is None
    assert await database.count("gateway_leases") == 0
    await new.send()


@pytest.mark.parametrize("line", ["", "nonsense", "i=x;n=1;r=y", "i=" + "a" * 3_000])
async def test_a_line_that_cannot_be_read_is_an_older_agent(service_url: str, database: Database, line: str):
    headers = {"X-API-Key": API_KEY, "Idempotency-Key": f"{GATEWAY}:b1", "Content-Encoding": "zstd", HEADER: line}
    async with httpx.AsyncClient(base_url=service_url, headers=headers) as client:
        answer = await client.post("/api/v1/data/ingest/batch", content=wire.encode(Batch(GATEWAY)))
    assert answer.status_code == 200
    assert await database.count("gateway_leases") == 0
