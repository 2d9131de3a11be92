"""Real recordings, healthy and damaged: the share of seconds that each check of the sensor flags.

Seconds are cut as the agent judges them; recordings shorter than one are judged whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np

from edge_agent.core.samples import Samples
from edge_agent.dsp.machines.sensor_faults import MIN_SAMPLES, signal_fault
from edge_agent.recordings import Overrides, find_recordings, load_recording

_SETS: Final = {"cwru": 12_000.0, "femto_pronostia": 25_600.0, "mimii": None, "nasa_ims": 20_480.0}
"""The data sets, with the rate in Hz of those whose files carry none."""
_NO_WAVEFORMS: Final = ("temp_", "reference", "3rd_test")
_KINDS: Final = ("flat", "clipped", "saturated", "light_clipping", "mains_hum")


def evaluate(data: Path) -> Iterator[str]:
    """Lines per folder of recordings below DATA; a set that is not there is left out. Raises RecordingError."""
    yield f"{'folder':52} {'seconds':>8} " + " ".join(f"{kind:>14}" for kind in _KINDS) + "  largest light_clipping"
    for name, rate_hz in _SETS.items():
        if not (data / name).is_dir():
            continue
        paths = [path for path in find_recordings([data / name]) if not path.name.startswith(_NO_WAVEFORMS)]
        for folder in sorted({path.parent for path in paths}):
            seconds, largest = _faults_in([path for path in paths if path.parent == folder], rate_hz)
            total = sum(seconds.values())
            shares = " ".join(f"{seconds[kind] / total:>14.1%}" for kind in _KINDS)
            yield f"{folder.relative_to(data).as_posix():52} {total:>8} {shares}  {largest:.2%}"


def _faults_in(paths: list[Path], rate_hz: float | None) -> tuple[Counter[str], float]:
    seconds: Counter[str] = Counter()
    largest = 0.0
    for path in paths:
        recording = load_recording(path, overrides=Overrides(expected_rate_hz=rate_hz))
        for channel in recording.samples:
            for second in _seconds(channel, recording.sample_rate_hz):
                fault = signal_fault(second, recording.sample_rate_hz)
                seconds["none" if fault is None else fault.kind] += 1
                if fault is not None and fault.kind == "light_clipping":
                    largest = max(largest, fault.share)
    return seconds, largest


def _seconds(channel: Samples, rate_hz: float) -> Iterator[Samples]:
    length = round(rate_hz)
    for first in range(0, max(1, len(channel) - length + 1), length):
        piece = channel[first : first + length]
        if len(piece) >= MIN_SAMPLES:
            yield np.asarray(piece)
