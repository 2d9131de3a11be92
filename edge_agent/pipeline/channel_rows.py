"""Which channels of a source a model scores together, and what their row is called."""

from __future__ import annotations

from edge_agent.errors import ConfigurationError
from edge_agent.pipeline.model import ScoringModel


def row_points(points: tuple[str, ...], model: ScoringModel, *, source: str) -> tuple[str, ...]:
    """One name per row of the model's input: a channel's own, or those of neighbours joined, as "de-x_de-y".

    Raises ConfigurationError when the source's channels do not come out even.
    """
    per_row = model.channels_per_row
    if len(points) % per_row:
        raise ConfigurationError(
            f"{model.name} scores {per_row} channels together, and {source} has {len(points)}",
            hint=f"give the source its channels in groups of {per_row}, in the order the model was trained on",
        )
    return tuple("_".join(points[first : first + per_row]) for first in range(0, len(points), per_row))
