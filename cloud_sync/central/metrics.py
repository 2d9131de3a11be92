"""Counters, gauges and histograms in Prometheus' text format 0.0.4. Since this process started; no locks: one loop.

Label values are gateway ids (of valid keys, or of topics that the broker's ACL lets through), job names and
outcomes, so the number of series is bounded. Why this is not prometheus_client: docs/decisions/0025.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from cloud_sync.records import DIFFERS, Settlement

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

LATENCY_BUCKETS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_Labels = tuple[str, ...]


class Counter:
    """Only goes up. `name` ends in _total."""

    def __init__(self, name: str, description: str, labels: Sequence[str] = ()) -> None:
        self._name, self._description, self._labels = name, description, tuple(labels)
        self._values: dict[_Labels, float] = {}

    def add(self, *labels: str, by: float = 1) -> None:
        self._values[labels] = self._values.get(labels, 0) + by

    def lines(self) -> Iterator[str]:
        yield from _heading(self._name, self._description, "counter")
        for labels, value in sorted(self._values.items()):
            yield _sample(self._name, zip(self._labels, labels, strict=True), value)


class Histogram:
    """Durations in seconds, in buckets that each count everything up to their bound."""

    def __init__(self, name: str, description: str, bounds: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        self._name, self._description, self._bounds = name, description, tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def lines(self) -> Iterator[str]:
        yield from _heading(self._name, self._description, "histogram")
        so_far = 0
        for bound, count in zip((*map(_number, self._bounds), "+Inf"), self._counts, strict=True):
            so_far += count
            yield _sample(f"{self._name}_bucket", [("le", bound)], so_far)
        yield _sample(f"{self._name}_sum", (), self._sum)
        yield _sample(f"{self._name}_count", (), so_far)


class Metrics:
    """What one central counts."""

    def __init__(self) -> None:
        self.batches = Counter("edge_central_batches_total", "Batches committed.", ["gateway"])
        self.records = Counter(
            "edge_central_records_total", "Rows and events of committed batches.", ["gateway", "verdict"]
        )
        self.conflicts = Counter(
            "edge_central_conflicts_total", "Readings offered with another value than is stored.", ["gateway"]
        )
        self.received = Counter(
            "edge_central_received_bytes_total", "Bodies received, as sent, over HTTP and MQTT.", ["gateway"]
        )
        self.limited = Counter(
            "edge_central_rate_limited_total",
            "Batches and questions turned away: their gateway sends too fast.",
            ["gateway"],
        )
        self.turned_away = Counter(
            "edge_central_turned_away_total",
            "Batches, digests and bodies there was no place for; they come again.",
            ["gateway", "work"],
        )
        self.held_back = Counter(
            "edge_central_held_back_total", "Batches not taken: another box sends with their gateway id.", ["gateway"]
        )
        self.requests = Counter("edge_central_requests_total", "Answers by status.", ["status"])
        self.commit_s = Histogram("edge_central_commit_seconds", "From a decoded batch to its COMMIT.")
        self.jobs = Counter("edge_central_job_runs_total", "Runs of maintenance jobs.", ["job", "outcome"])

    def count_settled(self, gateway_id: str, settlement: Settlement, *, seconds: float) -> None:
        self.batches.add(gateway_id)
        self.records.add(gateway_id, "accepted", by=settlement.accepted)
        self.records.add(gateway_id, "duplicate", by=settlement.duplicates)
        self.records.add(gateway_id, "refused", by=len(settlement.refused))
        conflicts = sum(refusal.code == DIFFERS for refusal in settlement.refused)
        if conflicts:
            self.conflicts.add(gateway_id, by=conflicts)
        self.commit_s.observe(seconds)

    def text(self, *, database_up: bool, refuses_writes: bool = False) -> str:
        """Return everything in Prometheus' text format."""
        counters = (
            self.batches,
            self.records,
            self.conflicts,
            self.received,
            self.limited,
            self.turned_away,
            self.held_back,
            self.requests,
            self.jobs,
        )
        lines = [line for counter in counters for line in counter.lines()]
        lines += self.commit_s.lines()
        lines += _heading("edge_central_database_up", "Whether the database answered just now.", "gauge")
        lines.append(_sample("edge_central_database_up", (), int(database_up)))
        lines += _heading("edge_central_writes_refused", "Whether the database refused the last batch.", "gauge")
        lines.append(_sample("edge_central_writes_refused", (), int(refuses_writes)))
        return "\n".join(lines) + "\n"


def _heading(name: str, description: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {description}"
    yield f"# TYPE {name} {kind}"


def _sample(name: str, labels: Iterable[tuple[str, str]], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in labels)
    return f"{name}{{{pairs}}} {_number(value)}" if pairs else f"{name} {_number(value)}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)
