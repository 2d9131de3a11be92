"""Times of samples: how fast they run, where they have holes, and whether they are one rate at all. Pure.

Constraints
- A rate comes from the whole column, and is as exact as the column's digits allow: 0.048828 ms a step is 20,480 Hz.
- Where a hole is, the samples on both sides keep their spacing; windows do not span it.
- Times that are no one rate are refused with the row that does not fit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import RecordingError

_MIN_RAMP: Final = 16
"""Rows: no signal rises evenly for so long."""
_MIN_BROKEN_RAMP: Final = 64
_MOSTLY: Final = 0.95
"""Of the steps, that are alike: the rest may be holes."""
_COARSE_SHARE: Final = 0.01
_NEAR: Final = 1e-3
"""Clocks differ by some 50 ppm, and a logger's stamps by more; what is nearer than this to the rate that was said is
it."""
_MOST_STRAY: Final = 0.25
"""Of a step: what jitter leaves the spectrum of the lower half of the band as it is."""
_MOST_DRIFT: Final = 0.01
_STRETCH: Final = 1024
_TOLD_APART: Final = 0.1
_MOST_UNCERTAIN: Final = 5e-3
_MOST_UNCERTAIN_NEAR: Final = 0.02
"""Relative, of a rate that somebody expects: two usual rates are farther apart."""
_SAMPLED: Final = 2000
_ROUND_WITHIN: Final = 1e-7


@dataclass(frozen=True, slots=True)
class Spacing:
    """`starts` are the rows where samples begin that do not continue those before; 0 is always one."""

    rate_hz: float
    starts: tuple[int, ...]


def is_ramp(values: NDArray[np.float64]) -> bool:
    """Return whether a column rises evenly: a time or a count, and no signal."""
    if len(values) < _MIN_RAMP or not np.isfinite(values).all():
        return False
    step = (values[-1] - values[0]) / (len(values) - 1)
    if not step > 0 or not (np.diff(values) > 0).all():
        return False
    even = values[0] + step * np.arange(len(values))
    return bool(np.abs(values - even).max() <= 0.5 * step)


def is_broken_ramp(values: NDArray[np.float64]) -> bool:
    """Return whether a column is a time or a count with holes, coarse digits, restarts or missing fields in it."""
    finite = values[np.isfinite(values)]
    if len(finite) < max(_MIN_BROKEN_RAMP, _MOSTLY * len(values)):
        return False
    steps, span = np.diff(finite), finite[-1] - finite[0]
    if span > 0 and (steps >= 0).all():
        even = np.linspace(finite[0], finite[-1], len(finite))
        if np.abs(finite - even).max() <= _COARSE_SHARE * span:
            return True
    usual = np.median(steps)
    return bool(usual != 0 and np.mean(np.abs(steps - usual) <= 0.5 * abs(usual)) >= _MOSTLY)


def is_count(values: NDArray[np.float64], *, least: int = _MIN_RAMP) -> bool:
    """Return whether a column counts its rows: whole numbers, each one more than the one before."""
    return len(values) >= least and bool(
        np.isfinite(values).all() and (np.diff(values) == 1).all() and values[0] % 1 == 0
    )


def quantum_of(times: NDArray[np.float64]) -> float:
    """Return the unit of the last digit that the times are written with; 0 when they have more than nine.

    Where a float64 holds no more digits (seconds since 1970 have seven behind the point), the first it does not hold.
    """
    sample = times[:: max(1, len(times) // _SAMPLED)]
    for digits in range(10):
        scaled = np.abs(sample) * 10.0**digits
        rounding = 8 * np.spacing(scaled.max())
        if rounding > _TOLD_APART:
            return float(10.0**-digits)
        if (np.abs(scaled - np.rint(scaled)) <= rounding + 1e-7).all():
            return float(10.0**-digits)
    return 0.0


def spacing(
    times_s: NDArray[np.float64], quantum_s: float, name: str, where: Callable[[int], str], *, near_hz: float | None
) -> Spacing:
    """Return rate and holes of times in seconds. `near_hz` is the expected rate: taken when the times agree with it.

    Raises RecordingError for times that do not run forward, or are no one rate.
    """
    steps = np.diff(times_s)
    if len(times_s) < 2:
        raise RecordingError(f"{name} has one row: its time column gives no rate", hint="a recording has many samples")
    wrong = np.flatnonzero(~(steps >= 0))
    if not wrong.size and not times_s[-1] > times_s[0]:
        raise RecordingError(
            f"{name}: all its times are the same, which gives no rate",
            hint="export them with more digits; --columns with --rate passes the time column over",
        )
    if wrong.size:
        at = where(int(wrong[0]) + 1)
        raise RecordingError(
            f"{name}, {at}: the time column does not run forward",
            hint="sort or split it there, or leave the column out and give --rate",
        )
    step_s = _typical_step(steps, quantum_s)
    holes = np.flatnonzero(steps > 1.5 * step_s + 2 * quantum_s) + 1
    starts = (0, *(int(hole) for hole in holes))
    _refuse_uneven(times_s, starts, step_s, quantum_s, name, where)
    step_s, uncertain = _refined(times_s, starts, step_s, quantum_s)
    rate_hz = _rounded(1 / step_s, uncertain, near_hz)
    if uncertain > _MOST_UNCERTAIN_NEAR or (uncertain > _MOST_UNCERTAIN and rate_hz != near_hz):
        raise RecordingError(
            f"{name}: times in steps of {quantum_s:g} s over {times_s[-1] - times_s[0]:g} s"
            " are too coarse to give the rate",
            hint="export them with more digits; --columns with --rate passes the time column over",
        )
    return Spacing(rate_hz, starts)


def _typical_step(steps: NDArray[np.float64], quantum_s: float) -> float:
    """Return the median where a step is several digits long, else a mean over rows that have no hole between them."""
    median = float(np.median(steps))
    if median > 4 * quantum_s:
        return median
    within = steps[steps <= np.quantile(steps, 0.99) + 2 * quantum_s]
    return float(within.mean())


def _segments(starts: tuple[int, ...], count: int) -> list[tuple[int, int]]:
    return list(zip(starts, (*starts[1:], count), strict=True))


def _refuse_uneven(
    times_s: NDArray[np.float64],
    starts: tuple[int, ...],
    step_s: float,
    quantum_s: float,
    name: str,
    where: Callable[[int], str],
) -> None:
    """Samples may stray from their even places by a part of a step, or by the last digit; by more they are no one rate.

    Looked at in stretches: two clocks drift apart over minutes, and a stretch is too short for that.
    """
    # Many short runs are no recording with holes but times without a rate.
    if len(starts) > 1 + len(times_s) // 20:
        raise _uneven(name, where(starts[1]))
    for begin, end in _segments(starts, len(times_s)):
        for first in range(begin, end, _STRETCH):
            run = times_s[first : min(first + _STRETCH + 1, end)]
            if len(run) < 3:
                continue
            own = (run[-1] - run[0]) / (len(run) - 1)
            stray = np.abs(run - run[0] - own * np.arange(len(run)))
            rounding = 1.01 * quantum_s
            if stray.max() > _MOST_STRAY * step_s + rounding:
                unlike = np.abs(np.diff(run) - step_s)
                raise _uneven(name, where(first + 1 + int(np.argmax(unlike > 0.5 * unlike.max()))))
            if abs(own - step_s) * (len(run) - 1) > _MOST_DRIFT * step_s * len(run) + 2 * rounding:
                raise _uneven(name, where(first))


def _uneven(name: str, at: str) -> RecordingError:
    return RecordingError(
        f"{name}, {at}: the samples are not evenly spaced in time",
        hint="resample it to one rate, or split it there; --columns with --rate passes the time column over",
    )


def _refined(
    times_s: NDArray[np.float64], starts: tuple[int, ...], step_s: float, quantum_s: float
) -> tuple[float, float]:
    """The mean step within the longest run, and how far it may be off, relative."""
    begin, end = max(_segments(starts, len(times_s)), key=lambda run: run[1] - run[0])
    if end - begin < 2:
        return step_s, 1e-9
    span = float(times_s[end - 1] - times_s[begin])
    if not span > 0:
        return step_s, 1.0
    return span / (end - 1 - begin), max(1e-9, 2 * quantum_s / span)


def _rounded(rate_hz: float, uncertain: float, near_hz: float | None) -> float:
    if near_hz is not None and abs(near_hz - rate_hz) <= max(_NEAR, uncertain) * rate_hz:
        return near_hz
    for digits in (-3, -2, -1, 0, 1, 2):
        candidate = round(rate_hz, digits)
        within = min(max(uncertain, _ROUND_WITHIN), _NEAR)
        if candidate > 0 and abs(candidate - rate_hz) <= within * rate_hz:
            return float(candidate)
    return rate_hz
