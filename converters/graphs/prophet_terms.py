"""A fitted Prophet as numbers: what its forecast is made of, and how wide its interval is.

Constraints
- What has no graph here is refused by name: holidays, extra regressors, seasonalities under a condition, posterior
  samples (mcmc_samples > 0), a capacity or floor that changes in time.
- Prophet samples its interval again at every call. Here it is computed: the same model, no dice (see `half_width`).
- Times are UTC; Prophet knows no zones, so the model must have been fitted on UTC.

S. J. Taylor, B. Letham, "Forecasting at scale", The American Statistician 72(1), 2018: the trend, its future
changepoints, and the Fourier seasonalities.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from converters.errors import ModelFileError, UnsupportedModelError

SECONDS_PER_DAY: Final = 86_400
MAX_KURTOSIS: Final = 6.0
"""Twice that of a single Laplace step: beyond it the correction of the quantile is no longer a small one."""

TREND_KURTOSIS: Final = 10.8
"""k4 / k2^2 of the trend alone, times S h: (24/5) / (2/3)^2."""

TINY: Final = float(np.finfo(np.float64).tiny)
"""Keeps a quotient finite where there is no future yet."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Seasonality:
    """`rates[i]` is the i-th Fourier term's cycles per day; `sines`, `cosines` are its weights."""

    rates: Numbers
    sines: Numbers
    cosines: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class ProphetTerms:
    """A forecast in Prophet's own scale: t is 0 at the first and 1 at the last reading it was fitted on.

    yhat = (trend(t) y_scale + floor) (1 + multiplicative) + additive y_scale. `capacity` is None unless the growth is
    logistic. `changes_per_t` and `change_size` describe the changepoints to come (rate, mean |slope change|).
    `interval_width` is the share of readings the interval should hold, 0..1.
    """

    growth: str
    start_s: float
    span_s: float
    rate: float
    offset: float
    changepoints: Numbers
    rate_changes: Numbers
    offset_changes: Numbers
    capacity: float | None
    floor: float
    y_scale: float
    additive: Seasonality
    multiplicative: Seasonality
    noise: float
    changes_per_t: float
    change_size: float
    interval_width: float

    @property
    def z(self) -> float:
        """Return the normal quantile of the interval's upper edge."""
        return NormalDist().inv_cdf((1.0 + self.interval_width) / 2.0)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence what pandas deprecates under Prophet; what it means for its authors is no news for ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        yield


def prophet_library() -> Any:
    """Return the package, imported when it is needed: it brings pandas, Stan and matplotlib.

    It says on stderr that it cannot draw, and Stan that a fit began and ended; neither is news.
    """
    logging.getLogger("prophet.plot").setLevel(logging.CRITICAL)
    import prophet
    import prophet.serialize

    stan = logging.getLogger("cmdstanpy")
    stan.addHandler(logging.NullHandler())  # without one it brings its own, and its own level
    stan.setLevel(logging.WARNING)
    return prophet


def load_prophet(text: str) -> Any:
    """Return a Prophet from its own JSON (`prophet.serialize.model_to_json`). Raises ModelFileError."""
    library = prophet_library()
    try:
        with quietly():
            return library.serialize.model_from_json(text)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelFileError(
            f"this is not a serialised Prophet model: {type(exc).__name__}: {exc}",
            hint="write it with prophet.serialize.model_to_json",
        ) from exc


def read_terms(model: Any) -> ProphetTerms:
    """Return the numbers of a fitted Prophet. Raises UnsupportedModelError, naming what has no graph here."""
    _check(model)
    rates = np.asarray(model.params["delta"], np.float64)[0]
    changepoints = np.asarray(model.changepoints_t, np.float64)
    rate, offset = float(model.params["k"][0, 0]), float(model.params["m"][0, 0])
    floor = _floor(model)
    additive, multiplicative = _seasonalities(model)
    return ProphetTerms(
        growth=model.growth,
        start_s=model.start.timestamp(),
        span_s=model.t_scale.total_seconds(),
        rate=rate,
        offset=offset,
        changepoints=changepoints,
        rate_changes=rates,
        offset_changes=_offset_changes(model.growth, rate, offset, rates, changepoints),
        capacity=_capacity(model, floor),
        floor=floor,
        y_scale=float(model.y_scale),
        additive=additive,
        multiplicative=multiplicative,
        noise=float(model.params["sigma_obs"][0, 0]),
        changes_per_t=0.0 if model.growth == "flat" else float(len(changepoints)),
        change_size=float(np.mean(np.abs(rates))) + 1e-8,  # Prophet's own guard against a width of nothing
        interval_width=float(model.interval_width),
    )


