"""`edge-agent score`: recordings through the live windower, extractor and model, one line per file and channel."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge_agent.core.features import FeatureBatch
from edge_agent.core.gaps import Gap
from edge_agent.core.samples import SampleBlock
from edge_agent.core.scores import ScoreBatch
from edge_agent.dsp.windower import Windower
from edge_agent.errors import BundleError, ConfigurationError, EdgeError, RecordingError
from edge_agent.pipeline.champions import scoring_model
from edge_agent.pipeline.model import ScoringModel
from edge_agent.recordings import Recording, find_recordings, load_recording
from edge_agent.scoring.champion import load_champion

VERDICT_FRACTION: Final = 0.5
"""A recording is called anomalous when more than half of its scored windows are."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A recording with what a model makes of its windows."""

    path: Path
    recording: Recording
    features: FeatureBatch
    scores: ScoreBatch

    @property
    def channels_per_row(self) -> int:
        return self.recording.n_channels // len(self.scores.values)


Draw = Callable[[Scored], None]
"""Makes a picture of one recording. Raises EdgeError."""


def score_paths(
    paths: list[Path],
    bundle: str,
    *,
    as_json: bool,
    models: Path | None,
    rate: float | None,
    allow_unsigned: bool,
    draw: Draw | None = None,
) -> int:
    """0 when every recording was scored, 1 when some could not be (each said in one line on standard error)."""
    model = load_model(bundle, models, allow_unsigned=allow_unsigned)
    if model.spec.window_samples == 0:
        raise ConfigurationError(
            f"{bundle} scores tags, not recordings", hint="choose a bundle trained on vibration or sound"
        )
    recordings = find_recordings(paths)
    if not recordings:
        raise RecordingError(
            f"no recording in {', '.join(map(str, paths))}",
            hint="of a folder, .wav, .flac, .csv, .tsv, .txt and .mat are taken; name other files one by one",
        )
    failed = 0
    is_rate_assumed = False
    if not as_json:
        print(f"{'FILE':40} {'CH':>3} {'WINDOWS':>8} {'ANOMALOUS':>10} {'SCORE MEAN':>11} {'MAX':>7}  VERDICT")
    for path in recordings:
        try:
            scored = score_recording(path, model, rate)
            is_rate_assumed |= rate is None and scored.recording.rate_source == "given"
            for line in results_of(scored, model):
                print(json.dumps(line) if as_json else _as_text(line), flush=True)
            if draw is not None:
                draw(scored)
        except EdgeError as exc:
            failed += 1
            print(f"edge-agent: {exc.message}{f' ({exc.hint})' if exc.hint else ''}", file=sys.stderr)
    if is_rate_assumed and not as_json:
        print(
            f"edge-agent: files that carry no sampling rate were read at the model's, {model.spec.sample_rate_hz:g} Hz"
            " (--rate says the rate they were recorded at)",
            file=sys.stderr,
        )
    return 1 if failed else 0


def score_recording(path: Path, model: ScoringModel, rate: float | None) -> Scored:
    """Raises RecordingError when the file cannot be scored with this model."""
    # Formats without a rate are read at the rate the model was trained on, and the result says so.
    recording = load_recording(path, sample_rate_hz=rate or model.spec.sample_rate_hz)
    return Scored(path, recording, *_run(recording, model, path))


def results_of(scored: Scored, model: ScoringModel) -> Iterator[dict[str, Any]]:
    """One result per row of the model: a channel, or channels that are scored together."""
    for row in range(len(scored.scores.values)):
        yield _result(scored, model, row)


def _run(recording: Recording, model: ScoringModel, path: Path) -> tuple[FeatureBatch, ScoreBatch]:
    n_channels, n_samples = recording.samples.shape
    windower = Windower(
        str(path),
        sample_rate_hz=model.spec.sample_rate_hz,
        window_samples=model.spec.window_samples,
        hop_samples=model.spec.hop_samples,
        n_channels=n_channels,
    )
    block = SampleBlock(str(path), 0, recording.start_ns or 0, recording.sample_rate_hz, "", recording.samples)
    for part in windower.push(block):
        if isinstance(part, Gap):
            raise RecordingError(f"{path}: {part.detail}", hint="--rate says the rate of a format that carries none")
        features = model.features_of(part)
        return features, model.scores_of(features)
    raise RecordingError(
        f"{path}: {n_samples / recording.sample_rate_hz:.2f} s is shorter than one window of "
        f"{model.spec.window_samples / model.spec.sample_rate_hz:.2f} s"
    )


def _result(scored: Scored, model: ScoringModel, row: int) -> dict[str, Any]:
    recording, features, scores = scored.recording, scored.features, scored.scores
    usable = features.is_usable[row]
    first = row * scored.channels_per_row
    values = scores.values[row][usable]
    anomalous = int(np.count_nonzero(values > model.threshold))
    n = int(usable.sum())
    means = features.values[row][usable].mean(axis=0, dtype=np.float64) if n else None
    verdict = "unknown" if n == 0 else "anomalous" if anomalous / n > VERDICT_FRACTION else "normal"
    return {
        "file": str(scored.path),
        "channel": first + 1,
        "channel_name": " + ".join(recording.channel_names[first : first + scored.channels_per_row]),
        "sample_rate_hz": recording.sample_rate_hz,
        "sample_rate_source": recording.rate_source,
        "bundle": model.name,
        "bundle_version": model.version,
        "windows": n,
        "unusable_windows": int(usable.size - n),
        "anomalous_windows": anomalous,
        "anomalous_fraction": anomalous / n if n else None,
        "score_mean": float(values.mean(dtype=np.float64)) if n else None,
        "score_max": float(values.max()) if n else None,
        "threshold": model.threshold,
        "verdict": verdict,
        "features": {} if means is None else dict(zip(model.feature_names, means.tolist(), strict=True)),
    }


def _as_text(line: dict[str, Any]) -> str:
    name = line["file"] if len(line["file"]) <= 40 else "…" + line["file"][-39:]
    if line["windows"] == 0:
        return f"{name:40} {line['channel']:>3} {0:>8} {'-':>10} {'-':>11} {'-':>7}  unknown: no usable samples"
    return (
        f"{name:40} {line['channel']:>3} {line['windows']:>8} {line['anomalous_fraction']:>10.0%}"
        f" {line['score_mean']:>11.4f} {line['score_max']:>7.4f}  {line['verdict']}"
    )


def load_model(name: str, models: Path | None, *, allow_unsigned: bool) -> ScoringModel:
    """Raises ConfigurationError for a bundle that may not score."""
    folder = models or _default_models()
    try:
        champion = load_champion(folder, name, keys_dir=folder / "keys", require_signature=not allow_unsigned)
    except BundleError as exc:
        raise ConfigurationError(exc.message, hint=exc.hint) from exc
    return scoring_model(champion)


def _default_models() -> Path:
    """./models_onnx, or the folder that lies beside an installed checkout."""
    here = Path("models_onnx")
    return here if here.is_dir() else Path(__file__).resolve().parents[2] / "models_onnx"
