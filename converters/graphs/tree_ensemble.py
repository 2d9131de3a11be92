"""Trees behind scalers as one ai.onnx.ml TreeEnsembleRegressor over raw features.

Constraints
- For every float32 input each row reaches the very leaf it reaches in its source. There the scalers work in
  float64, scikit-learn rounds their result to float32 (LightGBM takes what is next to zero for zero), and it is
  compared with a float64 threshold; each split here holds the largest float32 that passes that comparison, found by
  bisection over the ordered float32 numbers.
- Leaf weights are summed over trees; what the sum means is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from converters.errors import UnsupportedModelError
from converters.graphs.scaling import Scaling

INPUT_NAME: Final = "features"
OUTPUT_NAME: Final = "score"
OPSET: Final = 17
ML_OPSET: Final = 3
IR_VERSION: Final = 8

_NO_CHILD: Final = -1


AsCompared = Callable[[NDArray[np.float64]], NDArray[np.floating]]


def as_float32(values: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the values as scikit-learn compares them."""
    with np.errstate(over="ignore"):  # beyond float32's range is infinity, which is above any threshold
        return values.astype(np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Tree:
    """One tree as arrays with one entry per node. Left when the scaled value is at most the threshold.

    `left` and `right` are node numbers, -1 at leaves; `feature` numbers columns of the raw rows; `weight` counts at
    leaves only. Raises UnsupportedModelError for a tree that leads back or out of itself: its source would follow it
    there, in C.
    """

    left: NDArray[np.int64]
    right: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    weight: NDArray[np.float64]

    def __post_init__(self) -> None:
        number = np.arange(len(self.left))
        is_split = self.left != _NO_CHILD
        children = np.stack([self.left, self.right])[:, is_split]
        if (children <= number[is_split]).any() or (children >= len(number)).any() or (self.feature < 0).any():
            raise _astray("leads out of itself")


def _astray(what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"a tree of this model {what}: the file was damaged or changed", hint="save the model again"
    )


def sklearn_tree(tree: Any, columns: NDArray[np.int64], weight: NDArray[np.float64]) -> Tree:
    """Return the tree of a scikit-learn `tree_`; `columns` maps its feature numbers to columns."""
    is_leaf = tree.children_left == _NO_CHILD
    own = np.where(is_leaf, 0, tree.feature)
    if (own < 0).any() or (own >= len(columns)).any():
        raise _astray("asks for a feature it does not have")
    feature = np.where(is_leaf, 0, columns[own])
    return Tree(tree.children_left, tree.children_right, feature, tree.threshold, weight)


@dataclass(slots=True)
class _Nodes:
    """The operator's attribute lists, one entry per node, then one entry per leaf."""

    tree_ids: list[int] = field(default_factory=list)
    node_ids: list[int] = field(default_factory=list)
    feature_ids: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    modes: list[str] = field(default_factory=list)
    true_ids: list[int] = field(default_factory=list)
    false_ids: list[int] = field(default_factory=list)
    leaf_tree_ids: list[int] = field(default_factory=list)
    leaf_node_ids: list[int] = field(default_factory=list)
    leaf_weights: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class FoldedTrees:
    """The operator, and every split it holds: pairs of feature index and float32 threshold, in raw units."""

    node: onnx.NodeProto
    split_features: NDArray[np.int64]
    split_values: NDArray[np.float32]


def fold(trees: Sequence[Tree], scaling: Scaling, *, as_compared: AsCompared = as_float32) -> FoldedTrees:
    """Return all trees as one operator from INPUT_NAME to "sum" (n, 1).

    `as_compared` is what the source makes of a scaled value before it compares it; it must not decrease.
    """
    nodes = _Nodes()
    for index, tree in enumerate(trees):
        if (tree.feature >= scaling.n_features).any():
            raise _astray("asks for a feature it does not have")
        _append(nodes, index, tree, scaling, as_compared)
    is_split = np.array([mode == "BRANCH_LEQ" for mode in nodes.modes])
    features = np.array(nodes.feature_ids, np.int64)[is_split]
    return FoldedTrees(_operator(nodes), features, np.array(nodes.values, np.float32)[is_split])


def build_model(trees: FoldedTrees, tail: Sequence[onnx.NodeProto], constants: Sequence[Any], n_features: int) -> bytes:
    """Return the serialised graph: trees, then `tail`, which must turn "sum" (n, 1) into OUTPUT_NAME (n,)."""
    return serialised([trees.node, *tail], constants, n_features)


def serialised(nodes: Sequence[onnx.NodeProto], constants: Sequence[Any], n_features: int) -> bytes:
    """Return a checked graph from INPUT_NAME (n, n_features) to OUTPUT_NAME (n,), both float32.

    Same content, same bytes.
    """
    graph = helper.make_graph(
        list(nodes),
        "model",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", n_features])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, ["n"])],
        list(constants),
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edge-convert")
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def folded_thresholds(
    thresholds: NDArray[np.float64],
    scaled: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    as_compared: AsCompared = as_float32,
) -> NDArray[np.float32]:
    """Return the largest float32 x with as_compared(scaled(x)) <= threshold, elementwise; -infinity when there is none.

    The left side never falls as x grows (each of its roundings is monotone), so bisection is exact.
    """
    top = np.array(np.finfo(np.float32).max, np.float32)
    low = np.full(thresholds.shape, _ordinal(-top) - 1, np.int64)  # -infinity, which no row holds
    high = np.full(thresholds.shape, _ordinal(top) + 1, np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        x = _from_ordinal(middle).astype(np.float64)
        goes_left = as_compared(scaled(x)) <= thresholds
        low = np.where(goes_left, middle, low)
        high = np.where(goes_left, high, middle)
    return _from_ordinal(low)


def _ordinal(x: NDArray[np.float32]) -> NDArray[np.int64]:
    """Position of a float32 among all of them: neighbours differ by one, both zeros are 0."""
    bits = x.view(np.int32).astype(np.int64)
    return np.where(bits < 0, -(bits & 0x7FFFFFFF), bits)


def _from_ordinal(position: NDArray[np.int64]) -> NDArray[np.float32]:
    magnitude = np.abs(position).astype(np.int32).view(np.float32)
    return np.where(position < 0, -magnitude, magnitude)


def _append(nodes: _Nodes, index: int, tree: Tree, scaling: Scaling, as_compared: AsCompared) -> None:
    is_leaf = tree.left == _NO_CHILD
    n_nodes = len(tree.left)
    feature = np.where(is_leaf, 0, tree.feature)
    values = np.zeros(n_nodes, np.float32)
    splits = feature[~is_leaf]
    values[~is_leaf] = folded_thresholds(
        tree.threshold[~is_leaf], lambda x: scaling.of_columns(x, splits), as_compared=as_compared
    )
    nodes.tree_ids += [index] * n_nodes
    nodes.node_ids += range(n_nodes)
    nodes.feature_ids += feature.tolist()
    nodes.values += values.tolist()
    nodes.modes += ["LEAF" if leaf else "BRANCH_LEQ" for leaf in is_leaf]
    nodes.true_ids += np.where(is_leaf, 0, tree.left).tolist()
    nodes.false_ids += np.where(is_leaf, 0, tree.right).tolist()
    leaves = np.flatnonzero(is_leaf)
    nodes.leaf_tree_ids += [index] * len(leaves)
    nodes.leaf_node_ids += leaves.tolist()
    nodes.leaf_weights += tree.weight[leaves].tolist()


def _operator(nodes: _Nodes) -> onnx.NodeProto:
    return helper.make_node(
        "TreeEnsembleRegressor",
        [INPUT_NAME],
        ["sum"],
        domain="ai.onnx.ml",
        n_targets=1,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=nodes.tree_ids,
        nodes_nodeids=nodes.node_ids,
        nodes_featureids=nodes.feature_ids,
        nodes_values=nodes.values,
        nodes_modes=nodes.modes,
        nodes_truenodeids=nodes.true_ids,
        nodes_falsenodeids=nodes.false_ids,
        target_treeids=nodes.leaf_tree_ids,
        target_nodeids=nodes.leaf_node_ids,
        target_ids=[0] * len(nodes.leaf_tree_ids),
        target_weights=nodes.leaf_weights,
    )
