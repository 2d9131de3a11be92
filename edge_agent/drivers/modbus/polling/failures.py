"""Why a request brought no cells, and what that says of its tags. Pure.

REFUSED   exceptions 1 to 3: the same question will get the same answer, until somebody changes something
PASSING   5, 6: busy; 10, 11: the gateway did not reach the unit. The next scan may be answered
silence   nothing came within the time-out
The rest, 4 above all, may be either: whether parts of the request are answered decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_agent.drivers.modbus.transport.answers import ExceptionAnswer
from edge_agent.drivers.report import TagReport, TagState

REFUSED: Final = frozenset({1, 2, 3})
UNREACHABLE: Final = frozenset({10, 11})
BUSY: Final = frozenset({5, 6})
PASSING: Final = BUSY | UNREACHABLE
UNREACHABLE_HINT: Final = (
    "the gateway answers, the unit behind it does not: check that it is on, its unit_id and its wiring"
)
_BUSY_HINT: Final = "the device is asked too much: raise interval_s, set request_pause_ms, or ask with fewer programs"
_HINTS: Final = {
    4: "a module of the device is at fault, or it has no such register: compare with its list of registers",
    **dict.fromkeys(BUSY, _BUSY_HINT),
    **dict.fromkeys(UNREACHABLE, UNREACHABLE_HINT),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What came instead of cells. `code` is the exception's, None for silence; `hint` is what to do, when known."""

    code: int | None
    status: str
    hint: str | None = None

    @classmethod
    def of(cls, answer: ExceptionAnswer) -> Failure:
        """Return what an exception answer says."""
        return cls(answer.code, answer.status, _HINTS.get(answer.code))

    @classmethod
    def unusable(cls, came: str, hint: str | None) -> Failure:
        """Return that something came which does not answer the request."""
        return cls(None, f"no usable answer: {came}", hint)

    @classmethod
    def silence(cls, timeout_s: float) -> Failure:
        """Return that nothing came within the time-out."""
        return cls(None, f"no answer within {timeout_s:g} s")

    @property
    def state(self) -> TagState:
        """Return how its tags are."""
        if self.code is None:
            return TagState.SILENT
        return TagState.REFUSED if self.code in REFUSED else TagState.BAD

    @property
    def may_pass(self) -> bool:
        """Return whether the same request is made again in the next scan before anything else is tried."""
        return self.code is None or self.code in PASSING

    def report(self, place: str, since_ns: int) -> TagReport:
        """Return it as a tag's state; `place` is the request in words."""
        return TagReport(self.state, f"{self.status} ({place})", since_ns, exception=self.code, do=self.hint)
