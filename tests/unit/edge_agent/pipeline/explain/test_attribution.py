"""Which features push a score: known models give known answers."""

import numpy as np
import pytest

from edge_agent.errors import BundleError
from edge_agent.pipeline.explain.attribution import explain
from edge_agent.pipeline.model import MOST_SIGMAS, Usual

NAMES = ("rms", "kurtosis", "mean")
USUAL = Usual(np.array([1.0, 0.0, 5.0]), np.array([0.1, 0.5, 0.0]), "machine")


def linear(weights):
    calls = []

    def score(rows):
        calls.append(rows.shape)
        return (rows @ np.array(weights, np.float32)).astype(np.float32)

    score.calls = calls
    return score


def test_of_a_sum_each_feature_pushes_what_it_adds():
    explanation = explain(np.array([2.0, 3.0, 5.0]), USUAL, linear([0.5, 0.1, 1.0]), NAMES)
    by_name = {reason.feature: reason.push for reason in explanation.reasons}
    assert by_name == pytest.approx({"rms": 0.5, "kurtosis": 0.3, "mean": 0.0}, abs=1e-6)


def test_the_strongest_push_comes_first_though_another_is_farther_from_usual():
    explanation = explain(np.array([3.0, 1.0, 5.0]), USUAL, linear([0.01, 1.0, 0.0]), NAMES)
    assert [reason.feature for reason in explanation.reasons] == ["kurtosis", "rms", "mean"]
    assert [reason.z for reason in explanation.reasons] == [2.0, 20.0, 0.0]


def test_one_call_of_the_model_does_for_all_features():
    score = linear([1.0, 1.0, 1.0])
    explain(np.array([2.0, 3.0, 5.0]), USUAL, score, NAMES)
    assert score.calls == [(4, 3)]


def test_what_lowers_the_score_is_no_reason_before_what_raises_it():
    explanation = explain(np.array([2.0, 9.0, 5.0]), USUAL, linear([0.1, -1.0, 0.0]), NAMES)
    assert explanation.reasons[0].feature == "rms"


def test_a_feature_that_never_varied_is_told_apart_when_it_does():
    explanation = explain(np.array([1.0, 0.0, 5.5]), USUAL, linear([0.0, 0.0, 1.0]), NAMES)
    first = explanation.reasons[0]
    assert (first.feature, first.z) == ("mean", MOST_SIGMAS)


def test_a_model_that_fails_leaves_the_farthest_features():
    def refuses(rows):
        raise BundleError("no")

    explanation = explain(np.array([1.1, 5.0, 5.0]), USUAL, refuses, NAMES)
    assert [(r.feature, r.push) for r in explanation.reasons] == [("kurtosis", None), ("rms", None), ("mean", None)]


def test_an_instant_is_never_a_reason():
    explanation = explain(np.array([2.0, 9.0, 5.0]), USUAL, linear([1, 1, 1]), NAMES, beside=frozenset({"kurtosis"}))
    assert "kurtosis" not in {reason.feature for reason in explanation.reasons}


def test_at_most_so_many_reasons_are_given():
    explanation = explain(np.array([1.42, 0.0, 5.0]), USUAL, linear([1.0, 0.0, 0.0]), NAMES, most=1)
    assert explanation.against == "machine"
    (reason,) = explanation.reasons
    assert (reason.feature, reason.z, round(reason.push, 3)) == ("rms", 4.2, 0.42)
