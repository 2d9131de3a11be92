"""From samples to a table: which quantities, what each may grow, and what came of it."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from tests.soak.slopes import Limit, Slope, Verdict, slope_of

Sample = Mapping[str, float]

_MEMORY = Limit(2_000_000, "2 MB in an hour is 1.4 GB in a month")
_COUNT = Limit(0.5, "one in two hours")
LIMITS: Final[dict[str, Limit]] = {
    "agent_rss_bytes": _MEMORY,
    "agent_pss_bytes": _MEMORY,
    "agent_uss_bytes": _MEMORY,
    "agent_anonymous_bytes": _MEMORY,
    "agent_handles": _COUNT,
    "agent_threads": _COUNT,
    "agent_cpu_share": Limit(0.02, "of a core"),
    "central_rss_bytes": _MEMORY,
    "central_anonymous_bytes": _MEMORY,
    "central_handles": _COUNT,
    "central_threads": _COUNT,
    "state_disk_bytes": Limit(6_000_000, "the ledger of what was acknowledged, which ends after eight days"),
    "outbox_records": Limit(200, "what waits while the link is away is delivered after it"),
}


def slopes(samples: Sequence[Sample], *, warm_up_s: float) -> dict[str, Slope]:
    """By quantity, of the samples after the warm-up."""
    counted = [sample for sample in _with_cpu_share(samples) if sample["at_s"] >= warm_up_s]
    found = {}
    for name, limit in LIMITS.items():
        points = [(sample["at_s"], sample[name]) for sample in counted if name in sample]
        if len(points) >= 3:
            found[name] = slope_of(*zip(*points, strict=True), limit)
    return found


def verdict_of(found: Mapping[str, Slope]) -> Verdict:
    """The worst of all."""
    verdicts = {slope.verdict for slope in found.values()}
    if Verdict.GROWS in verdicts:
        return Verdict.GROWS
    is_whole = found.keys() == LIMITS.keys()
    return Verdict.FLAT if is_whole and Verdict.UNDECIDED not in verdicts else Verdict.UNDECIDED


def as_json(found: Mapping[str, Slope]) -> dict[str, Any]:
    return {name: asdict(slope) | {"verdict": slope.verdict} for name, slope in found.items()}


def as_table(found: Mapping[str, Slope]) -> str:
    lines = [
        f"{'quantity':24} {'first':>14} {'last':>14} {'per hour':>14} {'95 % interval':>32} {'limit':>12}  verdict"
    ]
    for name, slope in found.items():
        shown = [f"{value:,.6g}" for value in (slope.first, slope.last, slope.per_hour, slope.limit.per_hour)]
        interval = f"{slope.low:,.6g} to {slope.high:,.6g}"
        lines.append(
            f"{name:24} {shown[0]:>14} {shown[1]:>14} {shown[2]:>14} {interval:>32} {shown[3]:>12}  {slope.verdict}"
        )
    return "\n".join(lines)


def _with_cpu_share(samples: Sequence[Sample]) -> list[dict[str, float]]:
    """CPU seconds since the start as the share of a core since the sample before."""
    found = [dict(sample) for sample in samples]
    for before, now in itertools.pairwise(found):
        now["agent_cpu_share"] = (now["agent_cpu_s"] - before["agent_cpu_s"]) / (now["at_s"] - before["at_s"])
    return found
