"""Ten seconds of vibration at 20,480 Hz through windows, features, a shipped model and reports, in blocks of 0.1 s."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.harness import Comparison, benchmark, compare
from edge_agent.bundles.store import BundleStore
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.dsp.machines.sensor_faults import UNKNOWN
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.recorder import Recorder
from edge_agent.pipeline.sensor_health.drops import DropWatch
from edge_agent.pipeline.sensor_health.signal import SignalHealth
from edge_agent.pipeline.sensor_health.uses import all_scored
from edge_agent.pipeline.waveform import WaveformLine
from edge_agent.rollout.startup import scoring_model
from edge_agent.settings import AlarmSettings, ReportSettings

RATE_HZ: Final = 20_480
SECONDS: Final = 10
MODEL: Final = "vibration_anomaly_isolationforest"


@benchmark("pipeline.sensor_health.growth", unit="us/s of signal")
def growth() -> Comparison:
    """With the sensor judged first, against without."""
    model = scoring_model(BundleStore(Path("models_onnx")).load_champion(MODEL))
    blocks = healthy_blocks()
    both = compare(ours=lambda: _with_health(blocks, model), baseline=lambda: _without(blocks, model))
    return Comparison(tuple(each / SECONDS for each in both.ours), tuple(each / SECONDS for each in both.baseline))


def healthy_blocks() -> list[SampleBlock]:
    """Return a tone and noise in steps of a 16-bit converter."""
    time_s = np.arange(SECONDS * RATE_HZ) / RATE_HZ
    noise = 0.08 * np.random.default_rng(3).standard_normal(len(time_s))
    signal = (np.round((noise + 0.05 * np.sin(2 * np.pi * 29.7 * time_s)) * 4_096) / 4_096).astype(np.float32)
    return [
        SampleBlock("rig", i, 10**18 + i * 10**8, float(RATE_HZ), "g", read_only(piece.copy()))
        for i, piece in enumerate(np.split(signal[None], 10 * SECONDS, axis=1))
    ]


def _with_health(blocks: list[SampleBlock], model: ScoringModel) -> None:
    recorder = Recorder(is_clock_synced=lambda: True)
    health = SignalHealth(
        source="rig", asset="rig-1", points=("x",),
        checks=frozenset({"flat", "clipped", "light_clipping", "mains_hum"}), expected=lambda: (UNKNOWN,),
        recorder=recorder, drops=DropWatch(),
    )  # fmt: skip
    line = _line(model, recorder, health)
    for block in blocks:
        health.push(block)
        while (judged := health.take()) is not None:
            line.push(judged)


def _without(blocks: list[SampleBlock], model: ScoringModel) -> None:
    line = _line(model, Recorder(is_clock_synced=lambda: True), None)
    for block in blocks:
        line.push(block)


def _line(model: ScoringModel, recorder: Recorder, health: SignalHealth | None) -> WaveformLine:
    return WaveformLine(
        source="rig", asset="rig-1", points=("x",), sensor_type="vibration", signal_unit="g", model=model,
        alarm=AlarmSettings(), report=ReportSettings(), recorder=recorder,
        uses=all_scored if health is None else health.uses,
    )  # fmt: skip
