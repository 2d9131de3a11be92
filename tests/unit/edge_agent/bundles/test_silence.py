"""A model that cannot alarm, or misses what its champion sees, is found without waiting for a fault."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge_agent.bundles import silence
from edge_agent.bundles.manifest import TrainingScores
from edge_agent.bundles.silence import alarm_problem, check_can_alarm, first_problem, hold_against, provoked_rows
from edge_agent.bundles.store import BundleStore, Champion, list_bundles
from edge_agent.errors import BundleError
from tests.support.bundle_workshop import AI4I, SHIPPED, VIBRATION

Score = Callable[[np.ndarray], np.ndarray]


class Scored:
    """In place of the runtime: any function of the rows."""

    def __init__(self, score: Score) -> None:
        self.score = score


def shipped(name: str) -> Champion:
    return BundleStore(SHIPPED).load_champion(name)


@pytest.fixture(scope="module")
def champion() -> Champion:
    return shipped(VIBRATION)


def changed(champion: Champion, score: Score | None = None, **manifest: Any) -> Champion:
    told = champion.bundle.manifest.model_copy(update={"version": "2.0.0", **manifest})
    bundle = dataclasses.replace(champion.bundle, manifest=told)
    model: Any = champion.model if score is None else Scored(score)
    return dataclasses.replace(champion, bundle=bundle, model=model)


def stated(**changes: Any) -> TrainingScores:
    told: dict[str, Any] = {
        "healthy_rows": 100, "healthy_lowest": 0.4, "healthy_highest": 0.6, "healthy_above": 0.01,
        "training_rows": 100, "training_highest": 0.6, "training_above": 0.01,
    }  # fmt: skip
    return TrainingScores(**(told | changes))


@pytest.mark.parametrize("name", [listing.name for listing in list_bundles(SHIPPED)])
def test_every_shipped_model_can_alarm(name: str) -> None:
    assert alarm_problem(shipped(name)) is None


@pytest.mark.parametrize(
    ("score", "manifest", "words"),
    [
        (None, {"threshold": 0.999}, "it never alarms: its threshold is 0.999, and the highest score of 926 rows"),
        (None, {"threshold": 1e9}, "it never alarms"),
        (lambda rows: rows[:, 0] * 1e-9, {"threshold": 0.9}, "it never alarms"),
        (None, {"threshold": -1.0}, "it always alarms: its threshold is -1, and the lowest score"),
        (None, {"scores": stated(anomalous_rows=20, anomalous_above=0.0)}, "none of the 20 anomalous rows"),
        (None, {"scores": stated(healthy_above=1.0)}, "all of the 100 healthy rows of its training are above"),
    ],
)
def test_a_model_that_cannot_alarm_is_refused_by_figure(
    champion: Champion, score: Score | None, manifest: dict[str, Any], words: str
) -> None:
    candidate = changed(champion, score, **manifest)
    with pytest.raises(BundleError, match=r"^vibration_anomaly_isolationforest 2\.0\.0: ") as refused:
        check_can_alarm(candidate)
    assert words in refused.value.message
    assert refused.value.hint is not None


def test_a_constant_score_is_no_score(champion: Champion, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = dataclasses.replace(silence.golden_vectors(champion.bundle), scores=np.full(6, 0.5))
    monkeypatch.setattr(silence, "golden_vectors", lambda bundle: vectors)
    candidate = changed(champion, lambda rows: np.full(len(rows), 0.5, np.float32), threshold=0.4)
    assert "has the score 0.5: it does not look at its input" in str(alarm_problem(candidate))


def test_what_its_builder_has_seen_it_reach_counts(champion: Champion) -> None:
    """A narrow class of faults: no golden or provoked row meets it, but rows of the training did."""
    never = changed(champion, lambda rows: rows[:, 0] * 0.0, threshold=0.9)
    assert alarm_problem(never) is not None
    met = changed(never, never.model.score, scores=stated(training_highest=0.95))
    assert alarm_problem(met) is None


def test_a_model_that_fails_on_what_is_abnormal_is_refused_for_it(champion: Champion) -> None:
    def score(rows: np.ndarray) -> np.ndarray:
        raise BundleError("the model gave a score that is not finite")

    assert "it fails on rows unlike its healthy training data" in str(alarm_problem(changed(champion, score)))


def test_a_like_model_misses_nothing(champion: Champion) -> None:
    found = hold_against(changed(champion), champion, missed_fraction=0.5)
    assert [one.missed for one in found] == [0, 0]
    assert all(one.is_judged for one in found)
    assert first_problem(found) is None


def quiet_where(champion: Champion, is_quiet: Callable[[np.ndarray], np.ndarray]) -> Champion:
    """The champion's own score, but for some rows."""

    def score(rows: np.ndarray) -> np.ndarray:
        return np.where(is_quiet(rows), np.float32(0.3), champion.model.score(rows))

    return changed(champion, score)


def test_a_model_that_is_quiet_only_where_the_champion_alarms_is_found(champion: Champion) -> None:
    threshold = champion.bundle.manifest.threshold
    candidate = quiet_where(champion, lambda rows: champion.model.score(rows) > threshold)
    problem = first_problem(hold_against(candidate, champion, missed_fraction=0.5))
    assert problem == (
        "it is silent where the champion alarms: it calls 3 of 3 golden windows that are anomalous to the champion "
        "normal, more than 50%"
    )


def test_an_inverted_score_is_found_though_it_alarms_somewhere(champion: Champion) -> None:
    threshold = champion.bundle.manifest.threshold
    candidate = changed(champion, lambda rows: 2.0 * threshold - champion.model.score(rows))
    assert "silent where the champion alarms" in str(
        first_problem(hold_against(candidate, champion, missed_fraction=0.5))
    )


def test_what_was_kept_of_this_machines_alarms_counts(champion: Champion) -> None:
    rows = provoked_rows(champion.bundle)
    kept = rows[champion.model.score(rows) > champion.bundle.manifest.threshold][:8]
    candidate = quiet_where(champion, lambda seen: (seen[:, None, :] == kept[None]).all(axis=2).any(axis=1))
    assert first_problem(hold_against(candidate, champion, missed_fraction=0.5)) is None, "eight rows of many"
    problem = first_problem(hold_against(candidate, champion, missed_fraction=0.5, kept=kept))
    assert "8 of 8 windows kept from this machine's alarms normal" in str(problem)


def test_models_over_other_inputs_are_not_held_against_each_other(champion: Champion) -> None:
    assert hold_against(shipped(AI4I), champion, missed_fraction=0.5) == ()


def test_provoked_rows_are_the_same_every_time_and_finite(champion: Champion) -> None:
    rows = provoked_rows(champion.bundle)
    assert np.array_equal(rows, provoked_rows(champion.bundle))
    huge = champion.bundle.manifest.baseline | {
        "rms": champion.bundle.manifest.baseline["rms"].model_copy(update={"mean": 3e38, "std": 1e38})
    }
    assert np.isfinite(provoked_rows(changed(champion, baseline=huge).bundle)).all()
