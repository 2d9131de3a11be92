"""A recording: samples that were taken earlier, with what its file says about them and what it does not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from edge_agent.core.samples import Samples
from edge_agent.errors import RecordingError

RateSource = Literal["file", "given"]


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """`samples` is read-only float32, shape (n_channels, n_samples), as the file has them: NaN stays NaN.

    `rate_source` says whether `sample_rate_hz` stands in the file or was given by the caller; the file's
    wins. `given_rate_hz` is what the caller gave, so that it can judge a difference.
    `unit` is empty when the file does not say. `start_ns` is the recording's own start, when its name or its time
    column carries one: the recorder's local time read as if it were UTC where no zone is written.
    `starts` are the samples that do not continue the ones before: 0, and each one after a hole in the file's times.
    `notes` say what was taken from the file or made of it: sentences for a person.
    """

    path: Path
    samples: Samples
    sample_rate_hz: float
    rate_source: RateSource
    channel_names: tuple[str, ...]
    given_rate_hz: float | None = None
    unit: str = ""
    start_ns: int | None = None
    starts: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.flags.writeable or self.samples.dtype != np.float32:
            raise ValueError("samples must be a read-only float32 array of shape (n_channels, n_samples)")
        if len(self.channel_names) != self.samples.shape[0]:
            raise ValueError("every channel has exactly one name")

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def n_channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def n_samples(self) -> int:
        return int(self.samples.shape[1])

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate_hz


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """What one format's reader found in the bytes. `rate_hz` is None when the format does not carry it.

    `units` are one per channel, empty where the file does not say; the rest is as in `Recording`.
    """

    samples: Samples
    channel_names: tuple[str, ...]
    rate_hz: float | None = None
    units: tuple[str, ...] = ()
    starts: tuple[int, ...] = (0,)
    start_ns: int | None = None
    notes: tuple[str, ...] = ()


def numbered(count: int) -> tuple[str, ...]:
    """Return names for channels that have none: ch1, ch2, ..."""
    return tuple(f"ch{i}" for i in range(1, count + 1))


def usable_rate(rate_hz: float, name: str) -> float:
    """Return the rate itself. Raises RecordingError when no signal can have it."""
    if not (np.isfinite(rate_hz) and rate_hz > 0):
        raise RecordingError(f"{name}: a sampling rate of {rate_hz} Hz is not possible")
    return float(rate_hz)
