"""A Prophet forecast as an ONNX graph over time.

Constraints
- Input float32 (n, 3): day number, second of the day, value (the family tag_forecast). Everything after the first
  cast is float64: a Fourier term over 20,000 days needs it. Outputs float32: yhat, yhat_lower, yhat_upper, and
  score = |value - yhat| / half width of the interval. Over 1 is outside of the interval.
- The operations and their order are Prophet's, so that yhat is its own to the last digits. Only the cosine is a sine a
  quarter turn ahead (an angle of 10^5 moves by 10^-11): onnxruntime has no float64 Cos before 1.29.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converters.graphs.converted import NO_SPLIT_FEATURES, NO_SPLIT_VALUES, ConvertedModel
from converters.graphs.prophet_terms import (
    MAX_KURTOSIS,
    SECONDS_PER_DAY,
    TINY,
    TREND_KURTOSIS,
    ProphetTerms,
    Seasonality,
    half_width,
    predicted,
    read_terms,
)
from converters.graphs.tree_ensemble import INPUT_NAME, IR_VERSION, OPSET, OUTPUT_NAME
from edge_agent.dsp.families.tag_forecast import LAYOUT

FORECAST_OUTPUTS: Final = ("yhat", "yhat_lower", "yhat_upper")
MAX_DIFFERENCE: Final = 1e-5
"""Relative beyond 1. The worst seen is the rounding of a float32 score."""

MAX_SCORE: Final = 1e30
"""A value may be anything a float32 holds, an interval next to nothing; a score stays finite."""


def convert_prophet(model: Any) -> ConvertedModel:
    """Return the graph of a fitted Prophet; its source score takes Prophet's own yhat. Raises UnsupportedModelError."""
    terms = read_terms(model)

    def source_score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        days, seconds, values = rows.T
        score = np.abs(values - predicted(model, days, seconds)) / half_width(terms, days, seconds)
        return np.asarray(np.minimum(score, MAX_SCORE), np.float64)

    return ConvertedModel(
        forecast_graph(terms),
        source_score,
        NO_SPLIT_FEATURES,
        NO_SPLIT_VALUES,
        max_difference=MAX_DIFFERENCE,
        tolerance_band=MAX_DIFFERENCE,
        own_threshold=1.0,
    )


def forecast_graph(terms: ProphetTerms) -> bytes:
    """Return the serialised graph of these numbers."""
    graph = _Graph()
    wide = graph.add("Cast", INPUT_NAME, to=TensorProto.DOUBLE)
    day, second, value = (graph.add("Gather", wide, graph.whole([i]), axis=1) for i in range(len(LAYOUT)))
    t = _scaled_time(graph, terms, day, second)
    trend, exponent = _trend(graph, terms, t)
    days = graph.add("Add", day, graph.add("Div", second, graph.number(SECONDS_PER_DAY)))
    growth = graph.add("Add", graph.number(1.0), _seasonal(graph, terms.multiplicative, days))
    additive = graph.add("Mul", _seasonal(graph, terms.additive, days), graph.number(terms.y_scale))
    yhat = graph.add("Add", graph.add("Mul", trend, growth), additive)
    half = _half_width(graph, terms, t, graph.add("Mul", growth, growth), exponent)
    edges = graph.add("Sub", yhat, half), graph.add("Add", yhat, half)
    off = graph.add("Abs", graph.add("Sub", value, yhat))
    score = graph.add("Min", graph.add("Div", off, half), graph.number(MAX_SCORE))
    for name, output in zip((*FORECAST_OUTPUTS, OUTPUT_NAME), (yhat, *edges, score), strict=True):
        graph.output(name, output)
    return graph.serialised(len(LAYOUT))


def _scaled_time(graph: _Graph, terms: ProphetTerms, day: str, second: str) -> str:
    """t. Days and seconds since the start are whole numbers: nothing is lost before the division."""
    start_day, start_second = divmod(terms.start_s, SECONDS_PER_DAY)
    days = graph.add("Mul", graph.add("Sub", day, graph.number(start_day)), graph.number(SECONDS_PER_DAY))
    since = graph.add("Add", days, graph.add("Sub", second, graph.number(start_second)))
    return graph.add("Div", since, graph.number(terms.span_s))


def _trend(graph: _Graph, terms: ProphetTerms, t: str) -> tuple[str, str]:
    """The trend in the reading's unit, and the curve before scaling (the exponent when the growth is logistic)."""
    offset = graph.number(terms.offset)
    if terms.growth == "flat":
        curve = shape = graph.add("Add", graph.add("Mul", t, graph.number(0.0)), offset)
    else:
        passed = graph.add("GreaterOrEqual", t, graph.constant(terms.changepoints[np.newaxis]))
        passed = graph.add("Cast", passed, to=TensorProto.DOUBLE)
        slope = graph.add("Add", _weighted(graph, passed, terms.rate_changes), graph.number(terms.rate))
        moved = graph.add("Add", _weighted(graph, passed, terms.offset_changes), offset)
        if terms.capacity is None:
            curve = shape = graph.add("Add", graph.add("Mul", slope, t), moved)
        else:
            shape = graph.add("Mul", slope, graph.add("Sub", t, moved))
            curve = _saturated(graph, terms.capacity, shape)
    scaled = graph.add("Mul", curve, graph.number(terms.y_scale))
    return graph.add("Add", scaled, graph.number(terms.floor)), shape


