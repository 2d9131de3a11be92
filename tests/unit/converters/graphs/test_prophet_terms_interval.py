"""The computed interval is the one Prophet samples, and the simulated quantile of its own process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from converters.graphs.prophet_terms import SECONDS_PER_DAY, ProphetTerms, half_width, quietly, read_terms
from tests.unit.converters.graphs.test_prophet_graph import fitted

N_PATHS = 40_000


def instants(terms: ProphetTerms, h: float) -> tuple[np.ndarray, np.ndarray]:
    """One instant, `h` histories beyond the last reading."""
    day, second = divmod(terms.start_s + (1.0 + h) * terms.span_s, SECONDS_PER_DAY)
    return np.array([float(day)]), np.array([float(second)])


@pytest.mark.parametrize(
    ("variant", "tolerance"),
    [("linear", 0.03), ("multiplicative", 0.03), ("flat", 0.03), ("both modes and minmax", 0.04), ("logistic", 0.05)],
)
def test_the_width_is_that_of_prophets_samples_over_a_whole_history_ahead(variant: str, tolerance: float):
    model = fitted(variant)
    step = model.history["ds"].diff().iloc[-1]
    ahead = pd.DataFrame({"ds": model.history["ds"].max() + step * np.arange(1, len(model.history))})
    if model.growth == "logistic":
        ahead["cap"] = model.history["cap"].iloc[0]
    with quietly():
        model.uncertainty_samples, np_state = 2_000, np.random.get_state()  # noqa: NPY002 - Prophet draws from it
        np.random.seed(0)  # noqa: NPY002
        sampled = model.predict(ahead)
        np.random.set_state(np_state)  # noqa: NPY002
    since_s = sampled["ds"].to_numpy().astype("datetime64[s]").astype(np.int64)
    days, seconds = (part.astype(np.float64) for part in np.divmod(since_s, SECONDS_PER_DAY))
    ratio = half_width(read_terms(model), days, seconds) / ((sampled["yhat_upper"] - sampled["yhat_lower"]) / 2)
    by_eighth = [part.mean() for part in np.array_split(ratio.to_numpy(), 8)]
    np.testing.assert_allclose(by_eighth, 1.0, atol=tolerance)


@pytest.mark.parametrize("interval_width", [0.8, 0.95])
@pytest.mark.parametrize("change_size", [0.0, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("h", [0.1, 0.5, 2.0])
def test_the_width_is_the_quantile_of_the_simulated_process(interval_width: float, change_size: float, h: float):
    """Change sizes in standard deviations of the noise; 25 changepoints per history, as by default."""
    terms = replace(
        read_terms(fitted("linear")), interval_width=interval_width, changes_per_t=25.0, y_scale=1.0, noise=1.0,
        change_size=change_size,
    )  # fmt: skip
    rng = np.random.default_rng(0)
    changes = rng.poisson(25.0 * h, N_PATHS)
    path = np.repeat(np.arange(N_PATHS), changes)
    moved = rng.laplace(0.0, change_size, changes.sum()) * rng.uniform(0.0, h, changes.sum()) if change_size else None
    trend = np.zeros(N_PATHS) if moved is None else np.bincount(path, weights=moved, minlength=N_PATHS)
    simulated = np.quantile(np.abs(trend + rng.standard_normal(N_PATHS)), interval_width)
    assert half_width(terms, *instants(terms, h))[0] == pytest.approx(simulated, rel=0.04)


def test_the_interval_is_the_same_at_every_call_and_never_narrows_ahead():
    terms = read_terms(fitted("linear"))
    widths = [half_width(terms, *instants(terms, h))[0] for h in (-0.5, 0.0, 0.1, 0.5, 1.0, 10.0, 100.0)]
    assert widths == [half_width(terms, *instants(terms, h))[0] for h in (-0.5, 0.0, 0.1, 0.5, 1.0, 10.0, 100.0)]
    assert widths[0] == widths[1]
    assert widths == sorted(widths)
