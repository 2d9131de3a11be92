"""A sensor that is dead, driven beyond its range, or hears the mains: a fault of the measurement, not of the machine.

Constraints
- One channel of samples in, one fault or none out. Pure; recordings and live samples are judged by the same formulas.
- Every threshold stands far from what healthy and damaged machines do: bearings to their end, fans, pumps and valves.
  What is doubtful is no fault.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

FaultKind = Literal["flat", "clipped", "mains_hum"]

MIN_SAMPLES: Final = 256
"""Fewer say nothing about a sensor."""
FLAT_SHARE: Final = 0.25
"""Of the samples, in one run of one value. A quiet microphone repeats a value some ten times, a broken cable for
ever."""
FEW_LEVELS: Final = 2
"""A converter without a signal flickers between two of its steps; a sensor on a machine at rest fills more."""
CLIPPED_SHARE: Final = 0.02
"""At the highest and the lowest value together. The last bursts of a bearing that breaks strike a range of 50 g with
0.6 % of their samples, and that is the machine; a gain that is set wrong cuts off far more."""
PILE_UP: Final = 4.0
"""How much fuller the outermost level is than those next to it. Of a noise it is emptier, of a sine 2.4 times as
full."""
_NEXT_LEVELS: Final = 3
_MIN_AT_END: Final = 4
HUM_SHARE: Final = 0.9
"""Of the variance, in the mains' frequency and its harmonics. A motor that runs at 49.5 Hz puts less into 50 Hz."""
ODD_SHARE: Final = 0.5
"""Of the lines, at the mains' frequency and its odd multiples, as a cable picks it up. The pull of a motor's field has
twice the frequency: a machine that hums at 100 Hz is no fault of its sensor."""
_MAINS_HZ: Final = (50.0, 60.0)
_HARMONICS: Final = 10
_HUM_SECONDS: Final = 1.0
"""In a second, 49.5 Hz and 50 Hz are half a period apart; in less they are one."""


@dataclass(frozen=True, slots=True)
class SensorFault:
    """`share` is what part of the samples (of the variance, for hum) shows it; `words` say it to a person."""

    kind: FaultKind
    share: float
    words: str


def sensor_fault(samples: NDArray[np.float32], sample_rate_hz: float) -> SensorFault | None:
    """Return the fault of one channel, samples of shape (n,); missing ones are passed over."""
    finite = samples[np.isfinite(samples)]
    if len(finite) < MIN_SAMPLES:
        return None
    levels, counts = np.unique(finite, return_counts=True)
    return _flat(finite, levels) or _clipped(levels, counts) or _mains_hum(finite, sample_rate_hz)


def _flat(samples: NDArray[np.float32], levels: NDArray[np.float32]) -> SensorFault | None:
    if len(levels) == 1:
        return SensorFault("flat", 1.0, f"flat line (every sample is {float(levels[0]):.4g})")
    changes = np.flatnonzero(np.diff(samples))
    longest = int(np.diff(np.concatenate([[-1], changes, [len(samples) - 1]])).max())
    if longest >= FLAT_SHARE * len(samples):
        share = longest / len(samples)
        return SensorFault("flat", share, f"flat line ({share:.0%} of the samples in one run)")
    if len(levels) <= FEW_LEVELS:
        return SensorFault("flat", 1.0, f"flat line (no more than {len(levels)} values occur)")
    return None


def _clipped(levels: NDArray[np.float32], counts: NDArray[np.intp]) -> SensorFault | None:
    if len(levels) <= 2 * (_NEXT_LEVELS + 1):
        return None
    at_ends = [
        int(end)
        for end, beside in ((counts[0], counts[1 : 1 + _NEXT_LEVELS]), (counts[-1], counts[-1 - _NEXT_LEVELS : -1]))
        if end >= _MIN_AT_END and end > PILE_UP * beside.mean()
    ]
    share = sum(at_ends) / int(counts.sum())
    if share < CLIPPED_SHARE:
        return None
    return SensorFault("clipped", share, f"clipped ({_percent(share)} of samples at full scale)")


def _mains_hum(samples: NDArray[np.float32], sample_rate_hz: float) -> SensorFault | None:
    length = round(_HUM_SECONDS * sample_rate_hz)
    if len(samples) < length or length < MIN_SAMPLES:
        return None
    pieces = samples[: len(samples) // length * length].reshape(-1, length).astype(np.float64)
    pieces -= pieces.mean(axis=1, keepdims=True)
    total = np.sum(pieces**2, axis=1)
    if not (total > 0).all():
        return None
    for mains_hz in _MAINS_HZ:
        lines = _energy_in_lines(pieces, mains_hz, sample_rate_hz)
        share = float(np.median(lines.sum(axis=1) / total))
        if share >= HUM_SHARE and lines[:, ::2].sum() >= ODD_SHARE * lines.sum():
            return SensorFault(
                "mains_hum", share, f"mains hum ({_percent(share)} of the signal at {mains_hz:g} Hz and its multiples)"
            )
    return None


def _energy_in_lines(pieces: NDArray[np.float64], mains_hz: float, sample_rate_hz: float) -> NDArray[np.float64]:
    """Per piece and line; a second holds whole periods of each line, so the lines do not overlap."""
    orders = np.arange(1, _HARMONICS + 1) * mains_hz
    orders = orders[orders < sample_rate_hz / 2]
    turns = np.exp(-2j * np.pi * np.outer(np.arange(pieces.shape[1]) / sample_rate_hz, orders))
    return np.asarray((np.abs(pieces @ turns) ** 2) * 2 / pieces.shape[1])


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.01 else f"{100 * share:.0f} %"
