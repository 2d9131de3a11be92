"""Scans of the kernel's buffer become sample blocks.

Constraints
- A chip makes its own rate, off by per cent. The first second after each opening is used to measure it and not
  delivered; blocks are stamped by the measured rate, and carry the configured one, which models know.
- Scans that the kernel dropped show in its timestamps; of a device without them, in the measured rate or as a hole of
  half a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
from collections.abc import AsyncIterator, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock, Samples, read_only
from edge_agent.drivers.base import Item
from edge_agent.drivers.iio.buffer import OpenBuffer, open_buffer
from edge_agent.drivers.iio.lost_scans import LostScans
from edge_agent.drivers.iio.settings import IioSettings
from edge_agent.drivers.iio.sysfs import refused
from edge_agent.drivers.report import SourceReport
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.drivers.waveform.detached import detached
from edge_agent.drivers.waveform.problems import found, rate_problem
from edge_agent.drivers.waveform.rate_meter import RateMeter
from edge_agent.drivers.waveform.sample_clock import SampleClock
from edge_agent.errors import TransientDriverError
from edge_agent.recordings.units import STANDARD_GRAVITY

_OPEN_TIMEOUT_S: Final = 10.0  # a bus that hangs has time-outs of its own
_CLOSE_TIMEOUT_S: Final = 2.0
_AHEAD_S: Final = 0.1
_READ_BYTES: Final = 1 << 16

Scans = NDArray[np.void]


class IioDriver:
    """An accelerometer that Linux drives. Only its buffer and its rate are ever written."""

    def __init__(self, settings: IioSettings, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings
        self._clock = clock
        self._blocks = BlockSequence(settings.name, unit=settings.unit, channels=settings.channels)
        self._block_scans = max(1, round(settings.sample_rate_hz * settings.block_s))
        self._buffer: OpenBuffer | None = None
        self._device_words: str | None = None
        self._meter = RateMeter(settings.sample_rate_hz)
        self._held = b""
        self._overflows_total = 0
        self._missing_total = 0
        self._scales: list[dict[str, object]] = []

    @property
    def _where(self) -> str:
        return f"{self.name}: {self._device_words or 'IIO device'}"

    async def open(self) -> None:
        """Switch the device's buffer on. Raise TransientDriverError or DeviceRejectedError."""
        try:
            self._buffer = await detached(
                lambda: open_buffer(self._settings), timeout_s=_OPEN_TIMEOUT_S, give_back=OpenBuffer.close
            )
        except TimeoutError as exc:
            raise TransientDriverError(
                f"{self._where} does not answer its driver", hint="look at its wiring, and at the kernel's log (dmesg)"
            ) from exc
        self._device_words, self._held = self._buffer.device.words, b""
        self._scales = self._described(self._buffer)

    async def stream(self) -> AsyncIterator[Item]:
        """Yield blocks until the device is lost (TransientDriverError)."""
        buffer = self._buffer
        if buffer is None:
            raise TransientDriverError(f"{self._where} is not open")
        self._blocks.begin_stream()
        meter = self._meter = RateMeter(self._settings.sample_rate_hz)
        lost = LostScans(self._settings.sample_rate_hz)
        while (rate_hz := meter.rate_hz) is None:
            scans = await self._next(buffer)
            meter.add(len(scans), arrived_s=self._clock.monotonic_s())
            self._holes(buffer, scans, lost)
        if (period_ns := lost.period_ns) is not None:  # better than arrivals at a busy box
            rate_hz = 1e9 / period_ns
            meter = self._meter = RateMeter(self._settings.sample_rate_hz, known_hz=rate_hz)
        sample_clock = SampleClock(self._clock, sample_rate_hz=rate_hz, follows=meter)
        while True:
            scans = await self._next(buffer)
            for block in self._pieces(buffer, scans, self._holes(buffer, scans, lost), sample_clock):
                yield block

    async def close(self) -> None:
        """Switch the buffer off, within a bound."""
        buffer, self._buffer = self._buffer, None
        if buffer is not None:
            with contextlib.suppress(TimeoutError):
                await detached(buffer.close, timeout_s=_CLOSE_TIMEOUT_S)

    def report(self) -> SourceReport:
        """Return which device it is, its true rate, and what the kernel dropped."""
        measured_hz = self._meter.sure_rate_hz
        return SourceReport(
            problems=found(rate_problem(self._settings.sample_rate_hz, measured_hz)),
            figures={
                "device": self._device_words,
                "measured_rate_hz": None if measured_hz is None else round(measured_hz, 3),
                "missing_samples_total": self._missing_total,
                "overflows_total": self._overflows_total,
                "scales": self._scales,
            },
        )

    async def _next(self, buffer: OpenBuffer) -> Scans:
        """Return at least a block's scans, as they were when the last of them came."""
        wanted = self._block_scans * buffer.layout.size
        try:
            while len(self._held) < wanted:
                async with asyncio.timeout(self._settings.silent_after_s):
                    self._held += await self._read(buffer.descriptor)
        except TimeoutError as exc:
            raise TransientDriverError(
                f"{self._where} has been silent for {self._settings.silent_after_s:g} s",
                hint="does its trigger run? look at its wiring, and at the kernel's log (dmesg)",
            ) from exc
        scans = buffer.layout.scans(self._held)
        self._held = self._held[len(scans) * buffer.layout.size :]
        return scans

    async def _read(self, descriptor: int) -> bytes:
        while True:
            try:
                data = os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                await self._readable(descriptor)
            except OSError as exc:
                raise self._gone(exc) from exc
            else:
                if data:
                    return data
                raise self._gone(OSError(errno.ENODEV, ""))

    async def _readable(self, descriptor: int) -> None:
        loop, is_readable = asyncio.get_running_loop(), asyncio.Event()
        try:
            loop.add_reader(descriptor, is_readable.set)
        except OSError as exc:
            raise refused(exc, f"{self._where} cannot be waited for") from exc
        try:
            await is_readable.wait()
        finally:
            loop.remove_reader(descriptor)

    def _gone(self, exc: OSError) -> TransientDriverError:
        if exc.errno in (errno.ENODEV, errno.ENXIO):
            return TransientDriverError(f"{self._where} was unplugged, or its driver unloaded", hint="plug it in again")
        return TransientDriverError(
            f"{self._where} cannot be read: {os.strerror(exc.errno or 0).lower()}",
            hint="look at its wiring, and at the kernel's log (dmesg)",
        )

    def _holes(self, buffer: OpenBuffer, scans: Scans, lost: LostScans) -> list[tuple[int, int]]:
        return lost.holes(buffer.layout.timestamps_ns(scans)) if buffer.has_timestamps else []

    def _pieces(
        self, buffer: OpenBuffer, scans: Scans, holes: list[tuple[int, int]], sample_clock: SampleClock
    ) -> Iterator[SampleBlock]:
        """Yield blocks of scans that follow one another. Those before a hole came earlier, by the clock."""
        arrived_s, rate_hz = self._clock.monotonic_s(), self._meter.rate_hz or self._settings.sample_rate_hz
        missing_s = sum(count for _, count in holes) / rate_hz
        if sample_clock.counted_s + len(scans) / rate_hz + missing_s > arrived_s + _AHEAD_S:
            holes = []  # no sample comes before it is taken: the wall clock was set, nothing was lost
        starts = [0, *(at for at, _ in holes if at > 0)]
        missing = dict(holes)
        for start, end in zip(starts, [*starts[1:], len(scans)], strict=True):
            behind = len(scans) - end + sum(count for at, count in holes if at >= end)
            yield self._block(
                buffer, scans[start:end], missing.get(start, 0), sample_clock, arrived_s=arrived_s - behind / rate_hz
            )

    def _block(
        self, buffer: OpenBuffer, scans: Scans, missing: int, sample_clock: SampleClock, *, arrived_s: float
    ) -> SampleBlock:
        stamp = sample_clock.stamp(len(scans), arrived_s=arrived_s, is_seam=missing > 0)
        if missing:
            self._overflows_total += 1
            self._mark(GapCause.OVERFLOW, "the kernel's buffer was full, or the sensor paused", missing)
        elif stamp.seam is not None:
            self._mark(GapCause.DISCONTINUITY, stamp.seam, stamp.lost)
        samples = self._blocks.scaled(self._in_unit(buffer, scans))
        return self._blocks.block(samples, start_ns=stamp.start_ns, sample_rate_hz=self._settings.sample_rate_hz)

    def _mark(self, cause: GapCause, detail: str, missing: int | None) -> None:
        self._missing_total += missing or 0
        self._blocks.mark_seam(cause, detail, missing)

    def _in_unit(self, buffer: OpenBuffer, scans: Scans) -> Samples:
        """Return shape (n_channels, n_scans), in the source's unit before `scale`."""
        per_unit = self._per_unit
        rows = [
            (buffer.layout.numbers(scans, axis.element, axis.repeat) + axis.offset) * (axis.scale / per_unit)
            for axis in buffer.axes
        ]
        return read_only(np.stack(rows).astype(np.float32))

    @property
    def _per_unit(self) -> float:
        return STANDARD_GRAVITY if self._settings.unit == "g" else 1.0

    def _described(self, buffer: OpenBuffer) -> list[dict[str, object]]:
        return [
            {
                "point": channel.point,
                "device_channel": axis.element,
                "factor": float(f"{axis.scale / self._per_unit * channel.scale:.6g}"),
                "origin": "driver",
            }
            for channel, axis in zip(self._settings.channels, buffer.axes, strict=True)
        ]
