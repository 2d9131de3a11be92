"""Signals of a made-up rig at 2048 Hz, as blocks of a tenth of a second, and what looks at them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from cloud_sync.columns import Record
from edge_agent.core.gaps import Gap
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.dsp.machines.sensor_faults import Expected, FaultKind
from edge_agent.pipeline.operating_state import AssetOperation
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.sensor_health.drops import DropWatch
from edge_agent.pipeline.sensor_health.signal import SignalHealth

RATE_HZ = 2_048.0
START_NS = 1_700_000_000_000_000_000
SECOND = 2_048
ALL: frozenset[FaultKind] = frozenset({"flat", "clipped", "saturated", "light_clipping", "bias", "mains_hum"})


def noise(seconds: float, *, seed: int = 1) -> NDArray[np.float64]:
    return 0.2 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))


def hum(seconds: float, *, hz: float = 50.0) -> NDArray[np.float64]:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * hz * time_s) + 0.3 * np.sin(6 * np.pi * hz * time_s)


def blocks(*channels: Sequence[NDArray[np.float64]], block: int = 205) -> Iterator[SampleBlock]:
    """Yield the blocks of channels, each a list of stretches that follow one another."""
    samples = np.stack([np.concatenate(stretches) for stretches in channels]).astype(np.float32)
    for number, first in enumerate(range(0, samples.shape[1], block)):
        start_ns = START_NS + round(first * 1e9 / RATE_HZ)
        yield SampleBlock("rig", number, start_ns, RATE_HZ, "g", read_only(samples[:, first : first + block].copy()))


def signal_health(
    *,
    points: tuple[str, ...] = ("x",),
    expected: Expected | None = None,
    drops: DropWatch | None = None,
    operation: AssetOperation | None = None,
) -> SignalHealth:
    return SignalHealth(
        source="rig", asset="rig-1", points=points, checks=ALL,
        expected=lambda: (expected or Expected(),) * len(points),
        recorder=Recorder(is_clock_synced=lambda: True), drops=drops, operation=operation,
    )  # fmt: skip


def looked_at(health: SignalHealth, items: Iterator[SampleBlock | Gap] | Iterator[SampleBlock]) -> list[Record]:
    return [record for item in items for record in health.push(item)]
