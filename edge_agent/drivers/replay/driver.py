"""Recordings in place of a sensor, played as if they were being taken now.

Constraints
- A recording begins at the clock's present time, or where the last block ended if that is later; inside it
  the stamps count samples at its true rate. So stamps never go back and never overlap.
- Hence with a pace above 1 the stamps run ahead of the wall clock, by (pace - 1) seconds per second played.
  To keep the two together, play at pace 1 or slower: anything else would bend the sampling rate.
- Two recordings never share a window: the first block of each carries a gap of cause END_OF_RECORDING.
- A recording that cannot be played is a Gap with the reason; the next one is played.
- A recording with more channels than are configured gives its first ones.
- Samples that do not continue the ones before, by the file's own times, begin with a gap of cause DISCONTINUITY.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import Samples
from edge_agent.drivers.base import Item
from edge_agent.drivers.replay.settings import ReplaySettings
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.drivers.waveform.pacing import Pacer
from edge_agent.errors import RecordingError, TransientDriverError
from edge_agent.recordings import DECIMAL_SIGNS, Overrides, Recording, find_recordings, load_recording, stop_parsing

_BLOCK_S: Final = 0.1
_BLOCK_FAST_S: Final = 1.0  # faster than real time, small blocks would only cost more


class ReplayDriver:
    """Plays `settings.path`: one file, or a folder in name order."""

    def __init__(self, settings: ReplaySettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._blocks = BlockSequence(settings.name, unit=settings.unit, channels=settings.channels)
        self._unplayed: str | None = None  # why the newest one could not be played
        self._overrides = Overrides(
            unit=settings.recorded_unit,
            wanted_unit=settings.unit,
            columns=settings.columns,
            decimal=None if settings.decimal is None else DECIMAL_SIGNS[settings.decimal],
        )

    async def open(self) -> None:
        """Raise TransientDriverError when there is nothing to play (yet)."""
        await self._playlist()

    async def stream(self) -> AsyncIterator[Item]:
        """Yield until after the last recording, unless `repeat` is set."""
        while True:
            playlist = await self._playlist()
            played = 0
            for path in playlist:
                async for item in self._play(path):
                    played += not isinstance(item, Gap)
                    yield item
            if not self._settings.repeat:
                return
            if played == 0:
                raise TransientDriverError(
                    f"{self.name}: none of {len(playlist)} recordings could be played", hint=self._unplayed
                )

    async def close(self) -> None:
        """Do nothing: no file is held open between blocks."""

    def report(self) -> SourceReport:
        """Return nothing beyond what is yielded."""
        return SourceReport()

    async def _playlist(self) -> list[Path]:
        try:
            playlist = await asyncio.to_thread(find_recordings, [self._settings.path])
        except RecordingError as exc:
            raise TransientDriverError(f"{self.name}: {exc.message}", hint=exc.hint) from exc
        if not playlist:
            raise TransientDriverError(
                f"{self.name}: no recordings in {self._settings.path}",
                hint="put WAV, FLAC, CSV or .mat files there, or correct `path`",
            )
        return playlist

    async def _play(self, path: Path) -> AsyncIterator[Item]:
        self._blocks.mark_seam(GapCause.END_OF_RECORDING, f"{path.name} begins")
        try:
            recording, samples = await asyncio.to_thread(self._load, path)
        except RecordingError as exc:
            yield self._unplayable(exc)
            return
        except asyncio.CancelledError:
            stop_parsing()  # the thread that waits for it would hold up the stop
            raise
        pacer = Pacer(self._clock, pace=self._settings.pace)
        start_ns = max(self._clock.now_ns(), self._blocks.last_end_ns or 0)
        rate_hz = recording.sample_rate_hz
        step = max(1, round(rate_hz * (_BLOCK_S if 0 < self._settings.pace <= 1 else _BLOCK_FAST_S)))
        for at, end in _pieces(recording, step):
            piece = samples[:, at:end]
            if at in recording.starts and at:
                self._blocks.mark_seam(GapCause.DISCONTINUITY, f"{path.name} has a hole in its times")
            await pacer.wait(piece.shape[1] / rate_hz)
            block_start_ns = start_ns + round(at * 1e9 / rate_hz)
            yield self._blocks.block(piece, start_ns=block_start_ns, sample_rate_hz=rate_hz)

    def _load(self, path: Path) -> tuple[Recording, Samples]:
        """Return the recording and its configured channels, scaled. Raise RecordingError, also when they do not fit."""
        recording = load_recording(path, sample_rate_hz=self._settings.sample_rate_hz, overrides=self._overrides)
        given_hz, wanted = recording.given_rate_hz, self._blocks.n_channels
        if given_hz is not None and abs(given_hz - recording.sample_rate_hz) > 1e-6 * given_hz:
            raise RecordingError(
                f"{path.name} was recorded at {recording.sample_rate_hz:g} Hz, {given_hz:g} Hz is configured",
                hint="correct sample_rate_hz, or leave it out: the file says its rate",
            )
        if recording.n_channels < wanted:
            raise RecordingError(
                f"{path.name} has {recording.n_channels} channels, {wanted} are configured",
                hint="configure as many channels as the recording has",
            )
        return recording, self._blocks.scaled(recording.samples[:wanted])

    def _unplayable(self, exc: RecordingError) -> Gap:
        now_ns = max(self._clock.now_ns(), self._blocks.last_end_ns or 0)
        detail = exc.message if exc.hint is None else f"{exc.message} ({exc.hint})"
        self._unplayed = detail
        return Gap(self.name, GapCause.INVALID_SAMPLES, now_ns, now_ns, detail)


def _pieces(recording: Recording, step: int) -> Iterator[tuple[int, int]]:
    """Begin and end of each block: `step` samples, less before a hole."""
    for begin, end in zip(recording.starts, (*recording.starts[1:], recording.n_samples), strict=True):
        for at in range(begin, end, step):
            yield at, min(at + step, end)
