"""Proves a bundle on this box: the golden inputs through windower, extractor and runtime, against the source's answers.

golden.npz of a waveform model holds `samples` float32 (n_channels, n), `features` float64 (n_channels,
n_windows, n_features) and `scores` float64 (n_channels, n_windows); of a tag model `rows` float32 (n, width
of its family's input), `features` float64 (n, n_features) and `scores` float64 (n,). Features and scores
were computed by the source framework in float64, never by the code that is proven here.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge_agent.bundles.bundle import ModelBundle
from edge_agent.bundles.onnx_runtime import OnnxModel
from edge_agent.core.gaps import Gap
from edge_agent.core.samples import SampleBlock, read_only
from edge_agent.dsp.catalog import build_extractor
from edge_agent.dsp.family_base.family import Extractor
from edge_agent.dsp.windower import Windower
from edge_agent.errors import BundleError, ConfigurationError, SignalError

BLOCK_SAMPLES: Final = 1_000
"""Windows must not depend on how the samples arrive: a size that divides no window cuts them across blocks."""

_HINT: Final = (
    "this box computes something else than the model was trained on: do not use the bundle here; "
    "compare the agent's version with the one that built it"
)


@dataclass(frozen=True, slots=True)
class GoldenReport:
    """How well this box reproduced the source framework. Differences are absolute."""

    bundle: str
    windows: int
    worst_feature: str
    worst_feature_share: float  # of its tolerance; 1.0 would be the limit
    max_score_difference: float
    anomalous_windows: int


@dataclass(frozen=True, slots=True, eq=False)
class GoldenVectors:
    """`inputs` are samples or rows; `features` (n_windows in all, n_features); `scores` (n_windows in all,)."""

    inputs: NDArray[np.float32]
    features: NDArray[np.float64]
    scores: NDArray[np.float64]


def open_extractor(bundle: ModelBundle) -> Extractor:
    """Return the feature code the bundle asks for. Raises BundleError, by name, when this agent does not have it."""
    try:
        return build_extractor(bundle.spec)
    except (SignalError, ConfigurationError) as exc:
        raise BundleError(
            f"{bundle.label}: {exc.message}",
            hint=exc.hint or "update the agent, or build the bundle again for this version",
        ) from exc


def open_model(bundle: ModelBundle) -> OnnxModel:
    """Return the bundle's graph in the runtime. Raises BundleError when it cannot be loaded."""
    manifest = bundle.manifest
    return OnnxModel(
        bundle.model,
        input_name=manifest.input_name,
        output_name=manifest.output_name,
        n_features=len(manifest.feature_spec.features),
    )


def prove(bundle: ModelBundle, *, extractor: Extractor | None = None, model: OnnxModel | None = None) -> GoldenReport:
    """Run the golden vectors; return how close they came.

    `extractor` and `model` are the ones that will be used live; without them they are opened here.

    Raises
    ------
    BundleError
        A feature or score is outside the manifest's tolerance; names it, with expected, got and tolerance.
    """
    extractor = extractor or open_extractor(bundle)
    model = model or open_model(bundle)
    golden = golden_vectors(bundle)
    features = golden_features(bundle, golden, extractor)
    if features.shape != golden.features.shape:
        raise BundleError(
            f"{bundle.label}: golden run gave {features.shape} features, the source {golden.features.shape}",
            hint=_HINT,
        )
    worst, share = _check_features(bundle, features, golden.features)
    scores = model.score(features)
    difference = _check_scores(bundle, scores, golden.scores)
    anomalous = int(np.count_nonzero(scores > bundle.manifest.threshold))
    return GoldenReport(bundle.label, len(scores), worst, share, difference, anomalous)


def is_tabular(bundle: ModelBundle) -> bool:
    """Return True for models over tags, which have no samples and no windows."""
    return bundle.spec.window_samples == 0


def golden_vectors(bundle: ModelBundle) -> GoldenVectors:
    """Return what golden.npz holds. Raises BundleError when it cannot be read or has another shape."""
    key = "rows" if is_tabular(bundle) else "samples"
    width = len(bundle.spec.features)
    try:
        with np.load(io.BytesIO(bundle.golden), allow_pickle=False) as archive:
            inputs = np.ascontiguousarray(archive[key])
            features = np.asarray(archive["features"], np.float64)
            scores = np.asarray(archive["scores"], np.float64)
    except (KeyError, ValueError, OSError, EOFError, zipfile.BadZipFile) as exc:
        raise BundleError(f"{bundle.label}: golden.npz cannot be read: {exc}", hint="build the bundle again") from exc
    golden = GoldenVectors(inputs, features.reshape(-1, features.shape[-1]), scores.reshape(-1))
    if inputs.dtype != np.float32 or inputs.ndim != 2 or not len(golden.scores) or features.shape[-1] != width:
        raise BundleError(f"{bundle.label}: golden.npz has the wrong shape", hint="build the bundle again")
    if len(golden.scores) != len(golden.features):
        raise BundleError(f"{bundle.label}: golden.npz has more features than scores", hint="build the bundle again")
    return golden


