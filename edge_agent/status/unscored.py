"""Why a source or a tag model is not scored, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from edge_agent.errors import BundleError

NO_MODEL: Final = "name a model at this source, or an indicator that needs none (docs/CONDITION.md)"


@dataclass(frozen=True, slots=True)
class Unscored:
    """`model` is the name that is asked for."""

    reason: str
    do: str
    model: str | None = None


def unscored_by(error: BundleError | None, model: str | None) -> Unscored:
    """Return what a refused model means for whoever asks for it; without one, that no model was named."""
    if error is None:
        return Unscored("no model is configured", NO_MODEL, model)
    return Unscored(error.message, error.hint or f"see: edge-agent models verify {model}", model)
