"""`xjtu_anomaly_isolation_forest`: three bearings early in their runs to failure, two axes, from the FEMTO-ST rig.

Constraints
- The platform trains it on XJTU-SY, of which there is no openly shareable copy. FEMTO-ST stands in: same rate, same two
  axes, one file per burst; but other bearings and bursts of 2,560 samples, so the spectrum's slice has 1,920 of 2,048.
- The platform's recipe: the first 15 files of each bearing, StandardScaler, IsolationForest with contamination 0.1.
- Fitted on the start, calibrated on the rest of the first third, judged on what comes later; and, once more, every
  bearing by a model that knows only the other two. Never split at random.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest
from sklearn.preprocessing import StandardScaler

from converters.bundle.assemble import ModelCard, TrainedModel, assemble
from converters.bundle.writer import BundleContent
from converters.graphs.converted import ConvertedModel, SourceScore
from converters.graphs.isolation_forest import convert_isolation_forest
from converters.proof import reference_features
from converters.proof.golden_choice import is_stable
from converters.training.readers import FEMTO_RATE_HZ, FEMTO_SAMPLES, read_femto_burst, require
from converters.training.run_to_failure import DAY_S, AlarmRule, alarms, lead_time_s, standing
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances, TrainingData
from edge_agent.errors import RecordingError

NAME: Final = "xjtu_anomaly_isolation_forest"
VERSION: Final = "1.0.0"

N_TRAINING: Final = 15
CALIBRATED_SHARE: Final = 1 / 3
HEALTHY_SHARE: Final = 1 / 2
"""Of a run, in time. The first half counts as healthy: damage shows later in all three runs."""

CALIBRATION_PERCENTILE: Final = 97.0
BURST_EVERY_S: Final = 10.0
RULE: Final = AlarmRule(over=5, enter=3, leave=1)
"""Over bursts, as far apart as the recordings are; the agent's default looks at 20 windows in a row."""

HYPERPARAMETERS: Final = {"n_estimators": 100, "max_samples": "auto", "contamination": 0.1, "random_state": 42}
TOLERANCES: Final = Tolerances(feature_rtol=1e-6, feature_atol_std=1e-6, score_atol=1e-5)


@dataclass(frozen=True, slots=True, eq=False)
class BearingRun:
    """One bearing from new to failed: `times_s` since its first burst, samples (n, 2, 2560), features (n, 22)."""

    bearing: str
    times_s: NDArray[np.float64]
    samples: NDArray[np.float32]
    features: NDArray[np.float64]

    @property
    def is_training(self) -> NDArray[np.bool_]:
        return np.arange(len(self.times_s)) < N_TRAINING

    @property
    def is_calibration(self) -> NDArray[np.bool_]:
        return np.asarray(~self.is_training & (self.times_s <= CALIBRATED_SHARE * self.times_s[-1]), np.bool_)

    @property
    def is_healthy(self) -> NDArray[np.bool_]:
        return np.asarray(self.times_s <= HEALTHY_SHARE * self.times_s[-1], np.bool_)


def build(data: Path) -> BundleContent:
    """Return the bundle from `data/femto_pronostia/**/Bearing*/acc_*`.

    Raises RecordingError when bursts are missing.
    """
    runs = load_runs(data)
    converted, threshold = fit(runs)
    rows = np.concatenate([run.features[run.is_training] for run in runs])
    trained = TrainedModel(
        kind="StandardScaler + IsolationForest",
        hyperparameters=HYPERPARAMETERS,
        converter="converters.graphs.isolation_forest",
        libraries=("scikit-learn", "scipy", "numpy"),
        converted=converted,
        rows=rows,
        healthy_rows=np.concatenate([run.features[run.is_training | run.is_calibration] for run in runs]),
        threshold=threshold,
        split=_split_in_words(runs),
        metrics=other_bearing_metrics(runs) | same_bearing_metrics(runs, converted, threshold),
    )
    golden = _golden(runs, converted.source_score, trained.healthy_rows.std(axis=0))
    return assemble(_card(runs), _SPEC, trained, golden=golden, tolerances=TOLERANCES)