def predicted(model: Any, days: Numbers, seconds: Numbers) -> Numbers:
    """Return Prophet's own yhat at these instants, in their order."""
    import pandas as pd

    plain = copy.copy(model)
    plain.uncertainty_samples = 0
    order = np.lexsort((seconds, days))  # Prophet answers in the order of time
    since_s = days.astype(np.int64) * SECONDS_PER_DAY + seconds.astype(np.int64)
    frame = pd.DataFrame({"ds": since_s[order].astype("datetime64[s]")})
    if model.growth == "logistic":
        frame["cap"] = model.history["cap"].iloc[0]
        if model.logistic_floor:
            frame["floor"] = model.history["floor"].iloc[0]
    with quietly(), np.errstate(over="ignore"):  # a logistic exponent of years ago; its limit is right
        yhat = plain.predict(frame)["yhat"].to_numpy(np.float64)
    back = np.empty_like(yhat)
    back[order] = yhat
    return np.asarray(back, np.float64)


def half_width(terms: ProphetTerms, days: Numbers, seconds: Numbers) -> Numbers:
    """Return half of the interval around yhat, in the reading's unit, float64 like the instants' shape.

    Prophet's future: changepoints come as a Poisson process of rate S, each changes the slope by a Laplace number of
    scale l, and readings scatter normally around the curve with deviation sigma. The trend at h beyond the history is
    off by the sum of (change) (time since that change), a compound Poisson number with the cumulants

        k2 = S E[d^2] h^3 / 3 = 2/3 S l^2 h^3,    k4 = S E[d^4] h^5 / 5 = 24/5 S l^4 h^5,

    which a multiplicative seasonality scales by g = 1 + m: V = sigma^2 + g^2 k2, kurtosis c = g^4 k4 / V^2. These are
    exact. The approximation is the quantile: normal, corrected for the kurtosis (Cornish, Fisher 1938, first even
    term): w = z + (z^3 - 3 z) c / 24 with c <= MAX_KURTOSIS, half width = w sqrt(V). Against a simulation of that
    process it is within 2 % of the true quantile, and within 11 % where the changes drown the noise at once (at 80 %
    and 95 %, S = 25, h from 0.02 to 20).

    Logistic growth: the exponent is off by the same number, so the trend's edges are those of the curve with the
    exponent moved by w sqrt(k2) both ways, and half their distance adds to the noise in quadrature.
    """
    t = ((days * SECONDS_PER_DAY + seconds) - terms.start_s) / terms.span_s
    h = np.maximum(t - 1.0, 0.0)
    k2 = 2.0 / 3.0 * terms.changes_per_t * terms.change_size**2 * h**3
    k4 = 24.0 / 5.0 * terms.changes_per_t * terms.change_size**4 * h**5
    g2 = (1.0 + _seasonal(terms.multiplicative, days, seconds)) ** 2
    if terms.capacity is None:
        variance = terms.noise**2 + g2 * k2
        width = _quantile(terms.z, g2**2 * k4 / variance**2) * np.sqrt(variance)
        return np.asarray(terms.y_scale * width, np.float64)
    exponent = _slope(terms, t) * (t - _offset(terms, t))
    shift = _quantile(terms.z, TREND_KURTOSIS / terms.changes_per_t / np.maximum(h, TINY)) * np.sqrt(k2)
    edges = [terms.capacity / (1.0 + np.exp(-np.clip(exponent + s, -700, 700))) for s in (-shift, shift)]
    spread = 0.5 * (edges[1] - edges[0])
    return np.asarray(terms.y_scale * np.sqrt((terms.z * terms.noise) ** 2 + g2 * spread**2), np.float64)


