"""A family's own parameters, each read once and refused by name: unknown, not a number, out of range."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from edge_agent.errors import SignalError

Value = float | int | str | bool


class Parameters:
    """The parameters of one spec. Raises SignalError for a name the family does not have."""

    def __init__(self, family: str, values: Mapping[str, Value], *, known: Sequence[str]) -> None:
        unknown = [name for name in values if name not in known]
        if unknown:
            raise SignalError(f"{family} has no parameter {', '.join(unknown)}", hint=f"known: {', '.join(known)}")
        self._family = family
        self._values = values

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def number(self, name: str, default: float | None = None) -> float:
        """Return a finite number. Without a default it must be given. Raises SignalError."""
        value = self._values.get(name, default)
        if value is None:
            raise SignalError(f"{self._family} needs the parameter {name}")
        if isinstance(value, (str, bool)) or not math.isfinite(value):
            raise SignalError(f"{self._family}: {name} must be a number, not {value!r}")
        return float(value)

    def positive(self, name: str, default: float | None = None) -> float:
        """Return a number above zero. Raises SignalError."""
        value = self.number(name, default)
        if value <= 0:
            raise SignalError(f"{self._family}: {name} must be above 0, not {value:g}")
        return value

    def whole(self, name: str, default: int | None = None, *, at_least: int) -> int:
        """Return a whole number. Raises SignalError."""
        value = self.number(name, default)
        if not value.is_integer() or value < at_least:
            raise SignalError(f"{self._family}: {name} must be a whole number of at least {at_least}, not {value:g}")
        return int(value)

    def choice(self, name: str, default: str, *, known: Sequence[str]) -> str:
        """Return one of a few words. Raises SignalError."""
        value = self._values.get(name, default)
        if not isinstance(value, str) or value not in known:
            raise SignalError(f"{self._family}: {name} must be one of {', '.join(known)}, not {value!r}")
        return value
