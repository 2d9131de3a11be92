"""The graph of a support vector machine: matrix products, one function of the kernel, one sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from converters.graphs.tree_ensemble import INPUT_NAME, OUTPUT_NAME, serialised

_FAR: Final = 1e18
"""No float32 square of what is clipped here overflows, and at this distance every RBF kernel is 0 already."""


@dataclass(frozen=True, slots=True, eq=False)
class SupportVectorMachine:
    """sign * (coefficients . kernel(z, vectors) + intercept), z = (x - centre) * slope; then perhaps a sigmoid.

    `platt` are (a, b) of 1 / (1 + exp(-(a * margin + b))), or None.
    """

    kernel: str
    vectors: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    intercept: float
    gamma: float
    coef0: float
    degree: int
    centre: NDArray[np.float64]
    slope: NDArray[np.float64]
    platt: tuple[float, float] | None


_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)


class GraphBuilder:
    """Nodes in order; each call adds one and names its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, values: Any, kind: type[np.number]) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(values, kind).reshape(np.shape(values)), name)
        )
        return name

    def cast(self, name: str, kind: type[np.floating]) -> str:
        return self.node("Cast", name, to=TensorProto.DOUBLE if kind is np.float64 else TensorProto.FLOAT)

    def finish(self, score: str) -> None:
        """Give `score`, of any type, as the graph's output."""
        self.nodes.append(helper.make_node("Cast", [score], [OUTPUT_NAME], to=TensorProto.FLOAT))

    def numbers(self, *values: float) -> str:
        return self.constant(np.array(values), np.float64)


@dataclass(frozen=True, slots=True)
class Precision:
    """Types an RBF kernel's exponent and its exponential are computed in. The sum over the vectors is always float64:
    margins are small differences of sums that are a hundred times larger."""

    exponent: type[np.floating]
    exponential: type[np.floating]


FASTEST_FIRST: Final = (
    Precision(np.float32, np.float32),
    Precision(np.float64, np.float32),
    Precision(np.float64, np.float64),
)
EXACT: Final = FASTEST_FIRST[-1]


def machine_graph(machine: SupportVectorMachine, *, rbf: Precision = EXACT) -> bytes:
    """Return the serialised graph. Kernels other than RBF are computed in float64."""
    build = GraphBuilder()
    margin = _rbf(build, machine, rbf) if machine.kernel == "rbf" else _other(build, machine)
    score = margin if machine.platt is None else _sigmoid(build, margin, machine.platt)
    build.finish(score)
    return serialised(build.nodes, build.constants, machine.vectors.shape[1])


def _other(build: GraphBuilder, machine: SupportVectorMachine) -> str:
    moved = build.node("Sub", build.cast(INPUT_NAME, np.float64), build.constant(machine.centre, np.float64))
    return _OTHERS[machine.kernel](build, machine, moved)


def _rbf(build: GraphBuilder, machine: SupportVectorMachine, precision: Precision) -> str:
    kind = precision.exponent
    if kind is np.float32:
        x = build.node("Clip", INPUT_NAME, *(build.constant(bound, kind) for bound in (-_FAR, _FAR)))
    else:
        x = build.cast(INPUT_NAME, kind)
    exponent = _minus_gamma_distance(build, machine, build.node("Sub", x, build.constant(machine.centre, kind)), kind)
    if kind is not precision.exponential:
        exponent = build.cast(exponent, precision.exponential)
    kernel = build.node("Exp", exponent)
    return _sum(build, machine, kernel if precision.exponential is np.float64 else build.cast(kernel, np.float64))


def _minus_gamma_distance(
    build: GraphBuilder, machine: SupportVectorMachine, moved: str, kind: type[np.floating]
) -> str:
    """-gamma |z - s|^2 for every support vector, (n, n_vectors)."""
    products = machine.vectors * machine.slope * (2.0 * machine.gamma)
    lengths = -machine.gamma * np.sum(machine.vectors**2, axis=1)
    weights = build.constant(-machine.gamma * machine.slope[:, None] ** 2, kind)
    own = build.node("MatMul", build.node("Mul", moved, moved), weights)
    across = build.node("Gemm", moved, build.constant(products.T, kind), build.constant(lengths, kind))
    return build.node("Add", across, own)


def _linear(build: GraphBuilder, machine: SupportVectorMachine, moved: str) -> str:
    weights = (machine.coefficients @ machine.vectors) * machine.slope
    total = build.node("MatMul", moved, build.constant(weights, np.float64))
    return in_float32(build, build.node("Add", total, build.numbers(machine.intercept)))


def _poly(build: GraphBuilder, machine: SupportVectorMachine, moved: str) -> str:
    powers = build.node("Pow", _dot_products(build, machine, moved), build.numbers(machine.degree))
    return in_float32(build, _sum(build, machine, powers))


def _tanh(build: GraphBuilder, machine: SupportVectorMachine, moved: str) -> str:
    return _sum(build, machine, build.node("Tanh", _dot_products(build, machine, moved)))


def _dot_products(build: GraphBuilder, machine: SupportVectorMachine, moved: str) -> str:
    """gamma * z . s + coef0 for every support vector, (n, n_vectors)."""
    products = machine.vectors * machine.slope * machine.gamma
    offsets = np.full(len(products), machine.coef0)
    return build.node("Gemm", moved, build.constant(products.T, np.float64), build.constant(offsets, np.float64))


def _sum(build: GraphBuilder, machine: SupportVectorMachine, kernel: str) -> str:
    """Two plain operators: at one row a product with a float64 matrix is packed again each time and takes longer."""
    weighted = build.node("Mul", kernel, build.constant(machine.coefficients, np.float64))
    columns = build.constant(np.array([1]), np.int64)
    return build.node("Add", build.node("ReduceSum", weighted, columns, keepdims=0), build.numbers(machine.intercept))


def in_float32(build: GraphBuilder, margin: str) -> str:
    """Return the margin kept within float32: these margins grow with the input, and past its range there would be no
    score at all.
    """
    ends = [build.constant(end, np.float64) for end in (-_FLOAT32_MAX, _FLOAT32_MAX)]
    return build.node("Clip", margin, *ends)


def _sigmoid(build: GraphBuilder, margin: str, platt: tuple[float, float]) -> str:
    scaled = build.node("Mul", margin, build.numbers(platt[0]))
    return build.node("Sigmoid", build.node("Add", scaled, build.numbers(platt[1])))


_OTHERS: Final[dict[str, Callable[[GraphBuilder, SupportVectorMachine, str], str]]] = {
    "linear": _linear,
    "poly": _poly,
    "sigmoid": _tanh,
}
KERNELS: Final = ("rbf", *_OTHERS)
