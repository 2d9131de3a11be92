"""`vibration_anomaly_isolationforest`: four bearings that are healthy, from the NASA IMS run-to-failure test 2.

Constraints
- Fitted on the first days only, calibrated on a later healthy day, judged on the rest of the run.
- Split by recording time, never at random: neighbouring windows are nearly copies of each other.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

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
from converters.training.readers import read_ims_snapshot, require
from converters.training.run_to_failure import DAY_S, alarms, lead_time_s, standing
from edge_agent.bundles.manifest import FeatureEntry, FeatureSpecEntry, Tolerances, TrainingData
from edge_agent.errors import RecordingError

NAME: Final = "vibration_anomaly_isolationforest"
VERSION: Final = "1.0.0"

SAMPLE_RATE_HZ: Final = 20_480.0
WINDOW: Final = 2_048
HOP: Final = 1_024

# Local time of the rig. The outer race of bearing 1 shows from 16 February on; the days before are flat.
TRAINED_UNTIL: Final = dt.datetime(2004, 2, 15)  # noqa: DTZ001  (the recordings' stamps carry no zone)
CALIBRATED_UNTIL: Final = dt.datetime(2004, 2, 16)  # noqa: DTZ001

CALIBRATION_PERCENTILE: Final = 97.0
"""3 of 100 healthy windows over all bearings; the alarm stage wants 12 of 20, so single ones are harmless."""

DEAD_SHARE: Final = 0.1
"""A channel with less than this share of its healthy rms is a lost signal, not a quiet bearing."""

HYPERPARAMETERS: Final = {"n_estimators": 100, "max_samples": 512, "contamination": 0.1, "random_state": 42}

TOLERANCES: Final = Tolerances(feature_rtol=3e-6, feature_atol_std=3e-5, score_atol=1e-5)
GOLDEN_SAMPLES: Final = WINDOW + 2 * HOP
_GOLDEN_STEP: Final = 64


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """The snapshots in time order: samples (n, 4, 20480) and features (n, 4, n_windows, 10)."""

    times: NDArray[np.datetime64]
    samples: NDArray[np.float32]
    features: NDArray[np.float64]

    @property
    def is_alive(self) -> NDArray[np.bool_]:
        """Return for each snapshot whether bearing 1 gives a signal."""
        rms = self.features[:, 0, :, 0].mean(axis=1)
        return np.asarray(rms > DEAD_SHARE * np.median(rms[self.times < np.datetime64(TRAINED_UNTIL)]), np.bool_)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What differs between the anomaly models of this run. `fit` takes raw training rows (n, 10)."""

    name: str
    version: str
    description: str
    kind: str
    hyperparameters: Mapping[str, Any]
    converter: str
    fit: Callable[[NDArray[np.float64]], ConvertedModel]
    tolerances: Tolerances
    limits: tuple[str, ...]
    notes: tuple[str, ...]


def build(data: Path) -> BundleContent:
    """Return the bundle from `data/nasa_ims/2nd_test*/`. Raises RecordingError when snapshots are missing or broken."""
    return build_recipe(_RECIPE, data)


def build_recipe(recipe: Recipe, data: Path) -> BundleContent:
    """Return the bundle of one model of this run; raises as `build`."""
    run = load_run(data)
    is_training = run.times < np.datetime64(TRAINED_UNTIL)
    is_calibration = ~is_training & (run.times < np.datetime64(CALIBRATED_UNTIL))
    if not (is_training.any() and is_calibration.any()):
        raise RecordingError("the run lacks snapshots of the healthy days", hint="see tests/data/nasa_ims/README.md")
    rows = run.features[is_training].reshape(-1, run.features.shape[-1])
    converted = recipe.fit(rows)
    scores = converted.source_score(run.features.reshape(-1, rows.shape[-1]))
    scores = scores.reshape(run.features.shape[:3])
    threshold = round(float(np.percentile(scores[is_calibration], CALIBRATION_PERCENTILE)), 6)
    is_anomalous = scores > threshold
    trained = TrainedModel(
        kind=recipe.kind,
        hyperparameters=recipe.hyperparameters,
        converter=recipe.converter,
        libraries=("scikit-learn", "scipy", "numpy"),
        converted=converted,
        rows=rows,
        healthy_rows=rows,
        threshold=threshold,
        split=_split_in_words(int(is_training.sum()), int(is_calibration.sum()), len(run.times)),
        metrics=metrics(run, is_anomalous)
        | alarm_metrics(run, is_anomalous)
        | other_bearings_metrics(run, recipe.fit, is_training, is_calibration),
    )
    golden = _golden(run, converted.source_score, rows.std(axis=0), recipe.tolerances)
    card = _card(recipe, int(is_training.sum()))
    return assemble(card, _feature_spec(), trained, golden=golden, tolerances=recipe.tolerances)


