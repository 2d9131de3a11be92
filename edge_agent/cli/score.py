"""`edge-agent score`: recordings through the live windower, extractor and model, one line per file and channel.

A channel whose sensor is at fault gets that for a verdict, and none on the machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_agent.bundles.store import BundleStore
from edge_agent.cli.score_progress import Progress
from edge_agent.cli.score_results import file_column, summary_of
from edge_agent.cli.score_tags import score_tables
from edge_agent.core.features import FeatureBatch
from edge_agent.core.gaps import Gap, GapCause
from edge_agent.core.samples import SampleBlock
from edge_agent.core.scores import ScoreBatch
from edge_agent.core.windows import WindowBatch
from edge_agent.dsp.catalog import CATALOG
from edge_agent.dsp.machines.sensor_faults import UNKNOWN, Expected, SensorFault, sensor_fault
from edge_agent.dsp.windower import Windower
from edge_agent.errors import BundleError, ConfigurationError, RecordingError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.recordings import DECIMAL_SIGNS, ENDINGS, Overrides, Recording, find_recordings, load_recording
from edge_agent.rollout.startup import scoring_model


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """A recording with what a model makes of its windows. `faults` are one per channel."""

    path: Path
    recording: Recording
    features: FeatureBatch
    scores: ScoreBatch
    faults: tuple[SensorFault | None, ...]

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
    overrides: Overrides | None = None,
    shaft_hz: float | None = None,
) -> int:
    """Return 0 when every recording was scored, 1 when some could not be (each named in one line on standard error).

    At `shaft_hz` something turns: what is a multiple of it is no mains hum.
    """
    expected = Expected(shaft_hz=() if shaft_hz is None else (shaft_hz,))
    model = load_model(bundle, models, allow_unsigned=allow_unsigned)
    overrides = replace(overrides or Overrides(), rate_hz=rate)
    recordings = find_recordings(paths)
    if not recordings:
        raise RecordingError(
            f"no recording in {', '.join(map(str, paths))}",
            hint=f"of a folder, {', '.join(ENDINGS)} are taken; name other files one by one",
        )
    if model.spec.window_samples == 0:
        if draw is not None:
            raise ConfigurationError(
                f"{bundle} scores tables of tags: there is no waveform to draw", hint="leave --plot out"
            )
        return score_tables(recordings, model, overrides, as_json=as_json)
    progress = Progress(len(recordings), as_json=as_json)
    if not as_json:
        print(f"{'FILE':40} {'CH':>3} {'WINDOWS':>8} {'ANOMALOUS':>10} {'SCORE MEAN':>11} {'MAX':>7}  VERDICT")
    for path in recordings:
        with progress.turn_of(path):
            scored = score_recording(path, model, rate, overrides, expected)
            lines = list(results_of(scored, model))
            progress.scored(lines, _as_text, recording=scored.recording, is_rate_assumed=rate is None)
            if draw is not None:
                draw(scored)
    progress.end(model.spec.sample_rate_hz)
    return 1 if progress.n_refused or progress.n_faults else 0


def overrides_of(*, unit: str | None, columns: str | None, decimal: str | None) -> Overrides:
    """Return what the command line says about recordings. Raises ConfigurationError for words that mean nothing."""
    if decimal is not None and decimal not in DECIMAL_SIGNS:
        raise ConfigurationError(f"--decimal is comma or point, not {decimal!r}", hint="write --decimal comma")
    names = tuple(name.strip() for name in (columns or "").split(",") if name.strip())
    return Overrides(unit=unit, columns=names, decimal=None if decimal is None else DECIMAL_SIGNS[decimal])


def score_recording(
    path: Path,
    model: ScoringModel,
    rate: float | None,
    overrides: Overrides | None = None,
    expected: Expected = UNKNOWN,
) -> Scored:
    """Score one recording. Raises RecordingError when the file cannot be scored with this model."""
    # Formats without a rate are read at the rate the model was trained on, and the result says so.
    overrides = replace(
        overrides or Overrides(),
        rate_hz=rate,
        expected_rate_hz=model.spec.sample_rate_hz,
        wanted_unit=signal_unit(model),
    )
    recording = load_recording(path, overrides=overrides)
    features, scores = _run(recording, model, path)
    faults = tuple(sensor_fault(channel, recording.sample_rate_hz, expected) for channel in recording.samples)
    return Scored(path, recording, features, scores, faults)


def signal_unit(model: ScoringModel) -> str:
    """Return what a model's samples are measured in: sound in parts of full scale, vibration in g."""
    return "FS" if CATALOG.family(model.spec.extractor).is_sound else "g"


def results_of(scored: Scored, model: ScoringModel) -> Iterator[dict[str, Any]]:
    """Return one result per row of the model: a channel, or channels that are scored together."""
    for row in range(len(scored.scores.values)):
        yield _result(scored, model, row)


