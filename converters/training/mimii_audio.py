"""`RandomForest_MIMII_Audio_Benchmark`: normal or abnormal machine sound from mean MFCC, on the MIMII clips.

Constraints
- Split by clip: windows of one clip overlap and share its background, so a clip is either seen or not.
- Machine identity must not become the label. A machine teaches only when it has several clips of both labels:
  with one label its identity is the label; with one clip of each, leaving one out makes it so again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import SourceScore
from converters.graphs.random_forest import convert_random_forest
from converters.proof import reference_features
from converters.proof.golden_choice import is_stable
from converters.training.readers import read_first_microphone, require
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances, TrainingData
from edge_agent.errors import RecordingError

NAME: Final = "RandomForest_MIMII_Audio_Benchmark"
VERSION: Final = "1.0.0"

SAMPLE_RATE_HZ: Final = 16_000
WINDOW: Final = 48_000
HOP: Final = 24_000

MIN_CLIPS_PER_LABEL: Final = 3
THRESHOLD: Final = 0.5
"""The classifier's own line. Fourteen clips are too few to tune another one on and still say anything."""

HYPERPARAMETERS: Final = {
    "n_estimators": 100,
    "random_state": 42,
    "class_weight": "balanced",
    "max_depth": 10,
    "min_samples_split": 5,
}
TOLERANCES: Final = Tolerances(feature_rtol=1e-5, feature_atol_std=2e-4, score_atol=1e-5)
GOLDEN_SAMPLES: Final = WINDOW + HOP


