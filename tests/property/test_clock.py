"""Any sequence of boots, steps and synchronisations: each reading arrives once, at its true time or marked."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cloud_sync.records import Row
from tests.support.box_clock import BoxClock, Gateway, errors_s

TOLERANCE_S = 0.03
"""What is not followed as a step, and how exactly the clocks are read."""
MARKED = 0.5
WALLS_S = (-1.8e9, -7_200.0, -30.0, 0.0, 7_200.0)

DAY_S, YEAR_2023_US = 86_400.0, 1_700_000_000_000_000

Step = tuple[str, float]

steps = st.lists(
    st.one_of(
        st.tuples(st.just("boot"), st.sampled_from(WALLS_S)),
        st.tuples(st.just("restart"), st.just(0.0)),
        st.tuples(st.just("measure"), st.floats(0.1, 5.0)),
        st.tuples(st.just("synchronise"), st.just(0.0)),
        st.tuples(st.just("set"), st.sampled_from(WALLS_S)),
        st.tuples(st.just("send"), st.just(0.0)),
    ),
    max_size=14,
)


class Site:
    """One box through its life; what it sends is kept, and what it measured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = BoxClock()
        self.clock.boot(wall_s=self.clock.true_s)
        self.taken: list[float] = []
        self.arrived: list[Row] = []

    async def live(self, plan: Sequence[Step]) -> None:
        self.gateway = Gateway(self.folder, self.clock)
        await self.gateway.start()
        for what, amount in plan:
            await self._do(what, amount)
        self.clock.synchronise()
        self.taken += await self.gateway.measure(2)
        self.arrived += self.gateway.deliver()[0]
        self.gateway.stop()

    async def _do(self, what: str, amount: float) -> None:
        match what:
            case "boot":
                self.gateway.stop()
                self.clock.boot(wall_s=self.clock.true_s + amount)
                await self._start()
            case "restart":
                self.gateway.stop()
                await self._start()
            case "measure":
                self.taken += await self.gateway.measure(2, every_s=amount)
            case "synchronise":
                self.clock.synchronise()
                await self.gateway.keeper.look()
            case "set":
                self.clock.set_by_hand(amount)
                await self.gateway.keeper.look()
            case _:
                self.arrived += self.gateway.deliver()[0]

    async def _start(self) -> None:
        self.clock.true_s += 1.0
        self.gateway = Gateway(self.folder, self.clock)
        await self.gateway.start()


@settings(max_examples=30)
@given(plan=steps)
def test_each_reading_arrives_once_and_is_right_or_marked(plan: list[Step]):
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Path(folder))
        asyncio.run(site.live(plan))
    assert sorted(row.value for row in site.arrived) == site.taken
    assert len({row.key for row in site.arrived}) == len(site.taken)
    was_set = any(what == "set" for what, _ in plan)  # a clock that was right and is set wrong is followed: said, once
    for row, error_s in zip(site.arrived, errors_s(site.arrived), strict=True):
        assert abs(error_s) <= TOLERANCE_S or row.quality <= MARKED or was_set
        assert error_s < DAY_S, "no central takes it"
        assert row.time_us > YEAR_2023_US, "no central takes it"