def load_runs(data: Path) -> tuple[BearingRun, ...]:
    """Return every bearing under `data`, by name. Raises RecordingError when one has too few bursts to split."""
    folders = {file.parent for file in (data / "femto_pronostia").glob("**/acc_*.csv*")}
    require(list(folders), "femto_pronostia/**/Bearing*/acc_*.csv.gz bursts", data)
    return tuple(_run(folder) for folder in sorted(folders, key=lambda folder: folder.name))


def fit(runs: tuple[BearingRun, ...]) -> tuple[ConvertedModel, float]:
    """Return the model of these bearings' first bursts, and the threshold from those that follow."""
    rows = np.concatenate([run.features[run.is_training] for run in runs])
    scaler = StandardScaler().fit(rows)
    forest = IsolationForest(**HYPERPARAMETERS, n_jobs=1).fit(scaler.transform(rows))
    converted = convert_isolation_forest(scaler, forest)
    later = np.concatenate([run.features[run.is_calibration] for run in runs])
    return converted, round(float(np.percentile(converted.source_score(later), CALIBRATION_PERCENTILE)), 6)


def other_bearing_metrics(runs: tuple[BearingRun, ...]) -> dict[str, float]:
    """Judge each bearing by a model that was fitted and calibrated on the others."""
    judged = {}
    for left_out in runs:
        converted, threshold = fit(tuple(run for run in runs if run is not left_out))
        judged[left_out.bearing] = (left_out, converted.source_score(left_out.features) > threshold)
    return _figures("other_bearings_model", judged, [run.is_healthy for run in runs])


def same_bearing_metrics(runs: tuple[BearingRun, ...], converted: ConvertedModel, threshold: float) -> dict[str, float]:
    """Judge each bearing by the shipped model, which knows its first bursts.

    False alarms: after calibration, before half.
    """
    judged = {run.bearing: (run, converted.source_score(run.features) > threshold) for run in runs}
    unseen = [run.is_healthy & ~run.is_training & ~run.is_calibration for run in runs]
    return _figures("this_model", judged, unseen)


def _figures(
    whose: str, judged: dict[str, tuple[BearingRun, NDArray[np.bool_]]], healthy: list[NDArray[np.bool_]]
) -> dict[str, float]:
    figures, raised, over, bursts, days = {}, 0, 0, 0, 0.0
    for (bearing, (run, is_over)), part in zip(judged.items(), healthy, strict=True):
        stands = standing(is_over, RULE)
        figures[f"{whose}_lead_time_h_{bearing}"] = lead_time_s(stands, run.times_s) / 3600
        figures[f"{whose}_run_h_{bearing}"] = float(run.times_s[-1]) / 3600
        figures[f"{whose}_anomalous_share_last_tenth_{bearing}"] = float(
            is_over[run.times_s >= 0.9 * run.times_s[-1]].mean()
        )
        raised += alarms(stands[part])
        over, bursts = over + int(is_over[part].sum()), bursts + int(part.sum())
        days += float(np.ptp(run.times_s[part])) / DAY_S
    return figures | {
        f"{whose}_false_alarms_per_day": raised / days,
        f"{whose}_false_anomaly_share_healthy_part": over / bursts,
        f"{whose}_healthy_hours": 24 * days,
    }


def _run(folder: Path) -> BearingRun:
    files = sorted(folder.glob("acc_*.csv*"), key=_number)
    samples = np.stack([read_femto_burst(file) for file in files])
    numbers = np.array([_number(file) for file in files], np.float64)
    features = reference_features.two_axes(_axes_first(samples), sample_rate_hz=FEMTO_RATE_HZ)[0]
    run = BearingRun(folder.name, (numbers - numbers[0]) * BURST_EVERY_S, samples, features)
    if not run.is_calibration.any():
        raise RecordingError(
            f"{folder} has too few bursts: {N_TRAINING} train, and more must follow in the first third of the run",
            hint="see tests/data/femto_pronostia/README.md",
        )
    return run


def _number(file: Path) -> int:
    return int(file.name.removeprefix("acc_").partition(".")[0])


