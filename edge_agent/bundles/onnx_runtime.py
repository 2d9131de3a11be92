"""The only importer of onnxruntime: one graph, one thread, features in, scores out.

Constraints
- A value that is not finite never reaches the graph, and none comes out of it. One dot product tells: it is finite
  unless a value is not, or is beyond 1e19; only then is every value looked at (at one row 0.5 us instead of 1 us).
- One intra-op and one inter-op thread that do not spin: the box has other work, and these models take microseconds.
- No onnxruntime error leaves this file.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from edge_agent.errors import BundleError, SignalError

ORT_ERRORS: Final[tuple[type[Exception], ...]] = (
    *(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
)
"""What the runtime raises: classes without a common base, and plain ones from its Python side."""

_SOURCE_PLACE: Final = re.compile(r"\S*/onnxruntime_src/\S+:\d+ .*?\) ")
"""The file, line and C++ signature that the runtime puts before what it has to say."""

_ONLY_FATAL: Final = 4
_FLOAT32: Final = np.dtype(np.float32)


class _Graph:
    """A session with one float32 input of shape (n, n_features) and one float32 output."""

    def __init__(self, model: bytes | Path, *, input_name: str, output_name: str, n_features: int) -> None:
        self._session = _load(model)
        self._input = input_name
        self._outputs = [output_name]
        self._n_features = n_features
        self._check_names(output_name)
        self._check_width()

    def run(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the output for one row or more, finite. Raises as `OnnxModel.score` does."""
        try:
            scores: NDArray[np.float32] = self._session.run(self._outputs, {self._input: values})[0]
        except ORT_ERRORS as exc:
            raise BundleError(f"the model failed on {len(values)} rows: {_first_line(exc)}") from exc
        if scores.dtype != _FLOAT32:
            raise BundleError(f"the model gave {scores.dtype}, not float32")
        if not _is_finite(scores):
            raise BundleError("the model gave a score that is not finite")
        return scores

    def check_rows(self, values: NDArray[np.float32]) -> None:
        if values.dtype != _FLOAT32:
            raise BundleError(f"the model takes float32, not {values.dtype}")
        if values.ndim != 2 or values.shape[1] != self._n_features:
            raise BundleError(f"the model takes rows of {self._n_features} features, not shape {values.shape}")
        if not _is_finite(values):
            row, feature = np.argwhere(~np.isfinite(values))[0]
            raise SignalError(f"feature {feature} of row {row} is not finite; such a window is not scored")

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


class OnnxModel:
    """A loaded graph with one float32 input of shape (n, n_features) and one float32 output of shape (n,).

    Raises BundleError when the graph cannot be loaded or has other inputs and outputs than named.
    """

    def __init__(self, model: bytes | Path, *, input_name: str, output_name: str, n_features: int) -> None:
        self._graph = _Graph(model, input_name=input_name, output_name=output_name, n_features=n_features)

    def score(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return scores of rows of features: float32 (n, n_features) -> float32 (n,), higher = more anomalous.

        Raises
        ------
        BundleError
            Another width or type than the graph was built for: features and model do not belong together.
        SignalError
            A row is not finite. Missing is not zero; such a row has no score.
        """
        self._graph.check_rows(values)
        if not len(values):
            return np.empty(0, np.float32)
        scores = self._graph.run(values)
        if scores.shape != (len(values),):
            raise BundleError(f"the model gave scores of shape {scores.shape}, not ({len(values)},)")
        return scores


class MergedOnnxModel:
    """A loaded graph of several models that look at the same rows: one float32 output of shape (n_models, n).

    All of them cost one call and one check. Raises BundleError as `OnnxModel` does.
    """

    def __init__(
        self, model: bytes | Path, *, input_name: str, output_name: str, names: Sequence[str], n_features: int
    ) -> None:
        self.names = tuple(names)
        self._graph = _Graph(model, input_name=input_name, output_name=output_name, n_features=n_features)

    def score(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 (n, n_features) -> (n_models, n), one line per model as in `names`.

        Raises as `OnnxModel.score`.
        """
        self._graph.check_rows(values)
        shape = (len(self.names), len(values))
        if not len(values):
            return np.empty(shape, np.float32)
        scores = self._graph.run(values)
        if scores.shape != shape:
            raise BundleError(f"the models gave scores of shape {scores.shape}, not {shape}")
        return scores


def _is_finite(values: NDArray[np.float32]) -> bool:
    if values.size == 1:
        return isfinite(values.item())
    return isfinite(np.vdot(values, values)) or bool(np.isfinite(values).all())


def _load(model: bytes | Path) -> Any:
    try:
        return ort.InferenceSession(
            model if isinstance(model, bytes) else str(model), _options(), providers=["CPUExecutionProvider"]
        )
    except ORT_ERRORS as exc:
        reason = _first_line(exc)
        raise BundleError(f"model.onnx cannot be loaded: {reason}", hint=_what_to_do(reason)) from exc


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ONLY_FATAL  # what goes wrong comes back as an exception, not on stderr
    return options


def _first_line(exc: Exception) -> str:
    """What the runtime says, without its own source's place and signature, at most two sentences long."""
    text = str(exc).strip()
    if not text:
        return type(exc).__name__
    return ". ".join(_SOURCE_PLACE.sub("", text.splitlines()[0]).split(". ")[:2])


def _what_to_do(reason: str) -> str:
    if "opset" in reason:
        return "the graph is for a newer runtime: build the bundle again with this release's edge-convert"
    return "copy the bundle again; it may be cut short"