def golden_features(bundle: ModelBundle, golden: GoldenVectors, extractor: Extractor) -> NDArray[np.float32]:
    """Compute the features of golden inputs, this bundle's or another's, as `bundle` cuts and sees them: (n, f).

    Raises BundleError when the feature code does not take them.
    """
    return (_extract_rows if is_tabular(bundle) else _extract)(bundle, golden, extractor)


def _extract(bundle: ModelBundle, golden: GoldenVectors, extractor: Extractor) -> NDArray[np.float32]:
    """Features of all windows, channel by channel: (n_channels * n_windows, n_features)."""
    batches: list[NDArray[np.float32]] = []
    for windows in _windows(bundle, golden.inputs):
        try:
            values, is_usable = extractor.extract(windows)
        except SignalError as exc:
            raise BundleError(f"{bundle.label}: golden run: {exc.message}", hint=_HINT) from exc
        if not is_usable.all():
            raise BundleError(f"{bundle.label}: golden run: a window was refused as unusable", hint=_HINT)
        batches.append(values)
    if not batches:
        raise BundleError(f"{bundle.label}: the golden samples fill no window", hint="build the bundle again")
    joined: NDArray[np.float32] = np.concatenate(batches, axis=1)
    return np.ascontiguousarray(joined.reshape(-1, joined.shape[-1]))


def _extract_rows(bundle: ModelBundle, golden: GoldenVectors, extractor: Extractor) -> NDArray[np.float32]:
    """Features of all rows, each as its own window: (n, n_features)."""
    try:
        values, is_usable = extractor.extract(golden.inputs[np.newaxis])
    except SignalError as exc:
        raise BundleError(f"{bundle.label}: golden run: {exc.message}", hint=_HINT) from exc
    if not is_usable.all():
        raise BundleError(f"{bundle.label}: golden run: a row was refused as unusable", hint=_HINT)
    return np.ascontiguousarray(values[0])


def _windows(bundle: ModelBundle, samples: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    spec = bundle.spec
    windower = Windower(
        "golden",
        sample_rate_hz=spec.sample_rate_hz,
        window_samples=spec.window_samples,
        hop_samples=spec.hop_samples,
        n_channels=samples.shape[0],
    )
    out: list[NDArray[np.float32]] = []
    for index, start in enumerate(range(0, samples.shape[1], BLOCK_SAMPLES)):
        piece = read_only(samples[:, start : start + BLOCK_SAMPLES].copy())
        start_ns = round(start * 1e9 / spec.sample_rate_hz)
        for item in windower.push(SampleBlock("golden", index, start_ns, spec.sample_rate_hz, "", piece)):
            if isinstance(item, Gap):
                raise BundleError(f"{bundle.label}: golden run: {item.detail or item.cause}", hint=_HINT)
            out.append(item.samples)
    return out


def _check_features(bundle: ModelBundle, got: NDArray[np.float32], expected: NDArray[np.float64]) -> tuple[str, float]:
    """The feature that came closest to its tolerance, and how close."""
    names = [feature.name for feature in bundle.spec.features]
    tolerances = bundle.manifest.tolerances
    std = np.array([bundle.manifest.baseline[name].std for name in names])
    allowed = tolerances.feature_rtol * np.abs(expected) + tolerances.feature_atol_std * std
    # A constant zero feature has no tolerance at all and needs none: equal is equal.
    share = np.abs(got - expected) / np.maximum(allowed, np.finfo(np.float64).tiny)
    share = np.where(np.isfinite(got), share, np.inf)
    row, column = np.unravel_index(int(np.argmax(share)), share.shape)
    if share[row, column] > 1.0:
        raise BundleError(
            f"{bundle.label}: golden window {row}: {names[column]} is {got[row, column]:.9g}, "
            f"expected {expected[row, column]:.9g} within {allowed[row, column]:.2g}",
            hint=_HINT,
        )
    return names[column], float(share[row, column])


def _check_scores(bundle: ModelBundle, got: NDArray[np.float32], expected: NDArray[np.float64]) -> float:
    difference = np.abs(got - expected)
    allowed = bundle.manifest.tolerances.score_atol
    row = int(np.argmax(difference))
    if not difference[row] <= allowed:
        raise BundleError(
            f"{bundle.label}: golden window {row}: score is {got[row]:.9g}, "
            f"expected {expected[row]:.9g} within {allowed:.2g}",
            hint=_HINT,
        )
    return float(difference[row])
