"""The judge of a long run can tell growth from waves, warm-up and noise; and what it samples is there."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from tests.soak.report import LIMITS, slopes, verdict_of
from tests.soak.sampling import disk_bytes, process_sample
from tests.soak.slopes import Limit, Verdict, slope_of

LIMIT = Limit(2.0)
TIMES_S = [10.0 * n for n in range(360)]


def noisy(per_hour: float, *, seed: int = 3) -> list[float]:
    """An hour of growth, under noise and with an outage's bump every ten minutes."""
    rng = random.Random(seed)
    bumps = [30.0 if n % 60 < 6 else 0.0 for n in range(len(TIMES_S))]
    return [100.0 + per_hour * t / 3_600.0 + rng.gauss(0.0, 1.0) + bump for t, bump in zip(TIMES_S, bumps, strict=True)]


@pytest.mark.parametrize(
    ("per_hour", "verdict"),
    [(0.0, Verdict.FLAT), (-5.0, Verdict.FLAT), (11.0, Verdict.GROWS), (2.0, Verdict.UNDECIDED)],
)
def test_growth_is_told_from_noise_and_outages(per_hour: float, verdict: Verdict):
    found = slope_of(TIMES_S, noisy(per_hour), LIMIT)
    assert found.verdict is verdict
    assert found.low <= per_hour <= found.high


def test_a_count_that_never_moves_is_flat():
    found = slope_of(TIMES_S, [14.0] * len(TIMES_S), LIMIT)
    assert (found.per_hour, found.low, found.high) == (0.0, 0.0, 0.0)
    assert found.verdict is Verdict.FLAT


def samples(**grows: float) -> list[dict[str, float]]:
    """Four hours of every quantity, flat but for these; the first hour is a warm-up in which everything doubles."""
    times_s = np.arange(0.0, 14_400.0, 60.0)
    level = np.minimum(times_s / 3_600.0, 1.0) * 1e7 + 1e7
    return [
        {"at_s": float(t), "agent_cpu_s": 0.1 * float(t)}
        | {name: base + grows.get(name, 0.0) * float(t) / 3_600.0 for name in LIMITS if name != "agent_cpu_share"}
        for t, base in zip(times_s, map(float, level), strict=True)
    ]


def test_a_run_in_which_nothing_grows_after_the_warm_up_is_flat():
    assert verdict_of(slopes(samples(), warm_up_s=3_600.0)) is Verdict.FLAT
    assert verdict_of(slopes(samples(), warm_up_s=0.0)) is not Verdict.FLAT


def test_one_quantity_that_grows_is_named():
    found = slopes(samples(agent_uss_bytes=11e6), warm_up_s=3_600.0)
    assert [name for name, slope in found.items() if slope.verdict is Verdict.GROWS] == ["agent_uss_bytes"]
    assert verdict_of(found) is Verdict.GROWS
    assert found["agent_uss_bytes"].per_hour == pytest.approx(11e6, rel=1e-6)


def test_a_run_that_has_not_looked_at_everything_is_not_called_flat():
    seen = [{name: value for name, value in sample.items() if name != "agent_threads"} for sample in samples()]
    assert verdict_of(slopes(seen, warm_up_s=3_600.0)) is Verdict.UNDECIDED


def test_a_process_is_seen_from_outside(tmp_path: Path):
    before = process_sample(os.getpid())
    with (tmp_path / "one").open("w"), (tmp_path / "more").open("w"):
        held = np.ones(4_000_000)
        during = process_sample(os.getpid())
    assert during["handles"] == before["handles"] + 2
    assert during["anonymous_bytes"] - before["anonymous_bytes"] > 0.9 * held.nbytes
    assert during["uss_bytes"] <= during["pss_bytes"] <= during["rss_bytes"]
    assert during["cpu_s"] >= before["cpu_s"] > 0
    assert during["threads"] >= 1


def test_what_files_take_is_what_the_disk_gives(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "gone").symlink_to("nowhere")
    assert 100_000 <= disk_bytes(tmp_path) < 130_000
