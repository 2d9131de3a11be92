"""The runtime takes what the graph was built for, and nothing leaves it but our errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.errors import BundleError, SignalError
from tests.support.bundle_workshop import AI4I, SHIPPED, VIBRATION

GRAPH = SHIPPED / VIBRATION / "1.0.0" / "model.onnx"


@pytest.fixture(scope="module")
def model() -> OnnxModel:
    return OnnxModel(GRAPH, input_name="features", output_name="score", n_features=10)


def test_scores_of_rows_are_float32_between_zero_and_one(model: OnnxModel) -> None:
    rows = np.random.default_rng(0).standard_normal((33, 10)).astype(np.float32)
    scores = model.score(rows)
    assert scores.dtype == np.float32
    assert scores.shape == (33,)
    assert ((scores > 0) & (scores < 1)).all()


def test_score_of_a_row_does_not_depend_on_its_neighbours(model: OnnxModel) -> None:
    rows = np.random.default_rng(1).standard_normal((64, 10)).astype(np.float32)
    one_by_one = np.concatenate([model.score(rows[i : i + 1]) for i in range(len(rows))])
    np.testing.assert_allclose(model.score(rows), one_by_one, rtol=0, atol=2e-7)


def test_no_rows_have_no_scores(model: OnnxModel) -> None:
    assert model.score(np.empty((0, 10), np.float32)).shape == (0,)


@pytest.mark.parametrize("shape", [(1, 9), (1, 11), (10,), (1, 1, 10)])
def test_rows_of_another_width_are_refused(model: OnnxModel, shape: tuple[int, ...]) -> None:
    with pytest.raises(BundleError, match="rows of 10 features"):
        model.score(np.zeros(shape, np.float32))


def test_float64_rows_are_refused(model: OnnxModel) -> None:
    with pytest.raises(BundleError, match="float32, not float64"):
        model.score(np.zeros((1, 10)))  # type: ignore[arg-type]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_row_with_a_value_that_is_not_finite_is_not_scored(model: OnnxModel, bad: float) -> None:
    rows = np.zeros((3, 10), np.float32)
    rows[1, 4] = bad
    with pytest.raises(SignalError, match="feature 4 of row 1 is not finite"):
        model.score(rows)


@pytest.mark.parametrize("value", [np.finfo(np.float32).max, -np.finfo(np.float32).max, 1e20, 1e-45])
def test_finite_value_is_scored_however_large_or_small(model: OnnxModel, value: float) -> None:
    """The quick look squares what it sees, and that overflows here; such a row is still finite."""
    rows = np.full((3, 10), value, np.float32)
    assert np.isfinite(model.score(rows)).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("shape", [(1, 10), (40, 10)])
def test_no_value_that_is_not_finite_hides_among_others(model: OnnxModel, bad: float, shape: tuple[int, int]) -> None:
    for row in range(0, shape[0], 13):
        for feature in range(shape[1]):
            rows = np.full(shape, 1e19, np.float32)
            rows[row, feature] = bad
            rows[row, (feature + 1) % 10] = -bad
            first = min(feature, (feature + 1) % 10)
            with pytest.raises(SignalError, match=f"feature {first} of row {row} is not finite"):
                model.score(rows)


def test_rows_that_are_a_view_with_strides_are_scored_as_their_copy(model: OnnxModel) -> None:
    wide = np.random.default_rng(2).standard_normal((20, 30)).astype(np.float32)
    view = wide[::2, ::3]
    np.testing.assert_array_equal(model.score(view), model.score(np.ascontiguousarray(view)))


def scaled_graph(factor: float, *, kind: int = onnx.TensorProto.FLOAT, keepdims: int = 0) -> bytes:
    """factor * sum of a row, in type `kind`."""
    nodes = [
        onnx.helper.make_node("ReduceSum", ["features", "axes"], ["sum"], keepdims=keepdims),
        onnx.helper.make_node("Mul", ["sum", "factor"], ["product"]),
        onnx.helper.make_node("Cast", ["product"], ["score"], to=kind),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.array([1], np.int64), "axes"),
        onnx.numpy_helper.from_array(np.array(factor, np.float32), "factor"),
    ]
    takes = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["n", 10])
    gives = onnx.helper.make_tensor_value_info("score", kind, None)
    graph = onnx.helper.make_graph(nodes, "scaled", [takes], [gives], constants)
    opsets = [onnx.helper.make_opsetid("", 17)]
    return bytes(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


@pytest.mark.parametrize("n", [1, 5])
@pytest.mark.parametrize(
    ("graph", "words"),
    [
        (scaled_graph(1e38), "a score that is not finite"),
        (scaled_graph(1.0, kind=onnx.TensorProto.DOUBLE), "gave float64, not float32"),
        (scaled_graph(1.0, keepdims=1), r"scores of shape \(\d, 1\), not"),
    ],
)
def test_score_that_is_none_is_refused(graph: bytes, words: str, n: int) -> None:
    model = OnnxModel(graph, input_name="features", output_name="score", n_features=10)
    with pytest.raises(BundleError, match=words):
        model.score(np.full((n, 10), 3.0, np.float32))


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_graph_is_a_bundle_error(share: float) -> None:
    content = GRAPH.read_bytes()
    with pytest.raises(BundleError):
        OnnxModel(content[: int(share * len(content))], input_name="features", output_name="score", n_features=10)


@pytest.mark.parametrize("content", [b"not a graph", bytes(1000), b"\xff" * 5000])
def test_file_that_is_no_graph_is_a_bundle_error(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded"):
        OnnxModel(content, input_name="features", output_name="score", n_features=10)


def test_graph_for_a_newer_runtime_is_refused_in_words_for_a_technician() -> None:
    graph = onnx.load_from_string(GRAPH.read_bytes())
    graph.opset_import[0].version = 99
    with pytest.raises(BundleError, match="Opset 99 is under development") as refusal:
        OnnxModel(graph.SerializeToString(), input_name="features", output_name="score", n_features=10)
    assert "onnxruntime_src" not in refusal.value.message
    assert "std::" not in refusal.value.message
    assert "build the bundle again" in (refusal.value.hint or "")


def test_missing_graph_file_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"model\.onnx cannot be loaded"):
        OnnxModel(tmp_path / "model.onnx", input_name="features", output_name="score", n_features=10)


@pytest.mark.parametrize(("input_name", "output_name"), [("X", "score"), ("features", "label")])
def test_graph_with_other_names_than_the_manifest_says_is_refused(input_name: str, output_name: str) -> None:
    with pytest.raises(BundleError, match="the manifest says"):
        OnnxModel(GRAPH, input_name=input_name, output_name=output_name, n_features=10)


def test_graph_of_another_width_than_the_manifest_lists_is_refused() -> None:
    graph = SHIPPED / AI4I / "1.0.0" / "model.onnx"
    with pytest.raises(BundleError, match="the manifest lists 10 features"):
        OnnxModel(graph, input_name="features", output_name="score", n_features=10)


@pytest.mark.parametrize("way_in", ["edge_agent.bundles.onnx_runtime", "converters", "benchmarks"])
@pytest.mark.parametrize("said", [{}, {"ORT_DISABLE_TELEMETRY": "0"}], ids=["nothing said", "allowed"])
def test_the_runtime_is_told_not_to_report_before_it_is_imported(way_in: str, said: dict[str, str]) -> None:
    """The second guard: a newer runtime reports at its import, also where somebody set the variable otherwise."""
    program = (
        "import os, sys\n"
        "class Told:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'onnxruntime':\n"
        "            print(os.environ.get('ORT_DISABLE_TELEMETRY'))\n"
        "sys.meta_path.insert(0, Told())\n"
        f"import {way_in}, onnxruntime\n"
    )
    done = subprocess.run([sys.executable, "-c", program], env=said, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_the_runtime_has_no_means_to_report() -> None:
    """The first guard. From 1.29 on its library imports these from the C library; with none it reaches no network."""
    (library,) = Path(onnxruntime.__file__).parent.glob("capi/onnxruntime_pybind11_state*.so")
    names = set(library.read_bytes().split(b"\0"))
    assert b"getenv" in names
    assert names & {b"socket", b"connect", b"getaddrinfo", b"popen", b"fork", b"execve", b"system"} == set()


@pytest.mark.parametrize("lock", sorted(SHIPPED.parent.glob("requirements*.lock")), ids=lambda path: path.name)
def test_every_lock_holds_a_runtime_that_cannot_report(lock: Path) -> None:
    (version,) = re.findall(r"^onnxruntime==(\d+)\.(\d+)\.", lock.read_text(), re.MULTILINE)
    assert tuple(map(int, version)) < (1, 29)


def test_scoring_loads_no_workshop_and_no_heavy_library() -> None:
    program = (
        "import sys, edge_agent.bundles.store\n"
        "unwanted = {'sklearn', 'skl2onnx', 'onnx', 'librosa', 'pandas', 'numba', 'resampy', 'scipy.signal',"
        " 'scipy.stats', 'converters'}\n"
        "print(sorted(unwanted & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
