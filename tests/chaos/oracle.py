"""What must be true in the end: every marked key is in the database exactly once, its value intact.

A key is marked once its flush has returned. A gateway that is killed between the two leaves rows that are durable and
not marked: they may arrive, with their right value, or not.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Key = tuple[str, int]
Arrived = tuple[Key, float]


def value_of(sensor_id: str, time_us: int) -> float:
    """The value that belongs to a key: whoever knows the key can tell whether the value is intact."""
    digest = hashlib.blake2b(f"{sensor_id} {time_us}".encode(), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 7.0


@dataclass(frozen=True)
class Verdict:
    marked: int
    lost: list[Key]
    doubled: list[Key]
    damaged: list[Key]
    unmarked: int
    """Rows that arrived without a mark: durable before the kill that came before the mark."""
    rows: list[Arrived] = field(repr=False)

    @property
    def arrived(self) -> int:
        return len({key for key, _ in self.rows})

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.doubled or self.damaged)


def judge(marked: Iterable[Key], arrived: Iterable[Arrived], is_intact: Callable[[Key, float], bool]) -> Verdict:
    """Compare the marks with the rows of the database."""
    expected = set(marked)
    rows = list(arrived)
    times = Counter(key for key, _ in rows)
    return Verdict(
        marked=len(expected),
        lost=sorted(expected - times.keys()),
        doubled=sorted(key for key, count in times.items() if count > 1),
        damaged=sorted(key for key, value in rows if not is_intact(key, value)),
        unmarked=len(times.keys() - expected),
        rows=rows,
    )


@dataclass
class Report:
    """What was done to the run and what came of it."""

    world: str
    seed: int
    seconds: float
    database: str
    faults: Counter[str] = field(default_factory=Counter)
    broken_for_s: float = 0.0
    """Longer than `seconds` when there was not the time for every kind of fault once."""
    settled_after_s: float = 0.0
    verdict: Verdict | None = None
    figures: Mapping[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        return self.verdict is not None and self.verdict.is_good and not self.problems

    @property
    def replay(self) -> str:
        """The command that does the same again."""
        where = f"--world {self.world} --database {self.database}"
        return f'make chaos ARGS="{where} --seconds {self.seconds:g} --seed {self.seed}"'

    def as_json(self) -> dict[str, Any]:
        verdict = self.verdict
        assert verdict is not None
        return {
            "world": self.world,
            "seed": self.seed,
            "seconds": self.seconds,
            "database": self.database,
            "broken_for_s": round(self.broken_for_s, 1),
            "faults_total": self.faults.total(),
            "faults": dict(sorted(self.faults.items())),
            "marked": verdict.marked,
            "arrived": verdict.arrived,
            "lost": len(verdict.lost),
            "doubled": len(verdict.doubled),
            "damaged": len(verdict.damaged),
            "unmarked": verdict.unmarked,
            **dict(sorted(self.figures.items())),
            "settled_after_s": round(self.settled_after_s, 1),
            "problems": self.problems,
        }
