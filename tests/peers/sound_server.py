"""A real PulseAudio server with a null sink, whose monitor PortAudio records from through ALSA's `pulse` device.

Every server has a folder and a socket of its own, so that tests do not meet. Needs no sound hardware and no root.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pytest

from tests.peers.processes import require_root_or_report

INSTALL: Final = "apt-get install --no-install-recommends pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
RAMP: Final = 30_000
"""Sample n is n mod 30,000, in every channel: steps of 1 prove that none was lost, doubled or resampled."""
DEADLINE_S: Final = 20.0
# ALSA's own order of channels. Without it, on both sides, the server mixes four channels and more.
_CHANNEL_MAPS: Final = {
    1: "mono",
    2: "front-left,front-right",
    4: "front-left,front-right,rear-left,rear-right",
    8: "front-left,front-right,rear-left,rear-right,front-center,lfe,side-left,side-right",
}


def require_sound_server(request: pytest.FixtureRequest) -> None:
    present = all(shutil.which(program) for program in ("pulseaudio", "pactl", "pacat"))
    plugin = any(Path("/usr/lib").glob("*/alsa-lib/libasound_module_pcm_pulse.so"))
    if not (present and plugin and ctypes.util.find_library("portaudio")):
        require_root_or_report(request, f"a sound server: {INSTALL}")


@dataclass
class SoundServer:
    """One sink of `channels` at `rate_hz`, 16 bit."""

    folder: Path
    rate_hz: int
    channels: int
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def control(self, *arguments: str) -> bool:
        done = subprocess.run(["pactl", *arguments], env=self.environment, capture_output=True, check=False)
        return done.returncode == 0

    def until_ready(self) -> None:
        """The server listens, and records what is played into its sink."""
        deadline_s = time.monotonic() + DEADLINE_S
        while not self.control("set-default-source", "edge.monitor"):
            assert time.monotonic() < deadline_s, (self.folder / "log").read_text()
            time.sleep(0.02)  # its socket appears when it does; nothing to wait on

    def unplug(self) -> None:
        assert self.control("unload-module", "module-null-sink")

    def plug_in(self) -> None:
        assert self.control("load-module", *_sink(self.rate_hz, self.channels))
        self.until_ready()

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def wake(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def playing_ramp(self, seconds: int) -> Iterator[None]:
        """The ramp, once, from 0 on; digital silence before and after it."""
        counts = (np.arange(self.rate_hz * seconds) % RAMP).astype("<i2")
        file = self.folder / "ramp.raw"
        np.repeat(counts, self.channels).tofile(file)
        command = ["pacat", "-p", "-d", "edge", "--raw", f"--rate={self.rate_hz}", f"--channels={self.channels}"]
        command += [f"--channel-map={_CHANNEL_MAPS[self.channels]}", "--format=s16le", str(file)]
        with subprocess.Popen(command, env=self.environment, stderr=subprocess.DEVNULL) as player:
            try:
                yield
            finally:
                player.kill()


def _sink(rate_hz: int, channels: int) -> list[str]:
    return [
        "module-null-sink", "sink_name=edge", f"rate={rate_hz}", f"channels={channels}", "format=s16le",
        f"channel_map={_CHANNEL_MAPS[channels]}",
    ]  # fmt: skip


@contextlib.contextmanager
def sound_server(folder: Path, *, rate_hz: int, channels: int) -> Iterator[SoundServer]:
    """Runs until the block is left. The caller's own process must see `environment` before it opens a device."""
    address = folder / "native"
    places = {"PULSE_RUNTIME_PATH": str(folder), "PULSE_SERVER": f"unix:{address}", "HOME": str(folder)}
    environment = {**os.environ, **places}
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm=yes", "--realtime=no"]
    command += ["--high-priority=no", "--use-pid-file=no", f"--log-target=file:{folder / 'log'}"]
    command += ["-L", f"module-native-protocol-unix socket={address} auth-anonymous=1"]
    command += ["-L", " ".join(_sink(rate_hz, channels))]
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        server = SoundServer(folder, rate_hz, channels, environment, process)
        try:
            server.until_ready()
            yield server
        finally:
            server.wake()  # a stopped process would leave PortAudio hanging, and us with it
            process.kill()
