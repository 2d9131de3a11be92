"""Whatever is bad and whenever the central refuses everything: no record is lost, and no good one is given up."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud_sync.outbox.store import Outbox
from cloud_sync.records import Row
from tests.support.blocks import block_of, fresh_rows
from tests.unit.cloud_sync.uplink.test_circuit_breaker import Choosing, coalescing
from tests.unit.cloud_sync.uplink.test_sender import BACKOFF_MAX_S, Clock, uplink_to

BLOCK_ROWS = 12
blocks = st.lists(
    st.one_of(st.just(frozenset()), st.just(frozenset(range(BLOCK_ROWS))), st.frozensets(st.integers(0, 11))),
    min_size=1,
    max_size=12,
)
"""The bad rows of each block that arrives, a second apart."""


@given(arriving=blocks, refuses_all=st.lists(st.booleans(), max_size=12), by_row=st.booleans(), is_joined=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_good_rows_arrive_and_bad_ones_are_kept(
    arriving: list[frozenset[int]], refuses_all: list[bool], by_row: bool, is_joined: bool
) -> None:
    asyncio.run(_deliver(arriving, refuses_all, by_row=by_row, is_joined=is_joined))


async def _deliver(arriving: list[frozenset[int]], refuses_all: list[bool], *, by_row: bool, is_joined: bool) -> None:
    good: list[Row] = []
    bad: set[tuple[str, int]] = set()
    with tempfile.TemporaryDirectory() as folder, Outbox(Path(folder) / "outbox.db", max_bytes=10_000_000) as outbox:
        central, clock = Choosing(by_row=by_row), Clock()
        uplink = (coalescing if is_joined else uplink_to)(central, outbox, clock)

        def takes(record: object) -> bool:
            return isinstance(record, Row) and record.key not in bad

        async def round_of(positions: frozenset[int]) -> None:
            rows = fresh_rows(BLOCK_ROWS)
            bad.update(rows[n].key for n in positions)
            good.extend(row for n, row in enumerate(rows) if n not in positions)
            outbox.append([block_of(rows)])
            await uplink.drain()
            clock.now_s += 1.0
            depth = outbox.depth()
            assert len(central.inner.rows) <= len(good)
            assert depth.records + depth.dead_letters + len(central.inner.rows) >= len(good) + len(bad)

        for number, positions in enumerate(arriving):
            is_refusing = number < len(refuses_all) and refuses_all[number]
            central.takes = (lambda _: False) if is_refusing else takes
            await round_of(positions)
        central.takes = takes
        for _ in range(30):
            clock.now_s += BACKOFF_MAX_S
            await round_of(frozenset())
        letters = outbox.depth().dead_letters
        assert outbox.depth().records == 0
        assert len(central.inner.rows) + letters == len(good) + len(bad)
        assert not bad & central.inner.rows.keys()
        # While it refuses everything, at most two blocks a time become dead letters before the breaker; by row only.
        assert letters - len(bad) <= (2 * BLOCK_ROWS * (1 + sum(refuses_all)) if by_row else 0)
