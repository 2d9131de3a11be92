"""Rotated rounds, medians of ratios, and the table of benchmarks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

ROUNDS = 9
MIN_ROUND_S = 0.05
"""CPU time of one side of one round: 50 ms is hundreds of times the clock's step and many scheduler slices."""

LINK_PREFIX = "uplink.link."
"""Names that begin so are compared with what a simulated link can carry: 1.0 is the best there is."""

FLOOR_SUFFIXES = ("vs_fft", "growth")
"""Names that end so are compared with a floor: the ratio is ours / baseline, and 1.0 is the best there is."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Cost of each side, one number per round, in the benchmark's unit; both taken in the same rounds."""

    ours: tuple[float, ...]
    baseline: tuple[float, ...]
    also: Mapping[str, float] = field(default_factory=dict)
    """What else was measured, by name; it enters no ratio."""

    @classmethod
    def of(cls, ours: Sequence[float], baseline: Sequence[float]) -> Comparison:
        if len(ours) != len(baseline) or not ours:
            raise ValueError("a comparison needs both sides of every round")
        return cls(tuple(ours), tuple(baseline))


@dataclass(frozen=True, slots=True)
class Benchmark:
    name: str
    unit: str
    run: Callable[[], Comparison]

    @property
    def is_against_floor(self) -> bool:
        return self.name.endswith(FLOOR_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Result:
    """Medians over the rounds. `ratio` is the median of the rounds' ratios, not the ratio of the medians."""

    name: str
    unit: str
    ours: float
    baseline: float
    ratio: float
    also: Mapping[str, float] = field(default_factory=dict)


TABLE: dict[str, Benchmark] = {}


def benchmark(name: str, *, unit: str) -> Callable[[Callable[[], Comparison]], Callable[[], Comparison]]:
    """Register a function under a name. Raises ValueError when the name is taken."""

    def register(function: Callable[[], Comparison]) -> Callable[[], Comparison]:
        if name in TABLE:
            raise ValueError(f"benchmark {name} is registered already")
        TABLE[name] = Benchmark(name, unit, function)
        return function

    return register


class UnavailableError(Exception):
    """What a benchmark needs is not on this machine; the message names it."""


def run_all(*, prefix: str = "", say: Callable[[str], None]) -> Iterator[Result]:
    """Results in order of registration, as they come; what cannot be measured here is said and left out."""
    for entry in TABLE.values():
        if entry.name.startswith(prefix):
            try:
                comparison = entry.run()
            except UnavailableError as exc:
                say(f"{entry.name} was not measured: {exc}")
                continue
            yield summarise(entry, comparison)


def summarise(entry: Benchmark, comparison: Comparison) -> Result:
    pairs = list(zip(comparison.ours, comparison.baseline, strict=True))
    ratios = [ours / base if entry.is_against_floor else base / ours for ours, base in pairs]
    return Result(
        entry.name, entry.unit, median(comparison.ours), median(comparison.baseline), median(ratios), comparison.also
    )


def compare(
    *, ours: Callable[[], object], baseline: Callable[[], object], per: float = 1.0, rounds: int = ROUNDS
) -> Comparison:
    """CPU time of both sides in microseconds per unit; one call does `per` units.

    The side that goes first changes from round to round, so that neither always finds the other's cache or clock.
    """
    sides = (ours, baseline)
    repeats = [_repeats(side) for side in sides]
    times: tuple[list[float], list[float]] = ([], [])
    for index in range(rounds):
        for side in (0, 1) if index % 2 == 0 else (1, 0):
            times[side].append(_cpu_s(sides[side], repeats[side]) / repeats[side] / per * 1e6)
    return Comparison.of(*times)


def _repeats(call: Callable[[], object]) -> int:
    """Calls that fill a round. The first call is a warm-up and is not counted."""
    call()
    repeats = 1
    while (spent_s := _cpu_s(call, repeats)) < MIN_ROUND_S:
        repeats = max(repeats + 1, min(10 * repeats, int(1.2 * repeats * MIN_ROUND_S / max(spent_s, 1e-6))))
    return repeats


def _cpu_s(call: Callable[[], object], repeats: int) -> float:
    begin = time.process_time()
    for _ in range(repeats):
        call()
    return time.process_time() - begin
