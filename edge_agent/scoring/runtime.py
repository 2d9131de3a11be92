"""The only importer of onnxruntime: one graph, one thread, features in, scores out.

Constraints
- One intra-op and one inter-op thread that do not spin: the box has other work, and these models take microseconds.
- No telemetry: onnxruntime 1.31 and newer report by default, so it is switched off before the import.
- No onnxruntime error leaves this file.
"""

from __future__ import annotations

import os
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


class OnnxModel:
    """A loaded graph with one float32 input of shape (n, n_features) and one float32 output of shape (n,).

    Raises BundleError when the graph cannot be loaded or has other inputs and outputs than named.
    """

    def __init__(self, model: bytes | Path, *, input_name: str, output_name: str, n_features: int) -> None:
        self._session = _load(model)
        self._input = input_name
        self._outputs = [output_name]
        self._n_features = n_features
        self._check_names(output_name)
        self._check_width()

    def score(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores of rows of features: float32 (n, n_features) -> float32 (n,), higher = more anomalous.

        Raises
        ------
        BundleError
            Another width or type than the graph was built for: features and model do not belong together.
        SignalError
            A row is not finite. Missing is not zero; such a row has no score.
        """
        self._check_rows(values)
        if values.shape[0] == 0:
            return np.empty(0, np.float32)
        try:
            scores = self._session.run(self._outputs, {self._input: values})[0]
        except ORT_ERRORS as exc:
            raise BundleError(f"the model failed on {values.shape[0]} rows: {_first_line(exc)}") from exc
        return self._checked(scores, values.shape[0])

    def _check_rows(self, values: NDArray[np.float32]) -> None:
        if values.dtype != np.float32:
            raise BundleError(f"the model takes float32, not {values.dtype}")
        if values.ndim != 2 or values.shape[1] != self._n_features:
            raise BundleError(f"the model takes rows of {self._n_features} features, not shape {values.shape}")
        if not np.isfinite(values).all():
            row, feature = np.argwhere(~np.isfinite(values))[0]
            raise SignalError(f"feature {feature} of row {row} is not finite; such a window is not scored")

    def _checked(self, scores: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
        if scores.dtype != np.float32 or scores.shape != (rows,):
            raise BundleError(f"the model gave {scores.dtype} {scores.shape}, not float32 ({rows},)")
        if not np.isfinite(scores).all():
            raise BundleError("the model gave a score that is not finite")
        return scores

    def _check_names(self, output_name: str) -> None:
        inputs = [entry.name for entry in self._session.get_inputs()]
        outputs = [entry.name for entry in self._session.get_outputs()]
        if inputs != [self._input] or output_name not in outputs:
            raise BundleError(
                f"the graph maps {inputs} to {outputs}, the manifest says {self._input!r} to {output_name!r}",
                hint="build the bundle again",
            )

    def _check_width(self) -> None:
        entry = self._session.get_inputs()[0]
        if entry.type != "tensor(float)" or len(entry.shape) != 2 or entry.shape[1] != self._n_features:
            raise BundleError(
                f"the graph takes {entry.type} {entry.shape}, the manifest lists {self._n_features} features",
                hint="build the bundle again",
            )


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
