"""Faults of the sensor, and what is none: machines of every kind."""

from __future__ import annotations

import numpy as np
import pytest

from edge_agent.dsp.machines.sensor_faults import sensor_fault, signal_fault
from edge_agent.recordings import find_recordings, load_recording
from tests.support.places import TESTS

RATE_HZ = 20_480.0
DATA = TESTS / "data"
TIME = np.arange(20_480) / RATE_HZ
NOISE = np.random.default_rng(2).standard_normal(20_480)
IMPULSES = np.where(np.arange(20_480) % 170 < 3, 12.0, 0.0) * np.random.default_rng(4).standard_normal(20_480)


def steps(signal: np.ndarray, per_unit: float) -> np.ndarray:
    return (np.round(signal * per_unit) / per_unit).astype(np.float32)


@pytest.mark.parametrize(
    ("signal", "words"),
    [
        (np.full(4096, 0.25), "flat line (every sample is 0.25)"),
        (np.where(NOISE > 0, 0.1, 0.2), "flat line (no more than 2 values occur)"),
        (np.where(np.arange(20_480) < 14_000, NOISE, 0.0), "flat line (32% of the samples in one run)"),
        (np.clip(NOISE, -1, 1), "clipped (32 % of samples at full scale)"),
        (np.clip(NOISE, -9, 1.5), "clipped (7 % of samples at full scale)"),
        (steps(np.clip(NOISE, -1.5, 1.5), 64), "clipped (13 % of samples at full scale)"),
        (np.clip(2 * np.sin(2 * np.pi * 937 * TIME), -1, 1), "clipped (67 % of samples at full scale)"),
        (np.sin(2 * np.pi * 50 * TIME) + 0.01 * NOISE, "mains hum (100 % of the signal at 50 Hz and its multiples)"),
        (
            np.sin(2 * np.pi * 60 * TIME) + 0.5 * np.sin(2 * np.pi * 180 * TIME) + 0.2 * NOISE,
            "mains hum (94 % of the signal at 60 Hz and its multiples)",
        ),
        (np.clip(NOISE, -1.6, 1.6) + 0.001 * NOISE[::-1], "saturated (11 % of samples on flat tops)"),
        (np.clip(NOISE, -9, 1.5) + 0.001 * NOISE[::-1], "saturated (7 % of samples on flat tops)"),
    ],
    ids=range(11),
)
def test_a_fault_is_named(signal: np.ndarray, words: str) -> None:
    fault = sensor_fault(signal.astype(np.float32), RATE_HZ)
    assert fault is not None
    assert fault.words == words


@pytest.mark.parametrize(
    "signal",
    [
        NOISE, steps(NOISE, 3), steps(NOISE, 64), NOISE + IMPULSES, np.sin(2 * np.pi * 937 * TIME),
        steps(np.sin(2 * np.pi * 937 * TIME), 100), np.sin(2 * np.pi * 49.4 * TIME) + 0.1 * NOISE,
        np.sin(2 * np.pi * 29.7 * TIME) + 0.2 * NOISE, np.sin(2 * np.pi * 50 * TIME) + 0.6 * NOISE,
        np.sin(2 * np.pi * 100 * TIME) + 0.02 * np.sin(2 * np.pi * 24.5 * TIME) + 0.05 * NOISE,
        np.sin(2 * np.pi * 120 * TIME) + 0.4 * np.sin(2 * np.pi * 240 * TIME),
        np.sin(2 * np.pi * 97.3 * TIME), np.tanh(3 * NOISE), steps(np.sin(2 * np.pi * 97.3 * TIME), 50),
        steps(np.sin(2 * np.pi * 97.3 * TIME), 127), 75 * np.sin(611 * TIME) + 12.5 * np.sin(1833 * TIME) + NOISE,
        np.full(20_480, np.nan), np.where(np.arange(20_480) < 9000, np.nan, NOISE),
        np.sin(2 * np.pi * 50 * TIME)[:8000], np.ones(100),
    ],
    ids=range(20),
)  # fmt: skip
def test_a_machine_is_no_fault_of_its_sensor(signal: np.ndarray) -> None:
    assert sensor_fault(signal.astype(np.float32), RATE_HZ) is None


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (np.full(20_480, np.nan), "not finite (100 % of the samples are NaN or infinite)"),
        (np.where(np.arange(20_480) % 2, np.inf, NOISE), "not finite (50 % of the samples are NaN or infinite)"),
        (np.where(np.arange(20_480) < 300, -np.inf, NOISE), "not finite (1 % of the samples are NaN or infinite)"),
    ],
    ids=["all", "every other", "a burst"],
)
def test_samples_that_are_no_numbers_are_a_fault_of_the_second(samples: np.ndarray, words: str) -> None:
    fault = signal_fault(samples.astype(np.float32), RATE_HZ)
    assert fault is not None
    assert (fault.kind, fault.words) == ("not_finite", words)


def test_a_few_samples_that_are_no_numbers_cost_their_windows_only() -> None:
    samples = np.where(np.arange(20_480) == 5, np.nan, NOISE).astype(np.float32)
    assert signal_fault(samples, RATE_HZ) is None


@pytest.mark.parametrize(
    ("folder", "rate_hz"), [("nasa_ims", 20_480.0), ("mimii", None), ("femto_pronostia", 25_600.0)]
)
def test_recordings_of_real_machines_healthy_and_damaged_have_no_fault(folder: str, rate_hz: float | None) -> None:
    paths = find_recordings([DATA / folder])[::4]
    recordings = [load_recording(path, sample_rate_hz=rate_hz) for path in paths]
    found = [
        (recording.name, fault)
        for recording in recordings
        for channel in recording.samples
        if (fault := sensor_fault(channel, recording.sample_rate_hz))
    ]
    assert found == []  # also not of the last two snapshots, when the rig had stopped
