"""NASA IMS run to failure, test 2: how many hours before the end does bearing 1's outer race stand out?

The rule, the same for every bearing and every quantity:
- one snapshot is one window (20,480 samples; 20,480 Hz); envelope of 2 to 9.5 kHz, three harmonics, 1 % tolerance;
- the baseline is the median of the snapshots of the first 24 hours;
- a quantity stands out from the first snapshot on after which it never again falls below baseline + 6 dB;
- the end is the last snapshot with the machine running: an rms of at least half the baseline's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import Extractor, build_extractor, feature_ids
from edge_agent.dsp.kernels import statistics
from edge_agent.dsp.machines.bearing import FaultLine
from edge_agent.errors import RecordingError
from edge_agent.recordings import Recording, find_recordings, load_recording
from edge_agent.recordings.loading import IMS_NAME
from edge_agent.reference_tables.read import read_bearings

BEARING: Final = "Rexnord ZA-2115"
SHAFT_HZ: Final = 2000 / 60
RATE_HZ: Final = 20_480.0
SAMPLES: Final = 20_480
BAND_HZ: Final = (2000.0, 9500.0)
RISE_DB: Final = 6.0
BASELINE_H: Final = 24.0
N_BEARINGS: Final = 4

_QUANTITIES: Final = ("BPFO amplitude", "BPFO signal to noise", "rms")
_PRINT_EVERY: Final = 6
_NS_PER_H: Final = 3.6e12

Columns = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """`levels` in dB, shape (n_snapshots, N_BEARINGS, len(_QUANTITIES)); `hours` since the first snapshot."""

    names: tuple[str, ...]
    hours: Columns
    levels: Columns


def evaluate(data: Path) -> Iterator[str]:
    """Lines of the tables. Raises RecordingError if there is no run to read."""
    run = above_baseline(read_run(data))
    end_h = run.hours[-1]
    yield f"{BEARING} at 2000 rpm: BPFO {_bpfo_hz():.1f} Hz; {len(run.names)} snapshots with the machine running"
    yield f"last: {run.names[-1]}, {end_h:.1f} h after the first; dB above the median of the first {BASELINE_H:g} h"
    yield ""
    yield f"{'bearing 1':<24}{'h before end':>13}" + "".join(f"{name:>22}" for name in _QUANTITIES)
    for index in sorted({*range(0, len(run.names), _PRINT_EVERY), len(run.names) - 1}):
        levels = "".join(f"{level:>22.1f}" for level in run.levels[index, 0])
        yield f"{run.names[index]:<24}{end_h - run.hours[index]:>13.1f}{levels}"
    yield ""
    yield f"hours before the end from which it stays {RISE_DB:g} dB above its baseline (- never)"
    yield f"{'':<12}" + "".join(f"{name:>22}" for name in _QUANTITIES)
    for bearing in range(N_BEARINGS):
        leads = (_lead_h(run.hours, run.levels[:, bearing, quantity]) for quantity in range(len(_QUANTITIES)))
        yield f"bearing {bearing + 1:<4}" + "".join(f"{'-' if lead is None else f'{lead:.1f}':>22}" for lead in leads)


def read_run(data: Path) -> Run:
    """All snapshots of four bearings below `data`, in the order of their names, which is that of time."""
    files = [path for path in find_recordings([data]) if IMS_NAME.match(path.name)]
    extractor = _extractor()
    names, start_ns, levels = [], [], []
    for path in sorted(files, key=lambda path: path.name):
        recording = load_recording(path, sample_rate_hz=RATE_HZ)
        if recording.start_ns is None or recording.samples.shape != (N_BEARINGS, SAMPLES):
            continue
        names.append(recording.name.removesuffix(".gz"))
        start_ns.append(recording.start_ns)
        levels.append(_levels(recording, extractor))
    if len(names) < 2:
        raise RecordingError(f"there is no run of four-bearing snapshots in {data}")
    hours = (np.array(start_ns, np.float64) - start_ns[0]) / _NS_PER_H
    return Run(tuple(names), hours, np.array(levels))


def above_baseline(run: Run) -> Run:
    """The same while the machine runs, in dB above the first hours' median."""
    levels = run.levels - np.median(run.levels[run.hours <= BASELINE_H], axis=0)
    rms = levels[:, :, _QUANTITIES.index("rms")].max(axis=1)
    running = rms >= 20 * np.log10(0.5)
    names = tuple(name for name, is_running in zip(run.names, running, strict=True) if is_running)
    return Run(names, run.hours[running], levels[running])


def _levels(recording: Recording, extractor: Extractor) -> Columns:
    values, is_usable = extractor.extract(recording.samples[:, np.newaxis])
    if not is_usable.all():
        raise RecordingError(f"{recording.name} has no honest envelope")
    amplitude, signal_to_noise_db = values[:, 0].astype(np.float64).T
    rms = statistics.rms(samples=recording.samples.astype(np.float64))
    return np.stack([20 * np.log10(amplitude), signal_to_noise_db, 20 * np.log10(rms)], axis=-1)


def _lead_h(hours: Columns, levels: Columns) -> float | None:
    below = np.flatnonzero(levels < RISE_DB)
    first = int(below[-1]) + 1 if len(below) else 0
    return float(hours[-1] - hours[first]) if first < len(hours) else None


def _extractor() -> Extractor:
    parameters = {
        "band_low_hz": BAND_HZ[0],
        "band_high_hz": BAND_HZ[1],
        "shaft_hz": SHAFT_HZ,
        "bpfo_order": _bpfo_hz() / SHAFT_HZ,
    }
    features = feature_ids("envelope", "bpfo_amplitude", "bpfo_snr_db")
    return build_extractor(FeatureSpec("envelope", features, RATE_HZ, SAMPLES, SAMPLES, parameters))


def _bpfo_hz() -> float:
    return SHAFT_HZ * read_bearings()[BEARING].geometry.order(FaultLine.BPFO)
