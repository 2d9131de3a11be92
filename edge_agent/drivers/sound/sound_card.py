"""Sound devices, through PortAudio. The only importer of sounddevice.

Constraints
- The call-back copies, counts and wakes; it never waits. What finds the queue full is counted, and the next
  block says so.
- A device is chosen by a part of its name, never by its number: numbers change with every plug.
- PortAudio sees new devices only when it is started again, which it may only while no stream of this process is open.
- A hung sound server hangs every PortAudio call. So they run in threads of their own that nobody must wait
  for, and a device that is still being closed makes the next `open` fail, not hang.
- Lost samples are often not flagged: see `sample_clock`.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Final

import numpy as np

from edge_agent.core.clock import Clock
from edge_agent.core.gaps import GapCause
from edge_agent.core.samples import SampleBlock, Samples
from edge_agent.drivers.waveform.block_sequence import BlockSequence
from edge_agent.drivers.waveform.detached import detached
from edge_agent.drivers.waveform.sample_clock import SampleClock
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError

Arguments = Callable[[ModuleType], dict[str, Any]]
Translation = Callable[[BaseException], DriverError]

_OPEN_TIMEOUT_S: Final = 10.0  # ALSA plug-ins probe for seconds
_CLOSE_TIMEOUT_S: Final = 2.0
_LOCK_TIMEOUT_S: Final = 1.0
_FIRST_SAMPLES_S: Final = 5.0  # PulseAudio's first call-back takes up to 1.3 s
_SETTLING_S: Final = 0.4  # call-backs begin in bursts of several blocks, and sensors with a step: not delivered
_QUEUED_S: Final = 5.0  # what may wait for a busy event loop
_REJECTED_CODES: Final = {
    -9997: "the sampling rate",  # paInvalidSampleRate
    -9998: "the number of channels",  # paInvalidChannelCount
    -9994: "the sample format",  # paSampleFormatNotSupported
}


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


class PortAudio:
    """PortAudio is one per process: who may start it again is settled here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open_streams = 0

    def open_stream(self, arguments: Arguments, translation: Translation) -> Any:
        """Return a running stream. `arguments` chooses the device once PortAudio knows what is plugged in."""
        with self._exclusive(timeout_s=_LOCK_TIMEOUT_S):
            sd = _sounddevice()
            try:
                return self._started(sd, arguments)
            except sd.PortAudioError as exc:
                raise translation(exc) from exc
            except MemoryError as exc:
                # cffi's call-backs need memory that is writable and executable, which a hardened unit forbids.
                raise TransientDriverError(
                    "the sound library got no memory",
                    hint="under systemd install edge-agent.service.d/sound.conf; else free some memory",
                ) from exc

    def _started(self, sd: ModuleType, arguments: Arguments) -> Any:
        if self._open_streams == 0:
            sd._terminate()  # the only way to see devices that were plugged in since
            sd._initialize()
        stream = sd.InputStream(**arguments(sd))
        try:
            stream.start()
        except sd.PortAudioError:
            stream.close(ignore_errors=True)
            raise
        self._open_streams += 1
        return stream

    def close_stream(self, stream: Any) -> None:
        """Stop and close a stream, however long it takes."""
        with self._exclusive(timeout_s=-1):  # however long it takes: a stream must not be lost open
            self._open_streams -= 1
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)

    @contextlib.contextmanager
    def _exclusive(self, *, timeout_s: float) -> Iterator[None]:
        if not self._lock.acquire(timeout=timeout_s):
            raise TransientDriverError(
                "the sound system is busy with another device", hint="if this lasts, restart the sound server"
            )
        try:
            yield
        finally:
            self._lock.release()


_PORTAUDIO: Final = PortAudio()


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except OSError as exc:  # the wheel is there, the C library is not
        raise TransientDriverError(f"sound devices cannot be used: {exc}", hint="apt install libportaudio2") from exc
    module: ModuleType = sounddevice
    return module