def _run(recording: Recording, model: ScoringModel, path: Path) -> tuple[FeatureBatch, ScoreBatch]:
    batches = [model.features_of(windows) for windows in _windows(recording, model, path)]
    if not batches:
        raise RecordingError(
            f"{path}: {recording.n_samples / recording.sample_rate_hz:.2f} s is shorter than one window of "
            f"{model.spec.window_samples / model.spec.sample_rate_hz:.2f} s"
            + (" (between holes in its times)" if len(recording.starts) > 1 else "")
        )
    features = FeatureBatch(
        batches[0].source,
        batches[0].features,
        np.concatenate([batch.end_ns for batch in batches]),
        np.concatenate([batch.values for batch in batches], axis=1),
        np.concatenate([batch.is_usable for batch in batches], axis=1),
    )
    return features, model.scores_of(features)


def _windows(recording: Recording, model: ScoringModel, path: Path) -> Iterator[WindowBatch]:
    """Of each stretch without a hole."""
    windower = Windower(
        str(path),
        sample_rate_hz=model.spec.sample_rate_hz,
        window_samples=model.spec.window_samples,
        hop_samples=model.spec.hop_samples,
        n_channels=recording.n_channels,
    )
    for index, block in enumerate(_blocks(recording, path)):
        for part in windower.push(block):
            if isinstance(part, WindowBatch):
                yield part
            elif index == 0 or part.cause is GapCause.MODEL_REFUSED:
                raise RecordingError(f"{path}: {part.detail}", hint=_rate_hint(recording))


def _rate_hint(recording: Recording) -> str:
    if recording.rate_source == "file":
        return "that is the rate the file says"
    return "--rate says the rate of a format that carries none"


def _blocks(recording: Recording, path: Path) -> Iterator[SampleBlock]:
    start_ns, ends = recording.start_ns or 0, (*recording.starts[1:], recording.n_samples)
    for index, (begin, end) in enumerate(zip(recording.starts, ends, strict=True)):
        at_ns = start_ns + round(begin * 1e9 / recording.sample_rate_hz)
        gap = Gap(str(path), GapCause.DISCONTINUITY, at_ns, at_ns, "a hole in the file's times") if index else None
        piece = recording.samples[:, begin:end]
        yield SampleBlock(str(path), index, at_ns, recording.sample_rate_hz, "", piece, gap_before=gap)


def _result(scored: Scored, model: ScoringModel, row: int) -> dict[str, Any]:
    recording, features, scores = scored.recording, scored.features, scored.scores
    usable = features.is_usable[row]
    first = row * scored.channels_per_row
    values = scores.values[row][usable]
    n = len(values)
    means = features.values[row][usable].mean(axis=0, dtype=np.float64) if n else None
    summary = summary_of(values, model.threshold)
    fault = next((fault for fault in scored.faults[first : first + scored.channels_per_row] if fault), None)
    if fault is not None:
        summary["verdict"] = f"sensor fault: {fault.words}"
    return {
        "file": str(scored.path),
        "channel": first + 1,
        "channel_name": " + ".join(recording.channel_names[first : first + scored.channels_per_row]),
        "sample_rate_hz": recording.sample_rate_hz,
        "sample_rate_source": recording.rate_source,
        "unit": recording.unit or None,
        "notes": list(recording.notes),
        "bundle": model.name,
        "bundle_version": model.version,
        "windows": n,
        "unusable_windows": int(usable.size - n),
        "anomalous_windows": int(np.count_nonzero(values > model.threshold)),
        **summary,
        "sensor_fault": None if fault is None else fault.kind,
        "features": {} if means is None else dict(zip(model.feature_names, means.tolist(), strict=True)),
    }


def _as_text(line: Mapping[str, Any]) -> str:
    name = file_column(line)
    if line["windows"] == 0:
        verdict = "unknown: no usable samples" if line["verdict"] == "unknown" else line["verdict"]
        return f"{name} {line['channel']:>3} {0:>8} {'-':>10} {'-':>11} {'-':>7}  {verdict}"
    if line["sensor_fault"]:
        return f"{name} {line['channel']:>3} {line['windows']:>8} {'-':>10} {'-':>11} {'-':>7}  {line['verdict']}"
    return (
        f"{name} {line['channel']:>3} {line['windows']:>8} {line['anomalous_fraction']:>10.0%}"
        f" {line['score_mean']:>11.4f} {line['score_max']:>7.4f}  {line['verdict']}"
    )


def load_model(name: str, models: Path | None, *, allow_unsigned: bool) -> ScoringModel:
    """Load a bundle. Raises ConfigurationError for one that may not score."""
    folder = models or _default_models()
    try:
        champion = BundleStore(folder, require_signature=not allow_unsigned).load_champion(name)
    except BundleError as exc:
        raise ConfigurationError(exc.message, hint=exc.hint) from exc
    return scoring_model(champion)


def _default_models() -> Path:
    """./models_onnx, or the folder that lies beside an installed checkout."""
    here = Path("models_onnx")
    return here if here.is_dir() else Path(__file__).resolve().parents[2] / "models_onnx"