def _axes_first(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    """Bursts (n, 2, 2560) as windows of two channels, (2, n, 2560)."""
    return np.moveaxis(samples, 1, 0).astype(np.float64)


def _golden(
    runs: tuple[BearingRun, ...], source_score: SourceScore, std: NDArray[np.float64]
) -> dict[str, NDArray[np.floating]]:
    """Of each bearing an early burst and the last stable one; as on the edge, two channels and one burst per window."""
    chosen = []
    for run in runs:
        stable = [
            index
            for index in range(len(run.times_s))
            if is_stable(run.features[index : index + 1], std, source_score, TOLERANCES)
        ]
        if not stable:
            raise RecordingError(f"no burst of {run.bearing} keeps clear of every split", hint="narrow the tolerances")
        chosen += [run.samples[stable[0]], run.samples[stable[-1]]]
    bursts = np.stack(chosen)
    features = reference_features.two_axes(_axes_first(bursts), sample_rate_hz=FEMTO_RATE_HZ)
    return {
        "samples": np.concatenate(chosen, axis=1),
        "features": features,
        "scores": source_score(features[0])[np.newaxis],
    }


def _split_in_words(runs: tuple[BearingRun, ...]) -> str:
    calibration = sum(int(run.is_calibration.sum()) for run in runs)
    return (
        f"by time: fitted on the first {N_TRAINING} bursts of each of {len(runs)} bearings, threshold at percentile "
        f"{CALIBRATION_PERCENTILE:g} of the {calibration} bursts that follow in the first third of each run; "
        "this_model: false alarms from there to half of each run; other_bearings_model: by bearing, each one judged by "
        "a model fitted and calibrated on the others, false alarms over its whole first half"
    )


_SPEC: Final = FeatureSpecEntry(
    extractor="vibration_two_axes",
    features=tuple(
        FeatureEntry(name=name, version=1, unit=unit)
        for name, unit in zip(reference_features.TWO_AXIS_NAMES, reference_features.TWO_AXIS_UNITS, strict=True)
    ),
    sample_rate_hz=FEMTO_RATE_HZ,
    window_samples=FEMTO_SAMPLES,
    hop_samples=FEMTO_SAMPLES,
    parameters={},
)


def _card(runs: tuple[BearingRun, ...]) -> ModelCard:
    return ModelCard(
        name=NAME,
        version=VERSION,
        task="anomaly_detection",
        description="Bursts of a bearing in two axes that look unlike the first minutes of three bearings of one rig.",
        training_data=TrainingData(
            name="FEMTO-ST bearing data set, PRONOSTIA (stands in for XJTU-SY)",
            source="IEEE PHM 2012 data challenge",
            licence="not stated by the source; its providers ask for citation",
            citation=(
                "P. Nectoux et al., PRONOSTIA: An experimental platform for bearings accelerated degradation tests, "
                "IEEE International Conference on Prognostics and Health Management, 2012."
            ),
            part_used=(
                f"the first {N_TRAINING} bursts of {', '.join(run.bearing for run in runs)}, two axes, "
                f"{FEMTO_SAMPLES:,} samples each"
            ),
        ),
        limits=_LIMITS,
        notes=_NOTES,
    )


_LIMITS: Final = (
    "Not trained on XJTU-SY although it bears that name: FEMTO-ST bursts stand in for it.",
    (
        "Not for another bearing, load, speed, mounting or length of burst, as other_bearings_model shows for another "
        "bearing of the same rig. Train on the machine's own healthy days before believing a verdict."
    ),
    "Not a remaining-life estimate: the score saturates.",
    "Not a safety function.",
)

_NOTES: Final = (
    (
        "The first channel of a pair is horizontal, the second vertical. One burst of 0.1 s is one window; the "
        "platform's XJTU-SY bursts are 1.28 s. The spectrum's slice begins at a quarter of the burst and would be "
        "2,048 samples; a burst of 2,560 leaves 1,920, so amplitudes and energies are not comparable with XJTU-SY's."
    ),
    (
        "contamination = 0.1 is the platform's and only moves scikit-learn's own offset, which is not used: the "
        "threshold is calibrated instead (see split)."
    ),
    (
        f"Alarms are counted over bursts as they were kept, minutes apart: {RULE.enter} of {RULE.over} raise one, "
        f"{RULE.leave} or fewer clear it. False alarms per day are from a few hours of accelerated life "
        "(healthy_hours)."
    ),
)
