"""Which features contribute to a score: known models give known answers."""

import numpy as np
import pytest

from edge_agent.errors import BundleError
from edge_agent.pipeline.explain.attribution import explain
from edge_agent.pipeline.model import MOST_SIGMAS, Baseline

NAMES = ("rms", "kurtosis", "mean")
BASELINE = Baseline(np.array([1.0, 0.0, 5.0]), np.array([0.1, 0.5, 0.0]), "machine")


def linear(weights):
    calls = []

    def score(rows):
        calls.append(rows.shape)
        return (rows @ np.array(weights, np.float32)).astype(np.float32)

    score.calls = calls
    return score


def test_of_a_sum_each_feature_contributes_what_it_adds():
    explanation = explain(np.array([2.0, 3.0, 5.0]), BASELINE, linear([0.5, 0.1, 1.0]), NAMES)
    by_name = {found.feature: found.contribution for found in explanation.contributions}
    assert by_name == pytest.approx({"rms": 0.5, "kurtosis": 0.3, "mean": 0.0}, abs=1e-6)


def test_the_strongest_contribution_comes_first_though_another_is_farther_from_the_baseline():
    explanation = explain(np.array([3.0, 1.0, 5.0]), BASELINE, linear([0.01, 1.0, 0.0]), NAMES)
    assert [found.feature for found in explanation.contributions] == ["kurtosis", "rms", "mean"]
    assert [found.z for found in explanation.contributions] == [2.0, 20.0, 0.0]


def test_one_call_of_the_model_does_for_all_features():
    score = linear([1.0, 1.0, 1.0])
    explain(np.array([2.0, 3.0, 5.0]), BASELINE, score, NAMES)
    assert score.calls == [(4, 3)]


def test_what_lowers_the_score_explains_nothing_before_what_raises_it():
    explanation = explain(np.array([2.0, 9.0, 5.0]), BASELINE, linear([0.1, -1.0, 0.0]), NAMES)
    assert explanation.contributions[0].feature == "rms"


def test_a_feature_that_never_varied_is_told_apart_when_it_does():
    explanation = explain(np.array([1.0, 0.0, 5.5]), BASELINE, linear([0.0, 0.0, 1.0]), NAMES)
    first = explanation.contributions[0]
    assert (first.feature, first.z) == ("mean", MOST_SIGMAS)


def test_a_model_that_fails_leaves_the_farthest_features():
    def refuses(rows):
        raise BundleError("no")

    explanation = explain(np.array([1.1, 5.0, 5.0]), BASELINE, refuses, NAMES)
    assert [(r.feature, r.contribution) for r in explanation.contributions] == [
        ("kurtosis", None),
        ("rms", None),
        ("mean", None),
    ]


def test_an_instant_explains_nothing():
    explanation = explain(np.array([2.0, 9.0, 5.0]), BASELINE, linear([1, 1, 1]), NAMES, beside=frozenset({"kurtosis"}))
    assert "kurtosis" not in {found.feature for found in explanation.contributions}


def test_at_most_so_many_contributions_are_given():
    explanation = explain(np.array([1.42, 0.0, 5.0]), BASELINE, linear([1.0, 0.0, 0.0]), NAMES, most=1)
    assert explanation.against == "machine"
    (found,) = explanation.contributions
    assert (found.feature, found.z, round(found.contribution, 3)) == ("rms", 4.2, 0.42)
