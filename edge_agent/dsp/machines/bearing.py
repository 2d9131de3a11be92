"""How often a damaged bearing part is struck: its lines in the envelope spectrum, as orders of the shaft.

An order is a multiple of the shaft's rotation. The formulas assume rolling without slip and a fixed outer ring; real
bearings slip by one or two per cent, which is why lines are searched for with a tolerance.

Source: R. B. Randall, J. Antoni, "Rolling element bearing diagnostics - a tutorial", Mechanical Systems and Signal
Processing 25 (2011) 485-520, section 2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from edge_agent.dsp.family_base.parameters import Parameters
from edge_agent.errors import SignalError

GEOMETRY_PARAMETERS: Final = ("n_rollers", "ball_diameter", "pitch_diameter", "contact_angle_deg")


class FaultLine(StrEnum):
    """Which part is struck."""

    BPFO = "bpfo"
    """Ball pass frequency, outer race."""
    BPFI = "bpfi"
    """Ball pass frequency, inner race."""
    BSF = "bsf"
    """Ball spin frequency. A damaged ball meets both races in one spin, so 2 x BSF is often the stronger line."""
    FTF = "ftf"
    """Fundamental train (cage) frequency."""


def line_of(feature: str) -> FaultLine | None:
    """Return the fault line that a feature such as `bpfo_snr_db` is about, or None."""
    return next((line for line in FaultLine if feature.startswith(f"{line}_")), None)


ORDER_PARAMETERS: Final = tuple(f"{line.value}_order" for line in FaultLine)


@dataclass(frozen=True, slots=True)
class BearingGeometry:
    """A rolling bearing. The diameters have one unit, whichever. Raises SignalError for a bearing that cannot be."""

    n_rollers: int
    ball_diameter: float
    pitch_diameter: float
    contact_angle_deg: float = 0.0

    def __post_init__(self) -> None:
        if self.n_rollers < 1:
            raise SignalError(f"a bearing has at least 1 roller, not {self.n_rollers}")
        for name, value in (("ball", self.ball_diameter), ("pitch", self.pitch_diameter)):
            if not (math.isfinite(value) and value > 0):
                raise SignalError(f"the {name} diameter must be above 0, not {value:g}")
        if self.ball_diameter >= self.pitch_diameter:
            raise SignalError(
                f"a ball of {self.ball_diameter:g} does not fit a pitch diameter of {self.pitch_diameter:g}",
                hint="the pitch diameter is that of the circle of ball centres; both must be in one unit",
            )
        if not 0 <= self.contact_angle_deg < 90:
            raise SignalError(f"the contact angle is from 0 to below 90 degrees, not {self.contact_angle_deg:g}")

    def order(self, line: FaultLine) -> float:
        """Return the order of a line.

        With q = d / D cos(phi): BPFO n/2 (1 - q), BPFI n/2 (1 + q), BSF D/2d (1 - q^2), FTF 1/2 (1 - q).
        """
        q = self.ball_diameter / self.pitch_diameter * math.cos(math.radians(self.contact_angle_deg))
        match line:
            case FaultLine.BPFO:
                return self.n_rollers / 2 * (1 - q)
            case FaultLine.BPFI:
                return self.n_rollers / 2 * (1 + q)
            case FaultLine.BSF:
                return self.pitch_diameter / (2 * self.ball_diameter) * (1 - q * q)
            case FaultLine.FTF:
                return (1 - q) / 2

    def parameters(self) -> dict[str, float | int]:
        """Return it as the parameters of a spec, in the order of `GEOMETRY_PARAMETERS`."""
        values = (self.n_rollers, self.ball_diameter, self.pitch_diameter, self.contact_angle_deg)
        return dict(zip(GEOMETRY_PARAMETERS, values, strict=True))


def orders_from(parameters: Parameters) -> dict[FaultLine, float]:
    """Return the orders from `bpfo_order` and its like where given, the others from the geometry where that is given.

    Raises SignalError for a geometry that is incomplete or impossible, or an order that is not above zero.
    """
    orders: dict[FaultLine, float] = {}
    if any(name in parameters for name in GEOMETRY_PARAMETERS):
        geometry = BearingGeometry(
            parameters.whole("n_rollers", at_least=1),
            parameters.positive("ball_diameter"),
            parameters.positive("pitch_diameter"),
            parameters.number("contact_angle_deg", 0.0),
        )
        orders = {line: geometry.order(line) for line in FaultLine}
    for line, name in zip(FaultLine, ORDER_PARAMETERS, strict=True):
        if name in parameters:
            orders[line] = parameters.positive(name)
    return orders
