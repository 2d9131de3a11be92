"""Writes models_onnx/README.md from the manifests of the champions.

`python -m docs.model_reference > models_onnx/README.md`.

Every figure is the manifest's; which of a bundle's metrics stand first is said here.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from edge_agent.bundles.bundle import ModelBundle
from edge_agent.bundles.store import BundleStore, champion_version, list_bundles

MODELS: Final = Path(__file__).parents[1] / "models_onnx"

HEADLINES: Final = {
    "RandomForest_MIMII_Audio_Benchmark": ("0_dB_fan_id_02_window_roc_auc", "machines_never_heard_clips_right"),
    "ai4i_classifier_lightgbm_baseline": ("test_average_precision", "test_precision", "test_recall"),
    "ai4i_classifier_randomforest_baseline": ("test_average_precision", "test_precision", "test_recall"),
    "ai4i_classifier_svc_baseline": ("test_average_precision", "test_precision", "test_recall"),
    "anomaly_detector_refined_v2": ("found_share_step", "test_false_alarms_per_day"),
    "lightgbm_forecaster_challenger": ("test_mae", "test_mae_of_last_value", "later_false_alarms_per_day"),
    "prophet_forecaster_enhanced_sensor-001": ("test_mae", "test_mae_of_last_value", "later_false_alarms_per_day"),
    "pump_randomforest_baseline": (
        "unseen_patterns_accuracy",
        "not_this_model_with_leaking_columns_random_split_accuracy",
    ),
    "vibration_anomaly_isolationforest": (
        "lead_time_h_bearing_1",
        "other_bearings_model_lead_time_h_bearing_1",
        "other_bearings_model_false_alarms_per_day_healthy_days",
    ),
    "vibration_anomaly_oneclasssvm": (
        "lead_time_h_bearing_1",
        "other_bearings_model_lead_time_h_bearing_1",
        "other_bearings_model_false_alarms_per_day_healthy_days",
    ),
    "xjtu_anomaly_isolation_forest": (
        "other_bearings_model_lead_time_h_Bearing1_1",
        "other_bearings_model_lead_time_h_Bearing1_4",
        "other_bearings_model_lead_time_h_Bearing2_7",
        "other_bearings_model_false_alarms_per_day",
    ),
}
"""What a person should see first, on rows the model never saw. The manifest has the rest."""

HEAD: Final = """\
# The shipped model bundles

Written by `python -m docs.model_reference` from the manifests; a test holds it to them.

`<name>/<version>/` is a bundle (`manifest.json`, `model.onnx`, `golden.npz`, `manifest.sig`), `<name>/champion.json`
points at the version that counts, `keys/` holds the public keys that may sign. The agent verifies signature and digests
and runs the golden vectors at every start; a bundle with one changed byte is refused. All are starters: train on the
machine's own healthy days.
"""

TAIL: Final = """\
## Preparation inside the graph

A scaler is never a bundle of its own: the platform's `MIMII_Audio_Scaler`, which it registers beside its classifier, is
inside `RandomForest_MIMII_Audio_Benchmark`, so the two cannot be mixed up. In a forest every split is moved back
through the scaler to raw units; in a support vector machine the scaler is the first affine step. Scores are those of
scaler and model together, to the differences above.

## Building them

`edge-convert train` builds them again from `tests/data`: same data, same bytes, but for the signature, which is made
with the key in `build/signing.key` (made when missing, never in the repository); its public half is put into `keys/`.
One is left out, and the command says so: the table of `pump_randomforest_baseline` has no stated licence and is not in
the repository; build it with `edge-convert train pump_randomforest_baseline --data DIR`.

Check one: `edge-convert verify models_onnx/<name>/<version>`.

How a forecast and a history run on the edge: docs/FORECASTING.md. Another model of yours: docs/CONVERTING.md.
"""


@dataclass(frozen=True)
class Shipped:
    """A champion and what only its graph can say."""

    bundle: ModelBundle
    nodes: int


def champions(models: Path = MODELS) -> list[Shipped]:
    """Return the champion of every name, in the order of names. Raises BundleError for one that is not verified."""
    found = []
    for listing in list_bundles(models):
        folder = models / listing.name / champion_version(models, listing.name)
        bundle = BundleStore(models).read(folder)
        found.append(Shipped(bundle, len(onnx.load_from_string(bundle.model).graph.node)))
    return found


def render(shipped: list[Shipped] | None = None) -> str:
    """Return the page. Raises KeyError for a bundle this module has no headline for."""
    all_of_them = champions() if shipped is None else shipped
    parts = [HEAD, *_table(all_of_them), "", *(line for one in all_of_them for line in _section(one)), TAIL]
    return "\n".join(parts)


def _table(shipped: list[Shipped]) -> Iterable[str]:
    yield "| bundle | version | kind | graph, bytes | nodes | features | rows compared | largest difference | flips |"
    yield "|---|---|---|---:|---:|---|---:|---:|---:|"
    for one in shipped:
        manifest = one.bundle.manifest
        spec, parity = manifest.feature_spec, manifest.parity
        cells = (
            f"`{manifest.name}`",
            manifest.version,
            manifest.source_model.kind,
            f"{len(one.bundle.model):,}",
            str(one.nodes),
            f"{len(spec.features)} of `{spec.extractor}`",
            f"{parity.rows:,}",
            f"{parity.max_abs_difference:.1e}",
            _flips(parity.verdict_flips, parity.flips_in_band, parity.tolerance_band),
        )
        yield "| " + " | ".join(cells) + " |"


def _flips(flips: int, in_band: int, band: float) -> str:
    return f"{flips}" + (f" ({in_band} within {band:.0e} of the line)" if in_band else "")


def _section(one: Shipped) -> Iterable[str]:
    manifest = one.bundle.manifest
    yield f"## `{manifest.name}`\n"
    yield manifest.description + "\n"
    figures = ", ".join(f"`{name}` {manifest.metrics[name]:g}" for name in HEADLINES[manifest.name])
    yield f"- Headline: {figures}."
    yield f"- Split: {manifest.split}."
    yield from (f"- Data: {data.name}; licence: {data.licence.rstrip('.')}." for data in manifest.training_data)
    yield "- Must not be used for, and limits: " + " ".join(manifest.limits) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())