@dataclass(frozen=True, slots=True, eq=False)
class Clips:
    """One entry per clip: "<snr>/<machine>/<id>", label, file, and its windows' features (n_windows, 40)."""

    machine: list[str]
    is_abnormal: NDArray[np.bool_]
    file: list[Path]
    features: list[NDArray[np.float64]]

    def of(self, machine: str) -> list[int]:
        return [index for index, name in enumerate(self.machine) if name == machine]

    def rows(self, indices: list[int]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return windows of these clips and their labels (0/1)."""
        labels = [np.full(len(self.features[i]), int(self.is_abnormal[i]), np.int64) for i in indices]
        return np.concatenate([self.features[i] for i in indices]), np.concatenate(labels)


def build(data: Path) -> BundleContent:
    """Return the bundle from the sound files under `data/mimii/`. Raises RecordingError when no machine can teach."""
    clips = load_clips(data)
    machines = teaching_machines(clips)
    used = [index for machine in machines for index in clips.of(machine)]
    rows, labels = clips.rows(used)
    scaler, forest = fit(rows, labels)
    converted = convert_random_forest(scaler, forest)
    trained = TrainedModel(
        kind="StandardScaler + RandomForestClassifier",
        hyperparameters=HYPERPARAMETERS,
        converter="converters.graphs.random_forest",
        libraries=("scikit-learn", "librosa", "resampy", "numpy"),
        converted=converted,
        rows=rows,
        healthy_rows=rows[labels == 0],
        threshold=THRESHOLD,
        split=(
            f"by clip: fitted on all {len(used)} clips of {', '.join(machines)}; metrics of these leave one clip out "
            "at a time; the other machines are heard only after fitting"
        ),
        metrics=leave_one_clip_out(clips, machines) | _strangers(clips, machines, converted.source_score),
    )
    golden = _golden(clips, used, converted.source_score, trained.healthy_rows.std(axis=0))
    return assemble(_card(machines, len(used)), _SPEC, trained, golden=golden, tolerances=TOLERANCES)


def load_clips(data: Path) -> Clips:
    """Return every <snr>/<machine>/<id>/<normal|abnormal>/<clip> under `data/mimii`, first microphone."""
    root = data / "mimii"
    found = [file for kind in ("flac", "wav") for file in root.glob(f"**/*normal/*.{kind}")]
    files = sorted(require(found, "mimii/<snr>/<machine>/<id>/<label>/ sound files", data))
    return Clips(
        machine=["/".join(file.parts[-5:-2]) for file in files],
        is_abnormal=np.array([file.parts[-2] == "abnormal" for file in files]),
        file=files,
        features=[_features(read_first_microphone(file, sample_rate_hz=SAMPLE_RATE_HZ))[0] for file in files],
    )


def teaching_machines(clips: Clips) -> list[str]:
    """Return machines with enough clips of both labels. Raises RecordingError when there is none."""
    machines = []
    for machine in sorted(set(clips.machine)):
        abnormal = int(clips.is_abnormal[clips.of(machine)].sum())
        normal = len(clips.of(machine)) - abnormal
        if min(normal, abnormal) >= MIN_CLIPS_PER_LABEL:
            machines.append(machine)
    if not machines:
        raise RecordingError(f"no machine has {MIN_CLIPS_PER_LABEL} clips of both labels", hint="add clips")
    return machines


def leave_one_clip_out(clips: Clips, machines: list[str]) -> dict[str, float]:
    """Return each clip scored by a model that never heard it."""
    used = [index for machine in machines for index in clips.of(machine)]
    scores = {}
    for left_out in used:
        scaler, forest = fit(*clips.rows([index for index in used if index != left_out]))
        scores[left_out] = forest.predict_proba(scaler.transform(clips.features[left_out]))[:, 1]
    figures: dict[str, float] = {}
    for machine in machines:
        of_machine = clips.of(machine)
        labels = clips.rows(of_machine)[1]
        windows = np.concatenate([scores[index] for index in of_machine])
        means = np.array([scores[index].mean() for index in of_machine])
        name = _metric_name(machine)
        figures[f"{name}_window_roc_auc"] = float(roc_auc_score(labels, windows))
        figures[f"{name}_clip_roc_auc"] = float(roc_auc_score(clips.is_abnormal[of_machine], means))
        figures[f"{name}_window_balanced_accuracy"] = float(balanced_accuracy_score(labels, windows > THRESHOLD))
        figures[f"{name}_clips_right"] = float(np.mean((means > THRESHOLD) == clips.is_abnormal[of_machine]))
        figures[f"{name}_clips"] = float(len(of_machine))
    return figures


def _strangers(clips: Clips, machines: list[str], source_score: SourceScore) -> dict[str, float]:
    """Share of right clips on machines the model never heard: it should not be believed there, and this says why."""
    others = [index for index, machine in enumerate(clips.machine) if machine not in machines]
    if not others:
        return {}
    right = [bool(source_score(clips.features[i]).mean() > THRESHOLD) == bool(clips.is_abnormal[i]) for i in others]
    return {"machines_never_heard_clips_right": float(np.mean(right)), "machines_never_heard_clips": float(len(others))}


def fit(rows: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[StandardScaler, RandomForestClassifier]:
    scaler = StandardScaler().fit(rows)
    return scaler, RandomForestClassifier(**HYPERPARAMETERS, n_jobs=1).fit(scaler.transform(rows), labels)


def _features(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    windows = reference_features.cut(samples, window=WINDOW, hop=HOP)
    return reference_features.mfcc_mean(windows, sample_rate_hz=SAMPLE_RATE_HZ)


def _golden(
    clips: Clips, used: list[int], source_score: SourceScore, std: NDArray[np.float64]
) -> dict[str, NDArray[np.floating]]:
    """The start of one normal and one abnormal clip, as two channels."""
    chosen = [_stable_clip(clips, used, source_score, std, is_abnormal=label) for label in (False, True)]
    samples = np.concatenate(chosen)
    features = _features(samples)
    scores = source_score(features.reshape(-1, features.shape[-1])).reshape(features.shape[:2])
    return {"samples": samples, "features": features, "scores": scores}


def _stable_clip(
    clips: Clips, used: list[int], source_score: SourceScore, std: NDArray[np.float64], *, is_abnormal: bool
) -> NDArray[np.float32]:
    n_windows = (GOLDEN_SAMPLES - WINDOW) // HOP + 1
    for index in used:
        if clips.is_abnormal[index] == is_abnormal and is_stable(
            clips.features[index][:n_windows], std, source_score, TOLERANCES
        ):
            return read_first_microphone(clips.file[index], sample_rate_hz=SAMPLE_RATE_HZ)[:, :GOLDEN_SAMPLES]
    raise RecordingError("no clip keeps clear of every split", hint="narrow the tolerances")


def _metric_name(machine: str) -> str:
    return machine.replace("/", "_").replace("-", "minus_")


_SPEC: Final = FeatureSpecEntry(
    extractor="mfcc_mean",
    features=tuple(FeatureEntry(name=name, version=1, unit="dB") for name in reference_features.MFCC_NAMES),
    sample_rate_hz=float(SAMPLE_RATE_HZ),
    window_samples=WINDOW,
    hop_samples=HOP,
    parameters={
        "target_rate_hz": reference_features.MFCC_RATE_HZ,
        "resampler": reference_features.MFCC_RESAMPLER,
        "n_mfcc": reference_features.MFCC_COUNT,
        "n_fft": reference_features.MFCC_FFT,
        "hop_length": reference_features.MFCC_HOP,
        "n_mels": reference_features.MFCC_MELS,
    },
)


def _card(machines: list[str], n_clips: int) -> ModelCard:
    return ModelCard(
        name=NAME,
        version=VERSION,
        task="classification",
        description=f"Probability that three seconds of sound are abnormal, for {', '.join(machines)}.",
        training_data=TrainingData(
            name="MIMII: sound dataset for malfunctioning industrial machine investigation and inspection",
            source="Zenodo record 3384388",
            licence="CC BY-SA 4.0, Hitachi, Ltd.",
            citation=(
                "H. Purohit, R. Tanabe, K. Ichige, T. Endo, Y. Nikaido, K. Suefusa, Y. Kawaguchi, MIMII Dataset, "
                "Proc. 4th Workshop on Detection and Classification of Acoustic Scenes and Events (DCASE), 2019."
            ),
            part_used=f"{n_clips} ten-second clips of {', '.join(machines)}, first microphone",
        ),
        limits=(
            f"A starter: it heard {n_clips} clips. Record your own machine and train before believing a verdict.",
            f"Only for {', '.join(machines)}; how often it errs on machines it never heard stands in the metrics.",
            "Levels matter: MFCC 0 is loudness, so another microphone, gain or place needs its own training.",
            "Not a safety function.",
        ),
        notes=(
            (
                f"Machines with fewer than {MIN_CLIPS_PER_LABEL} clips of either label do not teach: with one label a "
                "machine's identity is the label, and with one clip of each, leaving one out gives an area under the "
                "curve of 0 or 1 that says nothing."
            ),
            (
                "The chain is the platform's: resampled to 22,050 Hz with kaiser_fast, 40 MFCC, mean over time, of "
                "three seconds. The platform takes the first three seconds of a clip; here every three seconds, half "
                "overlapping, are one window."
            ),
        ),
    )
