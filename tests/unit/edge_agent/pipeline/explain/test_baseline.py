"""A machine's own baseline: robust, bounded, and only from what was learned."""

import json

import numpy as np

from edge_agent.pipeline.explain.baseline import ENOUGH, FULL, LearnedBaseline
from edge_agent.pipeline.model import Baseline

FEATURES = ("rms", "kurtosis")
TRAINING = Baseline(np.array([9.0, 9.0]), np.array([1.0, 1.0]), "training")


def baseline() -> LearnedBaseline:
    return LearnedBaseline(FEATURES, training=TRAINING)


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(4).normal([1.0, 0.0], [0.1, 0.5], (n, 2))


def taught(n: int) -> LearnedBaseline:
    own = baseline()
    for row in rows(n):
        own.learn(row)
    return own


def test_until_enough_is_learned_the_training_data_is_the_fallback():
    assert taught(ENOUGH - 1).current is TRAINING
    assert taught(ENOUGH).current.of == "machine"


def test_a_feature_that_mostly_rests_has_the_spread_of_when_it_does_not():
    own = baseline()
    for i in range(ENOUGH):
        own.learn(np.array([30.0 if i % 4 else 36.0, 1.0]))
    assert own.current.centre[0] == 30.0
    np.testing.assert_allclose(own.current.spread, [6.0 * np.sqrt(3 / 16), 0.0])


def test_it_learns_median_and_spread():
    own = taught(FULL)
    np.testing.assert_allclose(own.current.centre, [1.0, 0.0], atol=0.05)
    np.testing.assert_allclose(own.current.spread, [0.1, 0.5], rtol=0.15)


def test_a_few_wild_reports_do_not_move_it():
    own = taught(100)
    for _ in range(10):
        own.learn(np.array([50.0, 50.0]))
    np.testing.assert_allclose(own.current.centre, [1.0, 0.0], atol=0.2)


def test_once_full_a_slow_fault_does_not_move_the_yardstick():
    own = taught(FULL)
    before = own.current.centre.copy()
    for _ in range(FULL):
        own.learn(np.array([3.0, 3.0]))
    np.testing.assert_array_equal(own.current.centre, before)
    assert own.count == FULL


def test_a_restart_of_the_agent_forgets_nothing():
    own, again = taught(100), baseline()
    assert again.restore(json.loads(json.dumps(own.document())))
    np.testing.assert_array_equal(again.current.centre, own.current.centre)
    assert again.count == 100


def test_what_was_learned_of_other_features_or_is_damaged_is_not_taken():
    own = baseline()
    assert not own.restore({"features": ["rms", "mean"], "rows": rows(100).tolist()})
    assert not own.restore({"features": list(FEATURES), "rows": [[1.0], [2.0, 3.0]]})
    assert not own.restore({"features": list(FEATURES), "rows": [[1.0, None]]})
    assert not own.restore({"rows": []})
    assert own.current is TRAINING


def test_after_a_repair_it_is_learned_again():
    own = taught(FULL)
    own.restart()
    assert (own.count, own.current) == (0, TRAINING)
