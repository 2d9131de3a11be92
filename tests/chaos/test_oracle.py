"""The judge would notice: lost, doubled and damaged keys, by hand and from gateways that are broken on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.chaos.databases import plain
from tests.chaos.gateway import ANSWER_TIMEOUT_S
from tests.chaos.mqtt_world import MqttWorld
from tests.chaos.oracle import Arrived, Key, Verdict, judge, value_of
from tests.chaos.run import settle
from tests.chaos.world import World
from tests.support.databases import DatabaseServer
from tests.support.patience import Patience

MARKED: list[Key] = [(f"s-{n}", 1_000 + n) for n in range(10)]
ARRIVED = [(key, value_of(*key)) for key in MARKED]
HOLDS = 3
DEADLINE_S = 20.0


def judged(marked: list[Key], arrived: list[Arrived]) -> Verdict:
    return judge(marked, arrived, lambda key, value: value == value_of(*key))


def test_judge_is_content_with_every_key_once():
    verdict = judged(MARKED, ARRIVED)
    assert verdict.is_good
    assert (verdict.marked, verdict.arrived, verdict.unmarked) == (10, 10, 0)


def test_judge_notices_a_lost_key():
    verdict = judged(MARKED, ARRIVED[1:])
    assert not verdict.is_good
    assert verdict.lost == MARKED[:1]


def test_judge_notices_a_key_that_arrived_twice():
    verdict = judged(MARKED, [*ARRIVED, ARRIVED[3]])
    assert not verdict.is_good
    assert verdict.doubled == [MARKED[3]]


def test_judge_notices_another_value():
    verdict = judged(MARKED, [(MARKED[0], 0.5), *ARRIVED[1:]])
    assert not verdict.is_good
    assert verdict.damaged == [MARKED[0]]


def test_judge_lets_a_durable_key_arrive_without_its_mark():
    verdict = judged(MARKED[1:], ARRIVED)
    assert verdict.is_good
    assert verdict.unmarked == 1


@pytest.fixture
async def server() -> AsyncIterator[DatabaseServer]:
    async with plain() as server:
        yield server


async def kill_broker_with_mail(world: MqttWorld, *, holds: int) -> None:
    world.central_side.flows.clear()
    assert await world.broker_holds(holds, within_s=DEADLINE_S)
    world.kill_broker()
    world.broker.start()


async def test_a_gateway_that_settles_on_puback_is_caught(server: DatabaseServer, tmp_path: Path):
    world = MqttWorld(server, tmp_path, settles_on="puback")
    async with world.running():
        await kill_broker_with_mail(world, holds=HOLDS)
        await settle(world, within_s=3.0)
        verdict = await world.verdict()
    assert len(verdict.lost) >= HOLDS
    assert not verdict.doubled
    assert not verdict.damaged


async def test_ours_loses_nothing_by_the_same_broker(server: DatabaseServer, tmp_path: Path):
    world = MqttWorld(server, tmp_path)
    async with world.running():
        await kill_broker_with_mail(world, holds=1)  # unanswered it soon goes over HTTPS, and hangs up here
        await settle(world)
        verdict = await world.verdict()
        figures = await world.figures(verdict.rows)
    assert verdict.is_good
    assert figures["pubacked_and_lost_by_the_broker"] >= 1
    assert 0 < figures["rows_in_these"] == figures["of_these_rows_sent_again_and_arrived"]


async def test_a_gateway_that_settles_on_send_is_caught(server: DatabaseServer, tmp_path: Path):
    world = World(server, tmp_path, settles_on="send")
    async with world.running():
        await swallow_some(world)
        await settle(world, within_s=3.0)
        verdict = await world.verdict()
    assert verdict.lost
    assert not verdict.damaged


async def test_ours_loses_nothing_by_the_same_link(server: DatabaseServer, tmp_path: Path):
    world = World(server, tmp_path)
    async with world.running():
        await swallow_some(world)
        await settle(world)
        verdict = await world.verdict()
    assert verdict.is_good
    assert verdict.arrived > 0


async def test_rows_that_arrived_before_their_answer_do_not_make_the_ledger_wrong(
    server: DatabaseServer, tmp_path: Path
):
    """The gateway is ended between the central's COMMIT and its answer, as it is on a machine that is slow."""
    world = World(server, tmp_path)
    async with world.running():
        world.relay.delay_s = 2.0 * ANSWER_TIMEOUT_S
        before = await world.count()
        await Patience(DEADLINE_S).until(lambda: more_than(before, world), "rows at the central")
        verdict = await world.verdict()
        figures = await world.figures(verdict.rows)
        assert {key for key, _ in verdict.rows} & world.keys_waiting()
    assert not verdict.doubled
    assert figures["ledger_differs"] == 0


async def more_than(before: int, world: World) -> bool:
    return await world.count() > before


async def swallow_some(world: World) -> None:
    world.relay.silent = True
    await world.relay.has_swallowed(1, within_s=DEADLINE_S)
    world.relay.silent = False