def _quantile(z: float, kurtosis: Numbers) -> Numbers:
    return z + (z**3 - 3.0 * z) / 24.0 * np.minimum(kurtosis, MAX_KURTOSIS)


def _slope(terms: ProphetTerms, t: Numbers) -> Numbers:
    return terms.rate + (t[..., np.newaxis] >= terms.changepoints) @ terms.rate_changes


def _offset(terms: ProphetTerms, t: Numbers) -> Numbers:
    return terms.offset + (t[..., np.newaxis] >= terms.changepoints) @ terms.offset_changes


def _seasonal(seasonality: Seasonality, days: Numbers, seconds: Numbers) -> Numbers:
    angle = 2.0 * np.pi * (days + seconds / SECONDS_PER_DAY)[..., np.newaxis] * seasonality.rates
    return np.asarray(np.sin(angle) @ seasonality.sines + np.cos(angle) @ seasonality.cosines, np.float64)


def _check(model: Any) -> None:
    if model.history is None or not model.params:
        raise UnsupportedModelError("this Prophet is not fitted", hint="call fit before converting it")
    if model.extra_regressors:
        raise UnsupportedModelError(
            f"this Prophet has extra regressors ({', '.join(model.extra_regressors)}); only time has a graph here",
            hint="fit it without them, or forecast with lags (tag_history)",
        )
    if model.train_holiday_names is not None or model.holidays is not None or model.country_holidays is not None:
        raise UnsupportedModelError("this Prophet knows holidays, which have no graph here", hint="fit it without")
    under_condition = [name for name, props in model.seasonalities.items() if props["condition_name"] is not None]
    if under_condition:
        raise UnsupportedModelError(
            f"the seasonality {under_condition[0]} holds under a condition, which has no graph here",
            hint="fit it without condition_name",
        )
    if len(model.params["k"]) != 1:
        raise UnsupportedModelError(
            f"this Prophet holds {len(model.params['k'])} posterior samples; a graph holds one set of numbers",
            hint="fit it with mcmc_samples=0",
        )
    if model.growth not in ("linear", "logistic", "flat"):
        raise UnsupportedModelError(f"the growth {model.growth!r} has no graph here", hint="linear, logistic or flat")


def _floor(model: Any) -> float:
    if model.logistic_floor:
        return _constant(model, "floor")
    return 0.0 if model.scaling == "absmax" else float(model.y_min)


def _capacity(model: Any, floor: float) -> float | None:
    return (_constant(model, "cap") - floor) / float(model.y_scale) if model.growth == "logistic" else None


def _constant(model: Any, column: str) -> float:
    values = np.unique(model.history[column].to_numpy(np.float64))
    if len(values) != 1:
        raise UnsupportedModelError(f"this Prophet's {column} changes in time; the graph knows none of what is to come")
    return float(values[0])


def _offset_changes(growth: str, rate: float, offset: float, rates: Numbers, changepoints: Numbers) -> Numbers:
    """What each changepoint adds to the offset, so that the curve stays in one piece."""
    if growth != "logistic":
        return -rates * changepoints
    before = rate + np.concatenate([[0.0], np.cumsum(rates)])
    changes = np.zeros(len(changepoints))
    for i, at in enumerate(changepoints):
        changes[i] = (at - offset - changes.sum()) * (1.0 - before[i] / before[i + 1])
    return changes


def _seasonalities(model: Any) -> tuple[Seasonality, Seasonality]:
    """All additive and all multiplicative terms, each as one list."""
    weights = np.asarray(model.params["beta"], np.float64)[0]
    terms: dict[str, list[tuple[float, float, float]]] = {"additive": [], "multiplicative": []}
    at = 0
    for props in model.seasonalities.values():
        for order in range(1, props["fourier_order"] + 1):
            terms[props["mode"]].append((order / props["period"], weights[at], weights[at + 1]))
            at += 2
    additive, multiplicative = (np.array(part, np.float64).reshape(-1, 3).T for part in terms.values())
    return Seasonality(*additive), Seasonality(*multiplicative)
