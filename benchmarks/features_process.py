"""A fresh process to its first MFCC: how long, and how much memory at the peak."""

from __future__ import annotations

import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from benchmarks.harness import Comparison, benchmark

ROUNDS = 7

_CLIP = "import numpy as np; x = np.random.default_rng(3).standard_normal(48000).astype(np.float32)\n"
# Not getrusage: its peak is handed down from the parent, which may have librosa loaded.
_PEAK = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"

OURS = (
    _CLIP
    + """
from edge_agent.core.features import FeatureSpec
from edge_agent.dsp.catalog import build_extractor, feature_ids
spec = FeatureSpec("mfcc_mean", feature_ids("mfcc_mean"), 16000.0, 48000, 48000, {"target_rate_hz": 16000})
build_extractor(spec).extract(x.reshape(1, 1, -1))
"""
    + _PEAK
)
LIBROSA = (
    _CLIP
    + """
import librosa
librosa.feature.mfcc(y=x, sr=16000, n_mfcc=40, n_fft=2048, hop_length=512).mean(axis=1)
"""
    + _PEAK
)


@benchmark("features.cold_start", unit="ms wall")
def cold_start() -> Comparison:
    """Start of the interpreter to the end of the process, with bytecode compiled and files in the page cache."""
    ours, librosa = _processes()
    return Comparison.of([wall_ms for wall_ms, _ in ours], [wall_ms for wall_ms, _ in librosa])


@benchmark("features.memory", unit="MB peak RSS")
def memory() -> Comparison:
    """The same processes."""
    ours, librosa = _processes()
    return Comparison.of([peak_mb for _, peak_mb in ours], [peak_mb for _, peak_mb in librosa])


@cache
def _processes() -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Wall time (ms) and peak RSS (MB) of each side in each round; one earlier start of each fills the caches."""
    sides: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], [])
    programs = (OURS, LIBROSA)
    for program in programs:
        _run(program)
    for index in range(ROUNDS):
        for side in (0, 1) if index % 2 == 0 else (1, 0):
            sides[side].append(_run(programs[side]))
    return sides


def _run(program: str) -> tuple[float, float]:
    root = Path(__file__).resolve().parents[1]
    begin = time.perf_counter()
    finished = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    return (time.perf_counter() - begin) * 1e3, int(finished.stdout) / 1024
