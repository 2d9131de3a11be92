"""PortAudio: which devices there are, and streams of their samples. The only importer of sounddevice.

Constraints
- PortAudio sees new devices only when it is started again, which it may only while no stream of this process is open.
- A hung sound server hangs every call: they run in threads that nobody must wait for (`detached`), and a device that
  is still being closed makes the next `open_stream` fail, not hang.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from edge_agent.drivers.sound.devices import InputDevice, choose
from edge_agent.errors import DeviceRejectedError, DriverError, TransientDriverError

_LOCK_TIMEOUT_S: Final = 1.0
_REJECTED_CODES: Final = {
    -9997: "the sampling rate",  # paInvalidSampleRate
    -9998: "the number of channels",  # paInvalidChannelCount
    -9994: "the sample format",  # paSampleFormatNotSupported
}
COMMON_RATES_HZ: Final = (
    8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 51_200, 64_000, 88_200, 96_000, 102_400,
    128_000, 176_400, 192_000, 384_000,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StreamRequest:
    """What is asked of PortAudio. `where` names source and device in messages; `device` None is the default.

    `known_name`: the name of the device that was opened before, when it was not asked for by name. `callback` and
    `finished` are called in PortAudio's thread.
    """

    where: str
    device: str | int | None
    known_name: str | None
    sample_rate_hz: int
    channels: int
    block_samples: int
    callback: Callable[..., None]
    finished: Callable[[], None]


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A running stream, and the device it comes from."""

    stream: Any
    device: InputDevice


def _sounddevice() -> ModuleType:
    try:
        import sounddevice
    except OSError as exc:  # the wheel is there, the C library is not
        raise TransientDriverError(f"sound devices cannot be used: {exc}", hint="apt install libportaudio2") from exc
    module: ModuleType = sounddevice
    return module


class PortAudio:
    """PortAudio is one per process: who may start it again is settled here."""

    def __init__(self, library: Callable[[], Any] = _sounddevice) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._open_streams = 0

    def open_stream(self, request: StreamRequest) -> OpenStream:
        """Return a running stream of the device that is meant. Raises DriverError."""
        with self._exclusive(timeout_s=_LOCK_TIMEOUT_S):
            sd = self._library()
            self._look_again(sd)
            device = self._meant(sd, request)
            try:
                opened = OpenStream(_started(sd, device, request), device)
            except sd.PortAudioError as exc:
                raise _translated(sd, exc, device, request) from exc
            except MemoryError as exc:
                # cffi's call-backs need memory that is writable and executable, which a hardened unit forbids.
                raise TransientDriverError(
                    "the sound library got no memory",
                    hint="under systemd install edge-agent.service.d/sound.conf; else free some memory",
                ) from exc
            self._open_streams += 1
            return opened

    def close_stream(self, opened: OpenStream) -> None:
        """Stop and close a stream, however long it takes."""
        with self._exclusive(timeout_s=-1):  # however long it takes: a stream must not be lost open
            self._open_streams -= 1
            opened.stream.abort(ignore_errors=True)
            opened.stream.close(ignore_errors=True)

    def devices(self) -> list[tuple[InputDevice, list[int]]]:
        """Return every input, and which of the common rates it does with all its channels. Raises DriverError."""
        with self._exclusive(timeout_s=_LOCK_TIMEOUT_S):
            sd = self._library()
            self._look_again(sd)
            return [(device, _rates(sd, device, device.channels)) for device in _inputs(sd)]

    def _look_again(self, sd: Any) -> None:
        if self._open_streams == 0:
            sd._terminate()  # the only way to see devices that were plugged in since
            sd._initialize()

    def _meant(self, sd: Any, request: StreamRequest) -> InputDevice:
        inputs = _inputs(sd)
        if request.device is not None or request.known_name is not None:  # another one may be the default now
            return choose(inputs, request.device, where=request.where, known_name=request.known_name)
        default = sd.default.device[0]
        found = [device for device in inputs if device.number == default] or inputs[:1]
        if not found:
            raise TransientDriverError(f"{request.where}: there is no sound input", hint="plug one in")
        return found[0]

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


PORTAUDIO: Final = PortAudio()


def _inputs(sd: Any) -> list[InputDevice]:
    found: Sequence[dict[str, Any]] = sd.query_devices()
    return [
        InputDevice(number, str(each["name"]), int(each["max_input_channels"]), float(each["default_samplerate"]))
        for number, each in enumerate(found)
        if each["max_input_channels"] > 0
    ]


def _started(sd: Any, device: InputDevice, request: StreamRequest) -> Any:
    stream = sd.InputStream(
        device=device.number,
        samplerate=request.sample_rate_hz,
        channels=request.channels,
        dtype="float32",
        # Never 0: PortAudio would then call back for single samples, 120 times a second.
        blocksize=request.block_samples,
        callback=request.callback,
        finished_callback=request.finished,
    )
    try:
        stream.start()
    except sd.PortAudioError:
        stream.close(ignore_errors=True)
        raise
    return stream


def _rates(sd: Any, device: InputDevice, channels: int) -> list[int]:
    return [rate for rate in COMMON_RATES_HZ if _does(sd, device, channels, rate)]


def _does(sd: Any, device: InputDevice, channels: int, rate_hz: int) -> bool:
    try:
        sd.check_input_settings(device=device.number, channels=channels, samplerate=rate_hz, dtype="float32")
    except sd.PortAudioError:
        return False
    return True


def _translated(sd: Any, exc: BaseException, device: InputDevice, request: StreamRequest) -> DriverError:
    code = exc.args[1] if len(exc.args) > 1 else 0
    if (what := _REJECTED_CODES.get(code)) is None:
        return TransientDriverError(
            f"{request.where} cannot be opened: {exc.args[0]}", hint="is another program using it?"
        )
    asked = f"{request.sample_rate_hz} Hz and {request.channels} channels were asked for"
    if request.channels > device.channels:
        return DeviceRejectedError(
            f"{request.where} does not accept the number of channels: {asked}, it has {device.channels}",
            hint="configure what it has",
        )
    rates = ", ".join(map(str, _rates(sd, device, request.channels))) or "none of the common rates"
    return DeviceRejectedError(
        f"{request.where} does not accept {what}: {asked}; it does {rates}", hint="configure what it has"
    )
