"""The only importer of onnxruntime: one graph, one thread, features in, scores out.

Constraints
- A value that is not finite never reaches the graph, and none comes out of it. One dot product tells: it is finite
  unless a value is not, or is beyond 1e19; only then is every value looked at (at one row 0.5 us instead of 1 us).
- One intra-op and one inter-op thread that do not spin: the box has other work, and these models take microseconds.
- No telemetry: onnxruntime 1.31 and newer report by default, so it is switched off before the import.
- No onnxruntime error leaves this file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.errors import BundleError, SignalError

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

RUNTIME_VERSION: Final[str] = ort.__version__

ORT_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
)
"""What the runtime raises: classes without a common base, and plain ones from its Python side."""

_ONLY_FATAL: Final = 4
_FLOAT32: Final = np.dtype(np.float32)


class _Graph:
    """A session with one float32 input of shape (n, n_features) and named float32 outputs of shape (n,)."""

    def __init__(self, model: bytes | Path, *, input_name: str, output_names: Sequence[str], n_features: int) -> None:
        self._session = _load(model)
        self._input = input_name
        self._outputs = list(output_names)
        self._n_features = n_features
        self._check_names()
        self._check_width()

    def run(self, values: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """One array (n,) per output. Raises as `OnnxModel.score` does."""
        self._check_rows(values)
        n_rows = len(values)
        if n_rows == 0:
            return [np.empty(0, np.float32) for _ in self._outputs]
        try:
            outputs: list[NDArray[np.float32]] = self._session.run(self._outputs, {self._input: values})
        except ORT_ERRORS as exc:
            raise BundleError(f"the model failed on {n_rows} rows: {_first_line(exc)}") from exc
        for scores in outputs:
            _check_scores(scores, n_rows)
        return outputs

    def _check_rows(self, values: NDArray[np.float32]) -> None:
        if values.dtype != _FLOAT32:
            raise BundleError(f"the model takes float32, not {values.dtype}")
        if values.ndim != 2 or values.shape[1] != self._n_features:
            raise BundleError(f"the model takes rows of {self._n_features} features, not shape {values.shape}")
        if not _is_finite(values):
            row, feature = np.argwhere(~np.isfinite(values))[0]
            raise SignalError(f"feature {feature} of row {row} is not finite; such a window is not scored")

    def _check_names(self) -> None:
        inputs = [entry.name for entry in self._session.get_inputs()]
        outputs = [entry.name for entry in self._session.get_outputs()]
        if inputs != [self._input] or not self._outputs or not set(self._outputs) <= set(outputs):
            named = repr(self._outputs[0]) if len(self._outputs) == 1 else str(self._outputs)
            raise BundleError(
                f"the graph maps {inputs} to {outputs}, the manifest says {self._input!r} to {named}",
                hint="build the bundle again",
            )

    def _check_width(self) -> None:
        entry = self._session.get_inputs()[0]
        if entry.type != "tensor(float)" or len(entry.shape) != 2 or entry.shape[1] != self._n_features:
            raise BundleError(
                f"the graph takes {entry.type} {entry.shape}, the manifest lists {self._n_features} features",
                hint="build the bundle again",
            )


class OnnxModel:
    """A loaded graph with one float32 input of shape (n, n_features) and one float32 output of shape (n,).

    Raises BundleError when the graph cannot be loaded or has other inputs and outputs than named.
    """

    def __init__(self, model: bytes | Path, *, input_name: str, output_name: str, n_features: int) -> None:
        self._graph = _Graph(model, input_name=input_name, output_names=[output_name], n_features=n_features)

    def score(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of rows of features: float32 (n, n_features) -> float32 (n,), higher = more anomalous.

        Raises
        ------
        BundleError
            Another width or type than the graph was built for: features and model do not belong together.
        SignalError
            A row is not finite. Missing is not zero; such a row has no score.
        """
        return self._graph.run(values)[0]


class MergedOnnxModel:
    """A loaded graph of several models that look at the same rows: one input, one output (n,) per model.

    One run costs one call into the runtime instead of one for each model. Raises BundleError as `OnnxModel` does.
    """

    def __init__(self, model: bytes | Path, *, input_name: str, output_names: Sequence[str], n_features: int) -> None:
        self.output_names = tuple(output_names)
        self._graph = _Graph(model, input_name=input_name, output_names=output_names, n_features=n_features)

    def score(self, values: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Scores by output: float32 (n, n_features) -> float32 (n,) each. Raises as `OnnxModel.score` does."""
        return dict(zip(self.output_names, self._graph.run(values), strict=True))


def _is_finite(values: NDArray[np.float32]) -> bool:
    return isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


def _check_scores(scores: NDArray[np.float32], n_rows: int) -> None:
    if scores.dtype != _FLOAT32 or scores.shape != (n_rows,):
        raise BundleError(f"the model gave {scores.dtype} {scores.shape}, not float32 ({n_rows},)")
    if not _is_finite(scores):
        raise BundleError("the model gave a score that is not finite")


def _load(model: bytes | Path) -> Any:
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model), _options(), providers=["CPUExecutionProvider"]
        )
    except ORT_ERRORS as exc:
        raise BundleError(
            f"model.onnx cannot be loaded: {_first_line(exc)}", hint="copy the bundle again; it may be cut short"
        ) from exc


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ONLY_FATAL  # what goes wrong comes back as an exception, not on stderr
    return options


def _first_line(exc: Exception) -> str:
    return str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
