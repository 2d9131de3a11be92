"""A threshold stands among the scores it divides, or a person has said why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import IsolationForest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from converters.errors import CardError
from converters.graphs.converted import ConvertedModel
from converters.kinds import convert
from converters.proof.threshold_reach import KnownRows, check_reach

NAMES = ("spindle_c", "oil_c", "current_a")
HEALTHY = np.random.default_rng(5).standard_normal((300, 3)) * [3, 2, 0.5] + [60, 45, 7]
ANOMALOUS = HEALTHY[:40] + np.array([30, 20, 5])


@pytest.fixture(scope="module")
def model() -> ConvertedModel:
    pipeline = make_pipeline(StandardScaler(), IsolationForest(n_estimators=20, random_state=0))
    return convert(pipeline.fit(HEALTHY), feature_names=NAMES)


def known(anomalous: np.ndarray | None = None) -> KnownRows:
    return KnownRows(HEALTHY, HEALTHY, anomalous)


def refusal(model: ConvertedModel, threshold: float, rows: KnownRows) -> CardError:
    with pytest.raises(CardError) as caught:
        check_reach(model, threshold, rows, allowed=None)
    assert caught.value.where == "score.threshold"
    assert "--allow-silent-threshold" in str(caught.value.hint)
    return caught.value


def highest(model: ConvertedModel) -> float:
    return float(model.source_score(HEALTHY.astype(np.float32).astype(np.float64)).max())


def test_a_threshold_among_the_scores_is_told_in_figures(model: ConvertedModel) -> None:
    scores = np.sort(model.source_score(HEALTHY.astype(np.float32).astype(np.float64)))
    reach = check_reach(model, float(scores[-4:-2].mean()), known(ANOMALOUS), allowed=None)
    assert reach.warnings == ()
    assert (reach.scores.healthy_rows, reach.scores.healthy_above) == (300, 0.01)
    assert (reach.scores.anomalous_rows, reach.scores.anomalous_above) == (40, 1.0)
    assert reach.scores.healthy_highest == scores[-1] < reach.scores.training_highest
    assert reach.scores.silent_because is None


def test_a_threshold_that_nothing_reaches_is_refused(model: ConvertedModel) -> None:
    message = refusal(model, 0.999, known()).message
    assert "no row reaches the threshold 0.999: the highest score of 300 training rows is 0." in message
    assert message.endswith("it never alarms")


def test_a_threshold_just_above_all_training_rows_is_said_aloud(model: ConvertedModel) -> None:
    (warning,) = check_reach(model, highest(model) + 1e-4, known(), allowed=None).warnings
    assert "no training row reaches the threshold" in warning
    assert "files.anomalous" in warning


def test_a_threshold_that_no_anomalous_row_reaches_is_refused_though_others_do(model: ConvertedModel) -> None:
    message = refusal(model, highest(model) - 1e-4, known(HEALTHY[100:120] * 0 + HEALTHY.mean(axis=0))).message
    assert "none of the 20 anomalous rows reaches the threshold" in message


def test_a_score_that_turns_the_wrong_way_is_refused(model: ConvertedModel) -> None:
    turned = dataclasses.replace(model, source_score=lambda rows: 1.0 - model.source_score(rows))
    threshold = float(np.median(1.0 - model.source_score(ANOMALOUS))) - 1e-3
    assert "turns the wrong way" in refusal(turned, threshold, known(ANOMALOUS)).message


def test_a_threshold_below_every_score_is_refused_and_a_low_one_is_said_aloud(model: ConvertedModel) -> None:
    assert "all 300 healthy rows are above the threshold 0.1: it always alarms" in refusal(model, 0.1, known()).message
    scores = model.source_score(HEALTHY)
    (warning,) = check_reach(model, float(np.percentile(scores, 30)), known(), allowed=None).warnings
    assert "it alarms without a fault" in warning


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (lambda rows: np.full(len(rows), 0.25), "every row has the score 0.25"),
        (lambda rows: rows[:, 0] * 1e-9, "no row reaches the threshold 0.5"),
    ],
    ids=["constant", "scaled small"],
)
def test_scores_that_no_threshold_divides_are_refused(
    model: ConvertedModel, monkeypatch: pytest.MonkeyPatch, score: Callable[[Any], Any], words: str
) -> None:
    broken = dataclasses.replace(model, source_score=score)
    monkeypatch.setattr("converters.proof.threshold_reach._drawn", lambda converted, training: score(training))
    assert words in refusal(broken, 0.5, known()).message


def test_a_person_may_allow_it_and_the_reason_goes_into_the_manifest(model: ConvertedModel) -> None:
    reach = check_reach(model, 0.999, known(), allowed="a bench without faults")
    assert reach.scores.silent_because == "a bench without faults"
    assert reach.warnings[0].endswith("it never alarms; allowed: a bench without faults")
    needless = check_reach(model, highest(model) - 1e-4, known(), allowed="just in case")
    assert needless.scores.silent_because is None
