"""What can be wrong with a source of samples although they come."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final

from edge_agent.drivers.report import SourceProblem

RATE_TOLERANCE: Final = 0.01
"""A spectrum's lines are off by as much: more than that, and a bearing's line is looked for beside where it is."""


def rate_problem(nominal_hz: float, measured_hz: float | None) -> SourceProblem | None:
    """Return that the samples come at another rate than they are taken for, or None."""
    if measured_hz is None or abs(measured_hz - nominal_hz) <= RATE_TOLERANCE * nominal_hz:
        return None
    off = 100.0 * (measured_hz / nominal_hz - 1.0)
    return SourceProblem(
        f"{measured_hz:.1f} samples come in a second, {nominal_hz:g} are configured: "
        f"frequencies are off by {off:+.1f} %",
        do="set the rate that the sensor has, or mend what loses samples",
    )


def due_problem(due: date | None, now_ns: int) -> SourceProblem | None:
    """Return that the calibration is due, or None."""
    if due is None:
        return None
    due_ns = int(datetime.combine(due, time(), UTC).timestamp()) * 1_000_000_000
    if now_ns < due_ns:
        return None
    return SourceProblem(
        f"its calibration was due on {due}", due_ns, "have it calibrated, then correct calibration_due"
    )


def found(*problems: SourceProblem | None) -> tuple[SourceProblem, ...]:
    """Return those that there are."""
    return tuple(problem for problem in problems if problem is not None)
