"""`edge-agent probe microphone` and `accelerometer`: a sound server, a FIFO as the kernel's node, a sensor on TCP."""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_agent.cli.main import app
from edge_agent.drivers.accelerometer.protocol import SampleFormat, encode
from edge_agent.errors import EdgeError
from edge_agent.settings.load import load_settings
from tests.peers.iio_tree import SCALE, IioTree
from tests.peers.sound_server import require_sound_server, sound_server
from tests.support.places import REPOSITORY

PROGRAM = Path(sys.executable).with_name("edge-agent")
RATE_HZ = 400
RAMP_RMS = 30_000 / 32_768 / np.sqrt(12)  # of whole ramps; a second has one and a half
NAMED = "333D01 10123455234052100261104"
DEADLINE_S = 120.0
PAGE = REPOSITORY / "docs" / "CLI_OUTPUT.md"
GATEWAY = """
[gateway]
id = "gw-1"
site = "test"
[central]
url = "https://central.example"
"""


class Probe:
    """The command, in this process: what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def text(self, *arguments: str) -> str:
        self._capsys.readouterr()
        app(["probe", *arguments], standalone_mode=False)
        return self._capsys.readouterr().out

    def document(self, *arguments: str) -> dict[str, Any]:
        printed = self.text(*arguments, "--json")
        assert printed.count("\n") == 1, printed
        found: dict[str, Any] = json.loads(printed)
        return found


@pytest.fixture
def probe(capsys: pytest.CaptureFixture[str]) -> Probe:
    return Probe(capsys)


def accepted(toml: str, folder: Path) -> Any:
    file = folder / "edge.toml"
    file.write_text(GATEWAY + toml, encoding="utf-8")
    (source,) = load_settings(file).sources
    return source


@contextmanager
def sampling(tree: IioTree) -> Iterator[None]:
    """The kernel's side: 400 scans a second while the buffer is on; x 50 Hz, z gravity, a tap on y each second."""
    stop = threading.Event()

    def run() -> None:
        count, begun_s = 0, time.monotonic()
        while not stop.wait(0.02):
            due = int((time.monotonic() - begun_s) * RATE_HZ)
            n = np.arange(count, due)
            count = due
            if tree.get("buffer/enable") == "0" or tree.unread > 1 << 18:
                continue
            x = np.round(100 * np.sin(2 * np.pi * 50.0 / RATE_HZ * n))
            y = np.where(n % RATE_HZ == 0, 3000.0, n % 3)
            scans = np.stack([x, y, np.full(len(n), 981.0)], axis=1).astype(int).tolist()
            tree.write_scans(scans, (n * (1_000_000_000 // RATE_HZ)).tolist())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def places(tree: IioTree) -> list[str]:
    return ["--iio", "--sysfs-dir", str(tree.sysfs), "--dev-dir", str(tree.dev)]


def test_a_sound_input_is_listed_heard_and_written_as_toml_that_is_accepted(
    request: pytest.FixtureRequest, tmp_path: Path, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_sound_server(request)
    with sound_server(tmp_path, rate_hz=48_000, channels=2) as server, server.playing_ramp(60):
        for name in ("PULSE_SERVER", "PULSE_RUNTIME_PATH", "HOME"):
            monkeypatch.setenv(name, server.environment[name])
        (tmp_path / ".asoundrc").write_text(f'pcm."{NAMED}" {{ type pulse }}\n')
        listed = probe.document("microphone")
        measured = probe.document("accelerometer", "333D01", "--seconds", "1", "--channels", "1")
        heard = probe.document("microphone", "pulse", "--seconds", "1")
        absent = probe.document("microphone", "Digiducer")
        with pytest.raises(EdgeError, match="has 32 channels, 60 were asked for"):
            probe.text("microphone", "pulse", "--channels", "60")
    assert "pulse" in [device["name"] for device in listed["devices"]]
    assert 48_000 in listed["devices"][0]["rates_hz"]
    assert [channel["verdict"] for channel in heard["channels"]] == ["alive", "alive"]
    assert heard["channels"][0]["rms"] == pytest.approx(RAMP_RMS, rel=0.4)
    source = accepted(heard["toml"], tmp_path)
    assert (source.type, source.device, source.sample_rate_hz) == ("microphone", "pulse", 16_000)
    assert len(source.channels) == 2
    assert {*leaves(listed), *leaves(heard)} <= explained("microphone")
    assert {*leaves(measured)} <= explained("microphone") | explained("accelerometer")
    assert (measured["model"], measured["calibrated"], measured["unit"]) == ("333D01", "2026-11-04", "g")
    full_scale_g = 2**23 / 52_340 / 9.80665
    assert measured["scales"][0]["origin"] == "device_name"
    (channel,) = measured["channels"]
    assert channel["rms"] == pytest.approx(full_scale_g * RAMP_RMS, rel=0.4)
    assert channel["rms_dbfs"] == pytest.approx(20 * np.log10(channel["rms"] / full_scale_g), abs=0.01)
    source = accepted(measured["toml"], tmp_path)
    assert (source.device, source.scale_from) == (NAMED, "device_name")
    assert absent["error"].startswith("sound device 'Digiducer' is not there (inputs: ")


def test_without_the_sound_library_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "sounddevice.py").write_text('raise OSError("PortAudio library not found")\n')
    done = subprocess.run(
        [PROGRAM, "probe", "microphone", "any"], env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "edge-agent: sound devices cannot be used: PortAudio library not found", "  apt install libportaudio2",
    ]  # fmt: skip


def test_an_accelerometer_of_the_kernel_is_measured_and_taps_name_its_axis(tmp_path: Path, probe: Probe) -> None:
    tree = IioTree(tmp_path)
    with sampling(tree):
        listed = probe.document("accelerometer", *places(tree), "nobody")
        found = probe.document("accelerometer", *places(tree), "--seconds", "3", "--tap")
        shown = probe.text("accelerometer", *places(tree), "--seconds", "1")
    tree.close()
    assert listed["error"] == "IIO device 'nobody' is not there (accelerometers: adxl345 (iio:device0))"
    (described,) = found["iio_devices"]
    assert (described["name"], described["channels"]) == ("adxl345", ["accel_x", "accel_y", "accel_z"])
    x, _, z = found["channels"]
    assert z["mean"] == pytest.approx(981 * SCALE / 9.80665, rel=1e-3)
    assert x["lines"][0]["hz"] == pytest.approx(50.0, abs=0.5)
    assert found["taps"]
    assert {tap["point"] for tap in found["taps"]} == {"accel-y"}
    assert {*leaves(found)} <= explained("microphone") | explained("accelerometer")
    source = accepted(found["toml"], tmp_path)
    assert (source.type, source.device, source.sample_rate_hz) == ("iio", "adxl345", 400.0)
    assert [channel.device_channel for channel in source.channels] == ["accel_x", "accel_y", "accel_z"]
    assert "accel-x: 50.0 Hz" in shown
    assert tree.get("buffer/enable") == "0"


def test_a_sensor_on_the_network_says_its_rate_and_channels_itself(tmp_path: Path, probe: Probe) -> None:
    with sensor() as port:
        found = probe.document("accelerometer", "--stream", f"tcp:127.0.0.1:{port}", "--seconds", "0.5")
    with pytest.raises(EdgeError, match="connection refused"):
        probe.text("accelerometer", "--stream", f"tcp:127.0.0.1:{port}")
    with pytest.raises(EdgeError, match="serial:9: this is no stream"):
        probe.text("accelerometer", "--stream", "serial:9")
    source = accepted(found["toml"], tmp_path)
    assert (source.interface, source.port, source.sample_rate_hz, len(source.channels)) == ("tcp", port, 1000, 2)
    assert found["note"] == "integers are counts: set each channel's scale to 1 / (counts per g)"


@contextmanager
def sensor() -> Iterator[int]:
    """Two channels of counts at 1 kHz, for whoever connects, one after the other; gives its port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                with suppress(OSError), client:
                    send(client)

    def send(client: socket.socket) -> None:
        for number in itertools.count():
            samples = np.full((2, 50), 100 + number % 7, dtype=np.float32)
            client.sendall(encode(samples, sequence=number, sample_rate_hz=1000.0, sample_format=SampleFormat.INT16))
            time.sleep(0.05)  # the sensor's own pace

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield server.getsockname()[1]
    finally:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()


def explained(command: str) -> set[str]:
    """Field names of a section of the page, each under the fields it is listed with."""
    section = PAGE.read_text(encoding="utf-8").split(f"## `edge-agent probe {command} --json`")[1].split("\n## ")[0]
    named: set[str] = set()
    for row in re.findall(r"^\| (`.+?) \|", section, re.MULTILINE):
        names = re.findall(r"`([^`]+)`", row)
        named |= {names[0].rsplit(".", 1)[0] + name if name.startswith(".") else name for name in names}
    return named


def leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for item in value:
            yield from leaves(item, f"{path}[]")
    elif value != []:
        yield path
