"""A sound library in place of PortAudio's: the test plugs devices in and calls the call-back as its thread would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from edge_agent.core.clock import FakeClock
from edge_agent.drivers.sound.portaudio import PortAudio


class SoundLibraryError(Exception):
    """As sounddevice's: words and PortAudio's code."""


@dataclass
class Stream:
    asked: dict[str, Any]
    is_closed: bool = False

    def start(self) -> None:
        """Nothing: the test delivers."""

    def abort(self, *, ignore_errors: bool) -> None:
        """Nothing runs."""

    def close(self, *, ignore_errors: bool) -> None:
        self.is_closed = True


@dataclass
class HandPlayedSound:
    """What sounddevice offers, as far as it is used. `names` are inputs of `channels` each that do `rates`."""

    names: list[str]
    channels: int = 2
    rates: Sequence[int] = (1000, 44_100, 48_000)
    streams: list[Stream] = field(default_factory=list)
    PortAudioError = SoundLibraryError
    default = SimpleNamespace(device=(0, 0))

    @property
    def portaudio(self) -> PortAudio:
        return PortAudio(lambda: self)

    @property
    def newest(self) -> Stream:
        return self.streams[-1]

    def query_devices(self) -> list[dict[str, Any]]:
        inputs = [self._device(name, self.channels) for name in self.names]
        return [*inputs, self._device("HDMI output", 0)]

    def _device(self, name: str, channels: int) -> dict[str, Any]:
        return {"name": name, "max_input_channels": channels, "default_samplerate": 48_000.0}

    def check_input_settings(self, *, device: int, channels: int, samplerate: int, dtype: str) -> None:
        if channels > self.channels:
            raise SoundLibraryError("Invalid number of channels", -9998)
        if samplerate not in self.rates:
            raise SoundLibraryError("Invalid sample rate", -9997)

    def InputStream(self, **asked: Any) -> Stream:  # noqa: N802  sounddevice's name
        self.check_input_settings(
            device=asked["device"], channels=asked["channels"], samplerate=asked["samplerate"], dtype=asked["dtype"]
        )
        self.streams.append(Stream(asked))
        return self.newest

    def _terminate(self) -> None:
        """Nothing runs."""

    def _initialize(self) -> None:
        """Nothing runs."""

    def deliver(self, clock: FakeClock, *values: float, overflow: bool = False) -> None:
        """One block of `values`, one a channel, at its time."""
        asked = self.newest.asked
        clock.advance(asked["blocksize"] / asked["samplerate"])
        samples = np.tile(np.array(values, dtype=np.float32), (asked["blocksize"], 1))
        asked["callback"](samples, asked["blocksize"], None, SimpleNamespace(input_overflow=overflow))
        samples[:] = np.nan  # PortAudio uses its buffer again

    def end(self) -> None:
        self.newest.asked["finished_callback"]()