def load_run(data: Path) -> Run:
    """Return every snapshot of test 2 under `data`, in the order of their times."""
    files = require(list((data / "nasa_ims").glob("2nd_test*/2004.*")), "nasa_ims/2nd_test*/ snapshots", data)
    files.sort(key=_recorded_at)
    samples = np.stack([read_ims_snapshot(file) for file in files])
    features = np.stack(
        [
            reference_features.vibration(
                reference_features.cut(snapshot, window=WINDOW, hop=HOP), sample_rate_hz=SAMPLE_RATE_HZ
            )
            for snapshot in samples
        ]
    )
    return Run(np.array([_recorded_at(file) for file in files], "datetime64[s]"), samples, features)


def metrics(run: Run, is_anomalous: NDArray[np.bool_]) -> dict[str, float]:
    """Return shares of anomalous windows; `is_anomalous` is (n_snapshots, 4, n_windows). Bearing 1 is the one that
    fails.
    """
    first_third = np.arange(len(run.times)) < len(run.times) // 3
    days = run.times.astype("datetime64[D]")
    last_day = (days == days[-1]) & run.is_alive
    figures = {
        "anomalous_share_bearing_1_first_third": float(is_anomalous[first_third, 0].mean()),
        "anomalous_share_bearing_1_last_day": float(is_anomalous[last_day, 0].mean()),
        "least_anomalous_share_of_a_snapshot_bearing_1_last_day": float(is_anomalous[last_day, 0].mean(axis=1).min()),
    }
    healthy = run.times < np.datetime64(CALIBRATED_UNTIL)
    for bearing in range(is_anomalous.shape[1]):
        figures[f"false_anomaly_share_healthy_days_bearing_{bearing + 1}"] = float(
            is_anomalous[healthy, bearing].mean()
        )
    for day in np.unique(days):
        figures[f"anomalous_share_bearing_1_{day}"] = float(is_anomalous[(days == day) & run.is_alive, 0].mean())
    return figures


def alarm_metrics(run: Run, is_anomalous: NDArray[np.bool_]) -> dict[str, float]:
    """Return alarms as the agent would raise them, while the machine ran: lead time of bearing 1, and false ones."""
    times_s = run.times[run.is_alive].astype(np.float64)
    window_times_s = np.repeat(times_s, is_anomalous.shape[2])
    over = np.moveaxis(is_anomalous[run.is_alive], 1, 0).reshape(is_anomalous.shape[1], -1)
    stands = [standing(bearing) for bearing in over]
    healthy = window_times_s < np.datetime64(CALIBRATED_UNTIL, "s").astype(np.float64)
    healthy_days = float(np.ptp(window_times_s[healthy])) / DAY_S
    later_days = float(np.ptp(window_times_s[~healthy])) / DAY_S
    others = [alarms(bearing[~healthy]) for bearing in stands[1:]]
    return {
        "lead_time_h_bearing_1": lead_time_s(stands[0], window_times_s) / 3600,
        "false_alarms_per_day_healthy_days": sum(alarms(one[healthy]) for one in stands) / len(stands) / healthy_days,
        "alarms_per_day_bearings_2_to_4_while_bearing_1_fails": sum(others) / len(others) / later_days,
        "healthy_days": healthy_days,
    }


def other_bearings_metrics(
    run: Run,
    fit: Callable[[NDArray[np.float64]], ConvertedModel],
    is_training: NDArray[np.bool_],
    is_calibration: NDArray[np.bool_],
) -> dict[str, float]:
    """Return alarms of each bearing by a model that was fitted and calibrated on the other three, on the same days."""
    n_bearings, n_features = run.features.shape[1], run.features.shape[-1]
    is_anomalous = np.empty(run.features.shape[:3], np.bool_)
    for bearing in range(n_bearings):
        others = np.delete(run.features, bearing, axis=1)
        score = fit(others[is_training].reshape(-1, n_features)).source_score
        threshold = np.percentile(score(others[is_calibration].reshape(-1, n_features)), CALIBRATION_PERCENTILE)
        own = run.features[:, bearing]
        is_anomalous[:, bearing] = score(own.reshape(-1, n_features)).reshape(own.shape[:2]) > threshold
    figures = alarm_metrics(run, is_anomalous)
    names = ("lead_time_h_bearing_1", "false_alarms_per_day_healthy_days")
    return {f"other_bearings_model_{name}": figures[name] for name in names}


def _split_in_words(n_training: int, n_calibration: int, n_all: int) -> str:
    return (
        f"by time: fitted on {n_training} snapshots of all four bearings before {TRAINED_UNTIL:%d %B %Y}, threshold at "
        f"percentile {CALIBRATION_PERCENTILE:g} of {n_calibration} healthy snapshots of the next day, "
        f"metrics over all {n_all} snapshots in time order; other_bearings_model: by bearing, each one judged by "
        "a model of the other three"
    )


def _fit(rows: NDArray[np.float64]) -> ConvertedModel:
    scaler = StandardScaler().fit(rows)
    return convert_isolation_forest(scaler, IsolationForest(**HYPERPARAMETERS, n_jobs=1).fit(scaler.transform(rows)))