class SoundCard:
    """One input device as a stream of sample blocks. Samples are in full scale [-1, 1] times the channel's scale.

    PortAudio converts whatever the device has (int16, int24, float32) to float32, exactly up to 24 bits.
    """

    def __init__(
        self, blocks: BlockSequence, clock: Clock, *, device: str | None,
        sample_rate_hz: int, block_s: float, silent_after_s: float, portaudio: PortAudio = _PORTAUDIO,
    ) -> None:  # fmt: skip
        self._blocks = blocks
        self._clock = clock
        self._device = device
        self._rate_hz = sample_rate_hz
        self._block_samples = max(1, round(sample_rate_hz * block_s))
        self._silent_after_s = silent_after_s
        self._portaudio = portaudio
        self._stream: Any = None
        self._queue: SampleQueue | None = None

    @property
    def _where(self) -> str:
        return f"{self._blocks.source}: sound device {self._device or '(default)'!r}"

    async def open(self) -> None:
        """Raise TransientDriverError (absent, busy) or DeviceRejectedError (rate, channels, ambiguous name)."""
        capacity = max(2, round(_QUEUED_S * self._rate_hz / self._block_samples))
        queue = SampleQueue(asyncio.get_running_loop(), capacity=capacity)

        try:
            self._stream = await detached(
                lambda: self._portaudio.open_stream(partial(self._arguments, queue), self._translation),
                timeout_s=_OPEN_TIMEOUT_S,
                give_back=self._portaudio.close_stream,
            )
        except TimeoutError as exc:
            raise TransientDriverError(
                f"{self._where}: the sound system does not answer", hint="restart the sound server"
            ) from exc
        self._queue = queue

    async def stream(self) -> AsyncIterator[SampleBlock]:
        """Yield blocks until the device is lost (TransientDriverError)."""
        queue = self._queue
        if queue is None:
            raise TransientDriverError(f"{self._where} is not open")
        self._blocks.begin_stream()
        sample_clock = SampleClock(self._clock, sample_rate_hz=self._rate_hz)
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
        stream, self._stream, self._queue = self._stream, None, None
        if stream is not None:
            with contextlib.suppress(TimeoutError):
                await detached(lambda: self._portaudio.close_stream(stream), timeout_s=_CLOSE_TIMEOUT_S)

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
        if chunk.overflowed:
            self._blocks.mark_seam(GapCause.OVERFLOW, "the sound driver dropped samples")
        if chunk.dropped_before:
            self._blocks.mark_seam(GapCause.QUEUE_FULL, "this program was too slow", chunk.dropped_before)
        stamp = sample_clock.stamp(
            len(chunk.samples), arrived_s=chunk.arrived_s, is_seam=chunk.overflowed or chunk.dropped_before > 0
        )
        if stamp.seam is not None:
            self._blocks.mark_seam(GapCause.DISCONTINUITY, stamp.seam, stamp.lost)
        samples = self._blocks.scaled(np.ascontiguousarray(chunk.samples.T))
        return self._blocks.block(samples, start_ns=stamp.start_ns, sample_rate_hz=float(self._rate_hz))

    def _arguments(self, queue: SampleQueue, sd: ModuleType) -> dict[str, Any]:
        clock = self._clock

        def callback(indata: Samples, frames: int, time: object, status: Any) -> None:
            queue.put(indata, overflowed=bool(status.input_overflow), arrived_s=clock.monotonic_s())

        return {
            "device": None if self._device is None else self._find(sd.query_devices(), self._device),
            "samplerate": self._rate_hz,
            "channels": self._blocks.n_channels,
            "dtype": "float32",
            # Never 0: PortAudio would then call back for single samples, 120 times a second.
            "blocksize": self._block_samples,
            "callback": callback,
            "finished_callback": queue.finish,
        }

    def _find(self, devices: Sequence[dict[str, Any]], wanted: str) -> int:
        inputs = {i: str(d["name"]) for i, d in enumerate(devices) if d["max_input_channels"] > 0}
        exact = [i for i, name in inputs.items() if name == wanted]
        matches = exact or [i for i, name in inputs.items() if wanted.casefold() in name.casefold()]
        if not matches:
            there = ", ".join(sorted(set(inputs.values()))) or "none"
            raise TransientDriverError(
                f"{self._where} is not there (inputs: {there})", hint="plug it in, or correct it"
            )
        if len({inputs[i] for i in matches}) > 1:
            found = ", ".join(inputs[i] for i in matches)
            raise DeviceRejectedError(f"{self._where}: several devices fit ({found})", hint="give more of its name")
        return matches[0]

    def _translation(self, exc: BaseException) -> DriverError:
        code = exc.args[1] if len(exc.args) > 1 else 0
        if (what := _REJECTED_CODES.get(code)) is not None:
            asked = f"{self._rate_hz} Hz and {self._blocks.n_channels} channels were asked for"
            return DeviceRejectedError(f"{self._where} does not accept {what}: {asked}", hint="configure what it has")
        return TransientDriverError(
            f"{self._where} cannot be opened: {exc.args[0]}", hint="is another program using it?"
        )