def _saturated(graph: _Graph, capacity: float, exponent: str) -> str:
    """capacity / (1 + exp(-exponent)); beyond float64's range exp is infinity and the quotient 0."""
    below = graph.add("Add", graph.number(1.0), graph.add("Exp", graph.add("Neg", exponent)))
    return graph.add("Div", graph.number(capacity), below)


def _seasonal(graph: _Graph, seasonality: Seasonality, days: str) -> str:
    """Sum of the Fourier terms at days since 1970, with Prophet's (order / period) (2 pi days)."""
    if not len(seasonality.rates):
        return graph.add("Mul", days, graph.number(0.0))
    turn = graph.add("Mul", days, graph.number(2.0 * np.pi))
    angle = graph.add("Mul", turn, graph.constant(seasonality.rates[np.newaxis]))
    sines = _weighted(graph, graph.add("Sin", angle), seasonality.sines)
    ahead = graph.add("Add", angle, graph.number(np.pi / 2.0))
    return graph.add("Add", sines, _weighted(graph, graph.add("Sin", ahead), seasonality.cosines))


def _half_width(graph: _Graph, terms: ProphetTerms, t: str, growth2: str, exponent: str) -> str:
    """See `converters.graphs.prophet_terms.half_width` for the derivation."""
    h = graph.add("Max", graph.add("Sub", t, graph.number(1.0)), graph.number(0.0))
    h3 = graph.add("Mul", graph.add("Mul", h, h), h)
    h5 = graph.add("Mul", graph.add("Mul", h3, h), h)
    k2 = graph.add("Mul", h3, graph.number(2.0 / 3.0 * terms.changes_per_t * terms.change_size**2))
    k4 = graph.add("Mul", h5, graph.number(24.0 / 5.0 * terms.changes_per_t * terms.change_size**4))
    y_scale = graph.number(terms.y_scale)
    if terms.capacity is None:
        noise2 = graph.number(terms.noise**2)
        variance = graph.add("Add", noise2, graph.add("Mul", growth2, k2))
        fourth = graph.add("Mul", graph.add("Mul", growth2, growth2), k4)
        kurtosis = graph.add("Div", fourth, graph.add("Mul", variance, variance))
        width = graph.add("Mul", _quantile(graph, terms.z, kurtosis), graph.add("Sqrt", variance))
        return graph.add("Mul", width, y_scale)
    per_h = graph.number(TREND_KURTOSIS / terms.changes_per_t)
    kurtosis = graph.add("Div", per_h, graph.add("Max", h, graph.number(TINY)))
    shift = graph.add("Mul", _quantile(graph, terms.z, kurtosis), graph.add("Sqrt", k2))
    upper, lower = (_saturated(graph, terms.capacity, graph.add(step, exponent, shift)) for step in ("Add", "Sub"))
    spread = graph.add("Mul", graph.add("Sub", upper, lower), graph.number(0.5))
    noise2 = graph.number((terms.z * terms.noise) ** 2)
    both = graph.add("Add", noise2, graph.add("Mul", growth2, graph.add("Mul", spread, spread)))
    return graph.add("Mul", graph.add("Sqrt", both), y_scale)


def _quantile(graph: _Graph, z: float, kurtosis: str) -> str:
    bounded = graph.add("Min", kurtosis, graph.number(MAX_KURTOSIS))
    return graph.add("Add", graph.number(z), graph.add("Mul", bounded, graph.number((z**3 - 3.0 * z) / 24.0)))


def _weighted(graph: _Graph, matrix: str, weights: NDArray[np.float64]) -> str:
    return graph.add("MatMul", matrix, graph.constant(weights[:, np.newaxis]))


class _Graph:
    """Nodes and constants as they are written down; a node's name is its output's."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float64))

    def whole(self, values: list[int]) -> str:
        return self.constant(np.array(values, np.int64))

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(values, name))
        return name

    def output(self, name: str, column: str) -> None:
        """Return a float64 (n, 1) column as the float32 (n,) output `name`."""
        flat = self.add("Reshape", column, self.whole([-1]))
        self._nodes.append(helper.make_node("Cast", [flat], [name], to=TensorProto.FLOAT))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]))

    def serialised(self, n_features: int) -> bytes:
        inputs = [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", n_features])]
        graph = helper.make_graph(self._nodes, "model", inputs, self._outputs, self._constants)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edge-convert")
        onnx.checker.check_model(model, full_check=True)
        return bytes(model.SerializeToString(deterministic=True))
