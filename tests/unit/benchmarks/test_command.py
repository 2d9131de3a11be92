"""The benchmark command's contract; never a figure."""

import json
import subprocess
import sys

from tests.support.places import REPOSITORY

ROOT = REPOSITORY


def run_benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_json_is_one_object_of_ours_baseline_ratio_and_unit():
    finished = run_benchmarks("--json", "--only", "features.vibration.vs_fft")
    assert finished.returncode == 0, finished.stderr
    results = json.loads(finished.stdout)
    assert list(results) == ["features.vibration.vs_fft"]
    assert set(results["features.vibration.vs_fft"]) == {"ours", "baseline", "ratio", "unit"}


def test_a_prefix_that_fits_no_benchmark_is_an_error_that_lists_them():
    finished = run_benchmarks("--only", "nothing")
    assert finished.returncode == 2
    assert "features.mfcc.vs_librosa" in finished.stderr


def test_a_ratio_is_how_many_times_better_and_against_a_floor_how_many_times_worse():
    program = """
from benchmarks.harness import Benchmark, Comparison, summarise
sides = Comparison.of([2.0, 4.0, 5.0], [10.0, 20.0, 100.0])
run = lambda: sides
for name in ("x.vs_naive", "x.vs_fft"):
    print(summarise(Benchmark(name, "us", run), sides).ratio)
"""
    finished = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert finished.stdout.split() == ["5.0", "0.2"]
