"""The golden run lets a bundle pass only when this box computes what the source framework computed."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_agent.bundles.bundle import ModelBundle, read_bundle
from edge_agent.bundles.golden import prove
from edge_agent.errors import BundleError
from tests.support.bundle_workshop import AI4I, VIBRATION, Workshop

Arrays = dict[str, NDArray[np.floating]]


def changed(workshop: Workshop, change: Callable[[Arrays], None], name: str = VIBRATION) -> ModelBundle:
    path = workshop.bundle(name)
    with np.load(path / "golden.npz") as archive:
        arrays = {key: archive[key] for key in archive.files}
    change(arrays)
    packed = io.BytesIO()
    np.savez_compressed(packed, **arrays)
    workshop.replace_file(path, "golden.npz", packed.getvalue())
    return read_bundle(path, keys_dir=workshop.keys)


def test_report_says_how_close_this_box_came(workshop: Workshop) -> None:
    report = prove(read_bundle(workshop.bundle(), keys_dir=workshop.keys))
    assert report.windows == 6
    assert 0 < report.anomalous_windows < report.windows
    assert 0 <= report.worst_feature_share <= 1
    assert report.max_score_difference <= 1e-5


def test_golden_of_tags_needs_no_samples(workshop: Workshop) -> None:
    report = prove(read_bundle(workshop.bundle(AI4I), keys_dir=workshop.keys))
    assert report.windows == 40
    assert 0 < report.anomalous_windows < report.windows


def test_feature_off_by_more_than_its_tolerance_is_named_with_both_values(workshop: Workshop) -> None:
    def shift(arrays: Arrays) -> None:
        arrays["features"][1, 2, 2] += 1e-3

    with pytest.raises(BundleError, match=r"golden window 5: kurtosis is \S+, expected \S+ within \S+"):
        prove(changed(workshop, shift))


def test_score_off_by_more_than_its_tolerance_is_named_with_both_values(workshop: Workshop) -> None:
    def shift(arrays: Arrays) -> None:
        arrays["scores"][0, 1] += 2e-5

    with pytest.raises(BundleError, match=r"golden window 1: score is \S+, expected \S+ within 1e-05"):
        prove(changed(workshop, shift))


def test_changed_sample_is_noticed(workshop: Workshop) -> None:
    def spike(arrays: Arrays) -> None:
        arrays["samples"][0, 100] += 0.05

    with pytest.raises(BundleError, match="golden window 0"):
        prove(changed(workshop, spike))


def test_sample_that_is_not_finite_is_noticed(workshop: Workshop) -> None:
    def hole(arrays: Arrays) -> None:
        arrays["samples"][0, 100] = np.nan

    with pytest.raises(BundleError, match="a window was refused as unusable"):
        prove(changed(workshop, hole))


def test_wrong_number_of_windows_is_noticed(workshop: Workshop) -> None:
    def longer(arrays: Arrays) -> None:
        arrays["samples"] = np.concatenate([arrays["samples"], arrays["samples"]], axis=1)

    with pytest.raises(BundleError, match="golden run gave"):
        prove(changed(workshop, longer))


def test_samples_that_fill_no_window_are_noticed(workshop: Workshop) -> None:
    def shorter(arrays: Arrays) -> None:
        arrays["samples"] = arrays["samples"][:, :100]

    with pytest.raises(BundleError, match="fill no window"):
        prove(changed(workshop, shorter))


@pytest.mark.parametrize("missing", ["samples", "features", "scores"])
def test_golden_without_one_of_its_arrays_is_refused(workshop: Workshop, missing: str) -> None:
    def forget(arrays: Arrays) -> None:
        del arrays[missing]

    with pytest.raises(BundleError, match=r"golden\.npz cannot be read"):
        prove(changed(workshop, forget))


def test_golden_that_is_no_archive_is_refused(workshop: Workshop) -> None:
    workshop.replace_file(workshop.bundle(), "golden.npz", b"not an archive")
    with pytest.raises(BundleError, match=r"golden\.npz cannot be read"):
        prove(read_bundle(workshop.bundle(), keys_dir=workshop.keys))


def test_pickled_object_in_golden_is_refused_not_loaded(workshop: Workshop) -> None:
    def smuggle(arrays: Arrays) -> None:
        arrays["scores"] = np.array([{"run": "me"}], dtype=object)

    with pytest.raises(BundleError, match=r"golden\.npz cannot be read"):
        prove(changed(workshop, smuggle))


def test_feature_version_this_agent_does_not_have_is_refused_by_name(workshop: Workshop) -> None:
    workshop.change_manifest(
        workshop.bundle(), lambda manifest: manifest["feature_spec"]["features"][0].update(version=2)
    )
    with pytest.raises(BundleError, match=r"rms version 1; the model wants version 2"):
        prove(read_bundle(workshop.bundle(), keys_dir=workshop.keys))


def test_feature_family_this_agent_does_not_have_is_refused_by_name(workshop: Workshop) -> None:
    workshop.change_manifest(workshop.bundle(), lambda manifest: manifest["feature_spec"].update(extractor="wavelet"))
    with pytest.raises(BundleError, match="no feature family wavelet"):
        prove(read_bundle(workshop.bundle(), keys_dir=workshop.keys))
