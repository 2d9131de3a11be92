"""The evaluation command on the shipped run to failure, and on synthetic recordings with a known fault."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from benchmarks.evaluations import cwru, ims
from tests.support.places import REPOSITORY

ROOT = REPOSITORY
SHIPPED_RUN = ROOT / "tests" / "data" / "nasa_ims"
RATE_HZ = 12_000


def evaluate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.evaluations", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def drive_end(line_hz: float | None) -> np.ndarray:
    """Two seconds of noise, with a ringing at 3.5 kHz as often as a damaged part is struck."""
    n = 2 * RATE_HZ
    x = 0.1 * np.random.default_rng(6).standard_normal(n)
    if line_hz is not None:
        struck = np.zeros(n)
        struck[np.round(np.arange(0, 2, 1 / line_hz)[:-1] * RATE_HZ).astype(int)] = 1.0
        t = np.arange(200) / RATE_HZ
        x += np.convolve(struck, np.exp(-t / 0.001) * np.sin(2 * np.pi * 3500 * t))[:n]
    return x.reshape(-1, 1)


@pytest.mark.parametrize(("line_hz", "named"), [(107.4, "BPFO"), (162.2, "BPFI"), (70.6, "BSF"), (None, "none")])
def test_the_part_that_is_struck_is_named_and_a_healthy_bearing_is_not(tmp_path, line_hz, named):
    savemat(tmp_path / "200.mat", {"X200_DE_time": drive_end(line_hz)})
    (row,) = list(cwru.evaluate(tmp_path))[3:]
    assert row.split()[5] == named
    assert "2 of 2" in row


def test_on_the_shipped_run_the_outer_race_stands_out_days_before_the_level_does():
    lines = list(ims.evaluate(SHIPPED_RUN))
    amplitude_h, signal_to_noise_h, rms_h = (float(word) for word in lines[-4].split()[2:])
    assert lines[-4].startswith("bearing 1")
    assert "62 snapshots with the machine running" in lines[0]
    assert min(amplitude_h, signal_to_noise_h) > rms_h + 48
    assert lines[-2].split()[2:] == ["-", "-", "-"]


def test_the_command_prints_the_table():
    finished = evaluate("ims", SHIPPED_RUN)
    assert finished.returncode == 0, finished.stderr
    assert "BPFO 236.4 Hz" in finished.stdout


@pytest.mark.parametrize(("command", "named"), [("cwru", "no .mat recordings"), ("ims", "no run of four-bearing")])
def test_a_folder_without_recordings_is_an_error_that_says_so(tmp_path, command, named):
    finished = evaluate(command, tmp_path)
    assert finished.returncode == 2
    assert named in finished.stderr