def _golden(
    run: Run, source_score: SourceScore, std: NDArray[np.float64], tolerances: Tolerances
) -> dict[str, NDArray[np.floating]]:
    """Bearing 1 of the first snapshot and of the last one with a signal, as two channels."""
    last = int(np.flatnonzero(run.is_alive)[-1])
    pieces = [_stable_piece(run.samples[index, :1], source_score, std, tolerances) for index in (0, last)]
    samples = np.concatenate(pieces)
    features = _features(samples)
    scores = source_score(features.reshape(-1, features.shape[-1])).reshape(features.shape[:2])
    return {"samples": samples, "features": features, "scores": scores}


def _stable_piece(
    snapshot: NDArray[np.float32], source_score: SourceScore, std: NDArray[np.float64], tolerances: Tolerances
) -> NDArray[np.float32]:
    for start in range(0, snapshot.shape[1] - GOLDEN_SAMPLES, _GOLDEN_STEP):
        piece = snapshot[:, start : start + GOLDEN_SAMPLES]
        if is_stable(_features(piece)[0], std, source_score, tolerances):
            return piece
    raise RecordingError("no piece of the golden snapshot keeps clear of every split", hint="narrow the tolerances")


def _features(samples: NDArray[np.float32]) -> NDArray[np.float64]:
    windows = reference_features.cut(samples, window=WINDOW, hop=HOP)
    return reference_features.vibration(windows, sample_rate_hz=SAMPLE_RATE_HZ)


def _recorded_at(file: Path) -> dt.datetime:
    return dt.datetime.strptime(file.name.removesuffix(".gz"), "%Y.%m.%d.%H.%M.%S")  # noqa: DTZ007


def _feature_spec() -> FeatureSpecEntry:
    pairs = zip(reference_features.VIBRATION_NAMES, reference_features.VIBRATION_UNITS, strict=True)
    return FeatureSpecEntry(
        extractor="vibration",
        features=tuple(FeatureEntry(name=name, version=1, unit=unit) for name, unit in pairs),
        sample_rate_hz=SAMPLE_RATE_HZ,
        window_samples=WINDOW,
        hop_samples=HOP,
        parameters={},
    )


def _card(recipe: Recipe, n_snapshots: int) -> ModelCard:
    return ModelCard(
        name=recipe.name,
        version=recipe.version,
        task="anomaly_detection",
        description=recipe.description,
        training_data=TrainingData(
            name="NASA IMS bearing data set, test 2",
            source="NASA Prognostics Data Repository",
            licence="no licence text in the data packet; open data whose providers ask for citation",
            citation=(
                "J. Lee, H. Qiu, G. Yu, J. Lin, and Rexnord Technical Services (2007). IMS, University of Cincinnati. "
                "Bearing Data Set, NASA Prognostics Data Repository, NASA Ames Research Center, Moffett Field, CA."
            ),
            part_used=f"{n_snapshots} one-second snapshots of the first days, four channels, 20,480 samples each",
        ),
        limits=recipe.limits,
        notes=recipe.notes,
    )


LIMITS: Final = (
    (
        "Not for another machine, bearing, load, speed or mounting: it knows one rig at 2000 rpm and 6000 lbs, in the "
        "rig's own unit. Train on the machine's own healthy days before believing a verdict."
    ),
    "Not a remaining-life estimate and not a diagnosis: the score saturates and does not grow with the damage.",
    "Not a safety function.",
)

COMMON_NOTES: Final = (
    (
        "The platform calls the rate 20,000 Hz. One snapshot is 20,480 samples of one second, and mains hum stands at "
        "60.0 Hz only at 20,480 Hz; frequencies here use that."
    ),
    (
        "Alarms are counted as the agent would raise them (12 of 20 windows), snapshot after snapshot. Days are the "
        "clock's; of each only the snapshots' seconds were recorded. The healthy days are those the model was fitted "
        "and calibrated on, but for other_bearings_model, which never saw the bearing it judges."
    ),
)
_NOTES: Final = (
    *COMMON_NOTES,
    (
        "contamination = 0.1 is the platform's and only moves scikit-learn's own offset, which is not used: as a "
        "threshold it would call 10 % of healthy windows anomalous by construction. The threshold is calibrated "
        "instead (see split)."
    ),
    (
        "max_samples is 512; the library's default is 256, with which the scores of damaged windows saturate nearer to "
        "those of rare healthy ones, so that late snapshots fall under a threshold that keeps false anomalies rare."
    ),
    (
        "Fitted on all four bearings: fitted on bearing 1 alone, every window of the others is anomalous, healthy or "
        "not. Bearing 3 is rougher than the rest from the start and gives most of the false anomalies."
    ),
)

_RECIPE: Final = Recipe(
    name=NAME,
    version=VERSION,
    description="Windows of a bearing's vibration that look unlike the healthy bearings of one test rig.",
    kind="StandardScaler + IsolationForest",
    hyperparameters=HYPERPARAMETERS,
    converter="converters.graphs.isolation_forest",
    fit=_fit,
    tolerances=TOLERANCES,
    limits=LIMITS,
    notes=_NOTES,
)
