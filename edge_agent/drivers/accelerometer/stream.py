"""Frames become sample blocks: joined, checked for holes, stamped.

Constraints
- A stream with another rate or channel count than is configured is rejected, both named.
- A missing sequence number is a seam with the count; a frame that comes again or late is passed over.
- The sensor's own time is believed while it stays within 2 s of ours; a sensor without a set clock is
  stamped by arrival, like one that says nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import numpy as np

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.drivers.accelerometer.link import FrameLink
from edge_agent.drivers.accelerometer.protocol import SEQUENCES, Frame, FrameHeader
from edge_agent.drivers.accelerometer.settings import AccelerometerSettings
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.sound.settings import CalibratedSettings
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.drivers.waveform.problems import due_problem, found, rate_problem
from edge_agent.drivers.waveform.sample_clock import SampleClock, Stamp
from edge_agent.errors import DeviceRejectedError

_BELIEVED_NS: Final = 2_000_000_000
_JUMP_NS: Final = 20_000_000  # of the sensor's time against its own count: less is jitter
_LATE_FRAMES: Final = 32  # a datagram may be overtaken by this many; further back is a sensor that restarted


class FrameStream:
    """Frames become blocks of about `block_s`, each of frames that follow one another."""

    def __init__(
        self, blocks: BlockSequence, clock: Clock, *, settings: AccelerometerSettings, link: FrameLink
    ) -> None:
        self._blocks = blocks
        self._clock = clock
        self._settings = settings
        self._link = link
        self._held: list[Frame] = []
        self._is_seam = False
        self._stamps: _Stamps | None = None
        self._missing_total = 0
        self._late_total = 0

    async def open(self) -> None:
        """Open the link. Raise TransientDriverError."""
        await self._link.open()

    async def stream(self) -> AsyncIterator[SampleBlock]:
        """Yield a block for each frame that fits. Raise DriverError when the link ends or a frame does not fit."""
        self._held, self._is_seam = [], False
        self._blocks.begin_stream()
        stamps = self._stamps = _Stamps(self._clock, sample_rate_hz=float(self._settings.sample_rate_hz))
        previous: FrameHeader | None = None
        while True:
            frame = await self._link.receive()
            self._refuse_misfit(frame.header)
            step = 1 if previous is None else _step(previous.sequence, frame.header.sequence)
            if -_LATE_FRAMES <= step <= 0 and frame.header.sequence != 0:
                self._late_total += 1
                continue
            if step != 1 and previous is not None:
                if self._held:
                    yield self._block(stamps)
                self._note_hole(step, previous)
            previous = frame.header
            self._held.append(frame)
            if sum(held.header.n_samples for held in self._held) >= self._block_samples:
                yield self._block(stamps)

    async def close(self) -> None:
        """Close the link."""
        await self._link.close()

    def report(self, settings: CalibratedSettings) -> SourceReport:
        """Return what was missing or came too late, and the true rate."""
        measured_hz = self._stamps.measured_hz if self._stamps else None
        return SourceReport(
            problems=found(
                rate_problem(self._settings.sample_rate_hz, measured_hz),
                due_problem(settings.calibration_due, self._clock.now_ns()),
            ),
            figures={
                "measured_rate_hz": None if measured_hz is None else round(measured_hz, 2),
                "missing_samples_total": self._missing_total,
                "late_frames_total": self._late_total,
                **self._link.counts(),
            },
        )

    @property
    def _block_samples(self) -> int:
        return max(1, round(self._settings.sample_rate_hz * self._settings.block_s))

    def _refuse_misfit(self, header: FrameHeader) -> None:
        rate_hz = float(self._settings.sample_rate_hz)
        if abs(header.sample_rate_hz - rate_hz) > 1e-6 * rate_hz:
            raise DeviceRejectedError(
                f"{self._blocks.source}: the sensor sends {header.sample_rate_hz:g} Hz, {rate_hz:g} Hz is configured",
                hint="set the sensor's rate or correct sample_rate_hz",
            )
        if header.n_channels != self._blocks.n_channels:
            raise DeviceRejectedError(
                f"{self._blocks.source}: the sensor sends {header.n_channels} channels, "
                f"{self._blocks.n_channels} are configured",
                hint="configure the channels that the sensor has",
            )

    def _note_hole(self, step: int, previous: FrameHeader) -> None:
        if step > 1:
            detail, count = f"{step - 1} frames are missing", (step - 1) * previous.n_samples
            self._missing_total += count
            self._blocks.mark_seam(GapCause.DISCONTINUITY, detail, count)
        else:
            self._blocks.mark_seam(GapCause.DISCONTINUITY, "the sensor restarted its frame count")
        self._is_seam = True

    def _block(self, stamps: _Stamps) -> SampleBlock:
        frames, self._held = self._held, []
        samples = np.concatenate([frame.samples for frame in frames], axis=1)
        is_marked, self._is_seam = self._is_seam, False  # what is missing is counted already, by frames
        stamp = stamps.stamp(frames[0].header.timestamp_ns, samples.shape[1], is_seam=is_marked)
        if stamp.seam is not None and not is_marked:
            self._missing_total += stamp.lost or 0
            self._blocks.mark_seam(GapCause.DISCONTINUITY, stamp.seam, stamp.lost)
        return self._blocks.block(
            self._blocks.scaled(read_only(samples)),
            start_ns=stamp.start_ns,
            sample_rate_hz=float(self._settings.sample_rate_hz),
        )


class _Stamps:
    """The sensor's time while it is believable, else the time of arrival. Changing over is a seam."""

    def __init__(self, clock: Clock, *, sample_rate_hz: float) -> None:
        self._clock = clock
        self._rate_hz = sample_rate_hz
        self._by_arrival = SampleClock(clock, sample_rate_hz=sample_rate_hz)
        self._expected_ns: int | None = None  # by the sensor's time; None while we stamp by arrival
        self._is_first = True

    @property
    def measured_hz(self) -> float | None:
        """Return the true rate by our own clock, once it is sure."""
        return self._by_arrival.meter.sure_rate_hz

    def stamp(self, sensor_ns: int | None, n_samples: int, *, is_seam: bool) -> Stamp:
        """Return the time of the first of `n_samples` that are complete now."""
        span_ns = round(n_samples * 1e9 / self._rate_hz)
        arrival = self._by_arrival.stamp(n_samples, arrived_s=self._clock.monotonic_s(), is_seam=is_seam)
        was_first, self._is_first = self._is_first, False
        sensor_ns = None if sensor_ns is None else self._clock.of_utc(sensor_ns)
        if sensor_ns is None or abs(sensor_ns + span_ns - self._clock.now_ns()) > _BELIEVED_NS:
            changed = not was_first and self._expected_ns is not None
            self._expected_ns = None
            return Stamp(arrival.start_ns, "the sensor's clock is not set any more") if changed else arrival
        expected_ns, self._expected_ns = self._expected_ns, sensor_ns + span_ns
        if was_first or is_seam:
            return Stamp(sensor_ns)
        if expected_ns is None:
            return Stamp(sensor_ns, "the sensor's clock was set")
        if abs(sensor_ns - expected_ns) > _JUMP_NS:
            return Stamp(sensor_ns, f"the sensor's time jumped by {(sensor_ns - expected_ns) / 1e9:+.3f} s")
        return Stamp(sensor_ns)


def _step(previous: int, sequence: int) -> int:
    """Return how far the sequence number went on, between -2**31 and 2**31: 1 is the next frame."""
    half = SEQUENCES // 2
    return (sequence - previous + half) % SEQUENCES - half
