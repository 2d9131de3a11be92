"""Several converted models that look at the same rows as one graph: one input, one line of scores per model.

At one row a call into the runtime costs about as much as a forest of 100 trees, and so do the checks of what it gives;
here both are paid once. No node is shared but the input: each score is bit for bit what its own graph gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from converters.errors import UnsupportedModelError
from converters.graphs.converted import ConvertedModel
from converters.graphs.tree_ensemble import INPUT_NAME, IR_VERSION, ML_OPSET, OPSET, OUTPUT_NAME
from edge_agent.bundles.onnx_runtime import MergedOnnxModel

MERGED_OUTPUT: Final = "scores"


@dataclass(frozen=True, slots=True, eq=False)
class MergedModels:
    """A graph from (n, n_features) to (n_models, n), both float32; line i holds the scores of model `names[i]`."""

    onnx: bytes
    names: tuple[str, ...]
    n_features: int

    def open(self) -> MergedOnnxModel:
        """Return the graph in the runtime. Raises BundleError when it cannot be loaded."""
        return MergedOnnxModel(
            self.onnx, input_name=INPUT_NAME, output_name=MERGED_OUTPUT, names=self.names, n_features=self.n_features
        )


def merge(models: Mapping[str, ConvertedModel]) -> MergedModels:
    """Return one graph of all of them, in this order. Raises UnsupportedModelError when their inputs differ."""
    graphs = {name: onnx.load_from_string(model.onnx).graph for name, model in models.items()}
    widths = {name: graph.input[0].type.tensor_type.shape.dim[1].dim_value for name, graph in graphs.items()}
    if len(set(widths.values())) != 1:
        raise UnsupportedModelError(
            f"models of different inputs cannot be one graph: {widths}", hint="merge models over the same features"
        )
    n_features = next(iter(widths.values()))
    nodes = [node for name, graph in graphs.items() for node in _renamed_nodes(name, graph)]
    lines = [
        helper.make_node("Concat", [_inner(name, OUTPUT_NAME) for name in models], ["in_a_row"], axis=0),
        helper.make_node("Reshape", ["in_a_row", "lines"], [MERGED_OUTPUT]),
    ]
    constants = [_renamed(name, constant) for name, graph in graphs.items() for constant in graph.initializer]
    constants.append(numpy_helper.from_array(np.array([len(models), -1], np.int64), "lines"))
    merged = helper.make_graph(
        [*nodes, *lines],
        "models",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, ["n", n_features])],
        [helper.make_tensor_value_info(MERGED_OUTPUT, TensorProto.FLOAT, [len(models), "n"])],
        constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(merged, opset_imports=opsets, ir_version=IR_VERSION, producer_name="edge-convert")
    onnx.checker.check_model(model, full_check=True)
    return MergedModels(bytes(model.SerializeToString(deterministic=True)), tuple(models), n_features)


def _renamed_nodes(name: str, graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    nodes = []
    for node in graph.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        del copy.input[:], copy.output[:]
        copy.input.extend(_inner(name, tensor) for tensor in node.input)
        copy.output.extend(_inner(name, tensor) for tensor in node.output)
        nodes.append(copy)
    return nodes


def _renamed(name: str, constant: onnx.TensorProto) -> onnx.TensorProto:
    copy = onnx.TensorProto()
    copy.CopyFrom(constant)
    copy.name = _inner(name, constant.name)
    return copy


def _inner(name: str, tensor: str) -> str:
    """The input is common; everything else takes its model's prefix."""
    return tensor if tensor in ("", INPUT_NAME) else f"{name}/{tensor}"
