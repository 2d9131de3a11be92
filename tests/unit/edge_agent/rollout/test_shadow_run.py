"""A version in a shadow run: its work is bounded, its errors are its own."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from edge_agent.core.clock import FakeClock
from edge_agent.core.features import FeatureSpec
from edge_agent.errors import BundleError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.pipeline.scored_line import ScoredWindows
from edge_agent.rollout.shadow_gates import GateOutcome, Gates, ShadowTally
from edge_agent.rollout.shadow_run import QUEUED, ShadowRun, incomparable, unfamiliar_share
from edge_agent.settings import AlarmSettings
from tests.support.mean_model import WINDOW
from tests.support.waveform_lines import feed, line_of

GATES = Gates(windows=40, duration_s=3_600.0, latency_ms=50.0, alarm_fraction=0.05, missed_fraction=0.5)


def run_of(model: ScoringModel, champion: ScoringModel, *, cpu_share: float = 1.0, clock: FakeClock) -> ShadowRun:
    return ShadowRun(model, champion, ShadowTally(GATES, 0.0), cpu_share=cpu_share, now_s=clock.monotonic_s)


def observed(champion: ScoringModel, levels: np.ndarray) -> ScoredWindows:
    """One channel, one window per level."""
    samples = np.repeat(levels.astype(np.float32)[None, :, None], WINDOW, axis=2)
    values, is_usable = champion.extract(samples)
    scores = np.where(is_usable, values[..., 0], np.nan).astype(np.float32)
    return ScoredWindows(values, is_usable, scores, samples, ("rig-1.x",), (False,), AlarmSettings())


def other(model: ScoringModel, **more: object) -> ScoringModel:
    return dataclasses.replace(model, version="2.0.0", **more)  # type: ignore[arg-type]


def with_parameters(spec: FeatureSpec) -> FeatureSpec:
    return dataclasses.replace(spec, parameters={"other": 1})


def test_the_champions_features_are_used_again_when_the_spec_is_the_same(model: ScoringModel) -> None:
    def never(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        raise AssertionError("features were computed twice")

    run = run_of(other(model, extract=never), model, clock=FakeClock())
    run.offer(observed(model, np.linspace(0, 0.4, 40)))
    run.work()
    finding = run.finding(0.0)
    assert finding is not None
    assert finding.outcome is GateOutcome.HELD


def test_other_features_are_computed_from_the_same_samples(model: ScoringModel) -> None:
    seen: list[tuple[int, ...]] = []

    def extract(samples: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(samples.shape)
        return model.extract(samples)

    run = run_of(other(model, spec=with_parameters(model.spec), extract=extract), model, clock=FakeClock())
    run.offer(observed(model, np.array([0.1, np.nan, 0.3])))
    run.work()
    assert seen == [(1, 3, WINDOW)]
    assert run.tally.windows_total == 2


@pytest.mark.parametrize("error", [BundleError("no"), ValueError("no"), ZeroDivisionError("no"), IndexError("no")])
def test_whatever_the_model_raises_ends_its_shadow_run_only(model: ScoringModel, error: Exception) -> None:
    def broken(values: np.ndarray) -> np.ndarray:
        raise error

    run = run_of(other(model, score=broken), model, clock=FakeClock())
    run.offer(observed(model, np.zeros(3)))
    run.work()
    finding = run.finding(0.0)
    assert finding is not None
    assert finding.reason == "it failed on a window: no"


def test_the_queue_is_bounded_and_what_found_no_room_is_counted(model: ScoringModel) -> None:
    run = run_of(other(model), model, clock=FakeClock())
    for _ in range(QUEUED + 5):
        run.offer(observed(model, np.zeros(2)))
    assert run.skipped_total == 10
    run.work()
    assert run.tally.windows_total == 2 * QUEUED
    assert not run.has_work


def test_beyond_its_share_of_the_processor_windows_are_passed_over_and_counted(model: ScoringModel) -> None:
    def costly(values: np.ndarray) -> np.ndarray:
        for _ in range(400):
            np.linalg.inv(np.random.default_rng(0).standard_normal((60, 60)))
        return values[:, 0]

    clock = FakeClock()
    run = run_of(other(model, score=costly), model, cpu_share=0.1, clock=clock)
    for _ in range(60):
        run.offer(observed(model, np.zeros(1)))
    run.work()
    done, skipped = run.tally.windows_total, run.skipped_total
    assert skipped > 0, "the clock stands still, so the budget is not refilled"
    assert done + skipped == 60
    clock.advance(3_600.0)
    run.offer(observed(model, np.zeros(1)))
    run.work()
    assert run.tally.windows_total == done + 1


def test_the_line_shows_what_it_scored_and_scores_the_same(model: ScoringModel) -> None:
    run = run_of(other(model), model, clock=FakeClock())
    alone, watched = line_of(model), line_of(model, observe=run.offer)
    levels = [(0.1 * (i % 4), 0.2) for i in range(30)]
    assert len(feed(alone, levels)) == len(feed(watched, levels))
    assert [c.last_score for c in alone.channels] == [c.last_score for c in watched.channels]
    run.work()
    assert run.tally.windows_total == 60


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"window_samples": 20}, "its windows are others"),
        ({"hop_samples": 5}, "its windows are others"),
        ({"sample_rate_hz": 50.0}, "its windows are others"),
        ({"parameters": {"a": 1}}, None),
    ],
)
def test_windows_that_differ_cannot_be_compared(
    model: ScoringModel, change: dict[str, object], word: str | None
) -> None:
    spec = dataclasses.replace(model.spec, **change)  # type: ignore[arg-type]
    difference = incomparable(other(model, spec=spec), model)
    assert difference is None if word is None else word in str(difference)


def test_values_far_from_the_training_rows_are_unfamiliar(model: ScoringModel) -> None:
    assert unfamiliar_share(model, np.array([[0.0], [0.1], [0.9], [-0.9]], np.float32)) == 0.5
    constant = other(model, baseline_std=np.zeros(1))
    assert unfamiliar_share(constant, np.array([[9.0]], np.float32)) == 0.0


def test_alarms_are_compared_by_the_channels_own_settings(model: ScoringModel) -> None:
    """Both thresholds are the model's; the other is quiet above it."""
    run = run_of(other(model, score=lambda values: np.minimum(values[:, 0], 0.1)), model, clock=FakeClock())
    run.offer(observed(model, np.linspace(0.0, 0.4, 20)))
    run.offer(observed(model, np.full(40, 5.0)))
    run.work()
    seen = run.tally.alarms["rig-1.x"]
    assert seen.champion == seen.missed > 20
    assert seen.shadow == seen.quiet == 0


def test_single_anomalous_windows_are_chance_and_no_alarm(model: ScoringModel) -> None:
    run = run_of(other(model, score=lambda values: np.minimum(values[:, 0], 0.1)), model, clock=FakeClock())
    levels = np.where(np.arange(400) % 10 == 0, 5.0, 0.1)
    run.offer(observed(model, levels))
    run.work()
    assert run.tally.alarms == {}
    assert run.tally.missed_windows == 0
