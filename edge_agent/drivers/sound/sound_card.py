"""One sound device as a stream of sample blocks.

Constraints
- The call-back copies, counts and wakes; it never waits. What finds the queue full is counted, and the next
  block says so.
- Lost samples are often not flagged: see `sample_clock`. What a flag does announce is counted by the clock.
- A device that was the default, or was found by its number, is looked for by its name afterwards: see `devices`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock, Samples
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.sound.calibration import Calibration, CalibrationRule
from edge_agent.drivers.sound.portaudio import PORTAUDIO, OpenStream, PortAudio, StreamRequest
from edge_agent.drivers.sound.settings import CalibratedSettings
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.drivers.waveform.detached import detached
from edge_agent.drivers.waveform.problems import due_problem, found, rate_problem
from edge_agent.drivers.waveform.sample_clock import SampleClock
from edge_agent.errors import TransientDriverError

_OPEN_TIMEOUT_S: Final = 10.0  # ALSA plug-ins probe for seconds
_CLOSE_TIMEOUT_S: Final = 2.0
_FIRST_SAMPLES_S: Final = 5.0  # PulseAudio's first call-back takes up to 1.3 s
_SETTLING_S: Final = 0.4  # call-backs begin in bursts of several blocks, and sensors with a step: not delivered
_QUEUED_S: Final = 5.0  # what may wait for a busy event loop


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """What one call-back brought: `samples` has shape (n_samples, n_channels), `arrived_s` is monotonic."""

    samples: Samples
    arrived_s: float
    overflowed: bool
    dropped_before: int


class SampleQueue:
    """From PortAudio's thread to the event loop: a bounded queue that counts what it had to drop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *, capacity: int) -> None:
        self._loop = loop
        self._capacity = capacity
        self._chunks: deque[Chunk] = deque()
        self._changed = asyncio.Event()
        self._dropped = 0
        self.dropped_total = 0
        self.is_finished = False

    def put(self, samples: Samples, *, overflowed: bool, arrived_s: float) -> None:
        """Add what a call-back of PortAudio's thread brought; `samples` is its own buffer, so it is copied."""
        if len(self._chunks) >= self._capacity:
            self._dropped += len(samples)
            self.dropped_total += len(samples)
            return
        self._chunks.append(Chunk(samples.copy(), arrived_s, overflowed, self._dropped))
        self._dropped = 0
        self._wake()

    def finish(self) -> None:
        """Mark the end of the stream, whatever ended it. PortAudio's thread calls this."""
        self.is_finished = True
        self._wake()

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._changed.set)

    async def get(self, *, timeout_s: float) -> Chunk | None:
        """Return the oldest chunk, or None when the stream has ended. Raise TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while not self._chunks:
                if self.is_finished:
                    return None
                self._changed.clear()
                await self._changed.wait()
        return self._chunks.popleft()


class SoundCard:
    """One input device as a stream of sample blocks. Samples are in full scale [-1, 1] times the channel's scale.

    PortAudio converts whatever the device has (int16, int24, float32) to float32, exactly up to 24 bits.
    """

    def __init__(
        self, blocks: BlockSequence, clock: Clock, *, device: str | int | None, sample_rate_hz: int, block_s: float,
        silent_after_s: float, calibration: CalibrationRule, portaudio: PortAudio = PORTAUDIO,
    ) -> None:  # fmt: skip
        self._blocks = blocks
        self._clock = clock
        self._device = device
        self._rate_hz = sample_rate_hz
        self._block_samples = max(1, round(sample_rate_hz * block_s))
        self._silent_after_s = silent_after_s
        self._rule = calibration
        self._rows = [(channel.device_channel or n + 1) - 1 for n, channel in enumerate(calibration.channels)]
        self._portaudio = portaudio
        self._opened: OpenStream | None = None
        self._known_name: str | None = None
        self._device_name: str | None = None
        self._queue: SampleQueue | None = None
        self._calibration: Calibration | None = None
        self._sample_clock: SampleClock | None = None
        self._overflows_total = 0
        self._missing_total = 0

    @property
    def _where(self) -> str:
        name = "(default)" if self._device is None else self._device
        return f"{self._blocks.source}: sound device {name!r}"

    async def open(self) -> None:
        """Raise TransientDriverError (absent, busy) or DeviceRejectedError (rate, channels, ambiguous name)."""
        capacity = max(2, round(_QUEUED_S * self._rate_hz / self._block_samples))
        queue = SampleQueue(asyncio.get_running_loop(), capacity=capacity)
        request = self._request(queue)
        try:
            self._opened = await detached(
                lambda: self._portaudio.open_stream(request),
                timeout_s=_OPEN_TIMEOUT_S,
                give_back=self._portaudio.close_stream,
            )
        except TimeoutError as exc:
            raise TransientDriverError(
                f"{self._where}: the sound system does not answer", hint="restart the sound server"
            ) from exc
        device = self._opened.device
        self._calibration = self._rule.of_device(device.name, where=self._where)
        self._blocks.calibrate(self._calibration.factors)
        self._device_name = device.name
        self._known_name = None if isinstance(self._device, str) else device.name
        self._queue = queue

    async def stream(self) -> AsyncIterator[SampleBlock]:
        """Yield blocks until the device is lost (TransientDriverError)."""
        queue = self._queue
        if queue is None:
            raise TransientDriverError(f"{self._where} is not open")
        self._blocks.begin_stream()
        sample_clock = self._sample_clock = SampleClock(self._clock, sample_rate_hz=self._rate_hz)
        chunk = await self._next(queue, timeout_s=max(self._silent_after_s, _FIRST_SAMPLES_S))
        settled_s = chunk.arrived_s + _SETTLING_S
        while chunk.arrived_s < settled_s:
            sample_clock.settle(len(chunk.samples), arrived_s=chunk.arrived_s)
            chunk = await self._next(queue, timeout_s=self._silent_after_s)
        while True:
            yield self._block(chunk, sample_clock)
            chunk = await self._next(queue, timeout_s=self._silent_after_s)

    async def close(self) -> None:
        """Close the device, within a bound: one that hangs is left to its thread."""
        opened, self._opened, self._queue = self._opened, None, None
        if opened is not None:
            with contextlib.suppress(TimeoutError):
                await detached(lambda: self._portaudio.close_stream(opened), timeout_s=_CLOSE_TIMEOUT_S)

    def report(self, settings: CalibratedSettings) -> SourceReport:
        """Return which device it is, how it is calibrated, and what was measured of its clock."""
        measured_hz = self._sample_clock.meter.sure_rate_hz if self._sample_clock else None
        named = self._calibration.named if self._calibration else None
        calibrated = settings.calibration_date or (named.calibrated if named else None)
        return SourceReport(
            problems=found(
                rate_problem(self._rate_hz, measured_hz), due_problem(settings.calibration_due, self._clock.now_ns())
            ),
            figures={
                "device": self._device_name,
                "measured_rate_hz": None if measured_hz is None else round(measured_hz, 2),
                "missing_samples_total": self._missing_total,
                "overflows_total": self._overflows_total,
                "calibration": {
                    "model": named.model if named else None,
                    "serial": named.serial if named else None,
                    "date": calibrated.isoformat() if calibrated else None,
                    "due": settings.calibration_due.isoformat() if settings.calibration_due else None,
                },
                "scales": self._scales(),
            },
        )

    def _scales(self) -> list[dict[str, object]]:
        if self._calibration is None:
            return []
        each = zip(self._rule.channels, self._rows, self._calibration.factors, self._calibration.origin, strict=True)
        return [
            {
                "point": channel.point,
                "device_channel": row + 1,
                "factor": float(f"{factor * channel.scale:.6g}"),
                "origin": origin,
            }
            for channel, row, factor, origin in each
        ]

    async def _next(self, queue: SampleQueue, *, timeout_s: float) -> Chunk:
        try:
            chunk = await queue.get(timeout_s=timeout_s)
        except TimeoutError as exc:
            raise TransientDriverError(
                f"{self._where} has been silent for {timeout_s:g} s",
                hint="the device or the sound server hangs: unplug it, or restart the sound server",
            ) from exc
        if chunk is None:
            raise TransientDriverError(f"{self._where} was unplugged or switched off", hint="plug it in again")
        return chunk

    def _block(self, chunk: Chunk, sample_clock: SampleClock) -> SampleBlock:
        is_seam = chunk.overflowed or chunk.dropped_before > 0
        stamp = sample_clock.stamp(len(chunk.samples), arrived_s=chunk.arrived_s, is_seam=is_seam)
        if chunk.overflowed:
            self._overflows_total += 1
            self._mark(GapCause.OVERFLOW, "the sound driver dropped samples, counted by the clock", stamp.lost)
        elif chunk.dropped_before:
            self._mark(GapCause.QUEUE_FULL, "this program was too slow", chunk.dropped_before)
        elif stamp.seam is not None:
            self._mark(GapCause.DISCONTINUITY, stamp.seam, stamp.lost)
        samples = self._blocks.scaled(np.ascontiguousarray(chunk.samples[:, self._rows].T))
        return self._blocks.block(samples, start_ns=stamp.start_ns, sample_rate_hz=float(self._rate_hz))

    def _mark(self, cause: GapCause, detail: str, missing: int | None) -> None:
        self._missing_total += missing or 0
        self._blocks.mark_seam(cause, detail, missing)

    def _request(self, queue: SampleQueue) -> StreamRequest:
        clock = self._clock

        def callback(indata: Samples, frames: int, time: object, status: Any) -> None:
            queue.put(indata, overflowed=bool(status.input_overflow), arrived_s=clock.monotonic_s())

        return StreamRequest(
            where=self._where,
            device=self._device,
            known_name=self._known_name,
            sample_rate_hz=self._rate_hz,
            channels=max(self._rows) + 1,
            block_samples=self._block_samples,
            callback=callback,
            finished=queue.finish,
        )
