"""One pointer says which bundle counts, and it only ever names one that was proven here."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from edge_agent.bundles.store import BundleStore, champion_version, list_bundles
from edge_agent.errors import BundleError, MissingKeyError
from tests.support.bundle_workshop import AI4I, VIBRATION, Workshop


def test_champion_is_ready_to_score(workshop: Workshop) -> None:
    champion = workshop.store.load_champion(VIBRATION)
    samples = np.random.default_rng(0).standard_normal((1, 1, 2048)).astype(np.float32)
    values, is_usable = champion.extractor.extract(samples)
    assert is_usable.all()
    assert champion.model.score(values[0])[0] > champion.bundle.manifest.threshold


def test_unknown_name_lists_the_known_ones(workshop: Workshop) -> None:
    with pytest.raises(BundleError, match=f"no bundle is called 'pump'.*{AI4I}, {VIBRATION}"):
        workshop.store.load_champion("pump")


@pytest.mark.parametrize("name", ["..", "keys", "", "a/b", f"../models/{VIBRATION}"])
def test_name_that_leads_elsewhere_is_unknown(workshop: Workshop, name: str) -> None:
    with pytest.raises(BundleError, match="no bundle is called"):
        workshop.store.load_champion(name)


def test_empty_models_folder_has_no_bundles(tmp_path: Path) -> None:
    assert list_bundles(tmp_path) == ()
    with pytest.raises(BundleError, match="there are: none"):
        BundleStore(tmp_path).load_champion(VIBRATION)


def test_a_folder_that_is_not_there_is_named_with_its_setting(tmp_path: Path) -> None:
    assert list_bundles(tmp_path / "absent") == ()
    with pytest.raises(BundleError, match=r"absent is not there") as refused:
        BundleStore(tmp_path / "absent", tmp_path / "keys").load_champion(VIBRATION)
    assert "models.dir" in (refused.value.hint or "")


def test_a_folder_that_cannot_be_read_is_no_empty_one(workshop: Workshop, tmp_path: Path) -> None:
    closed = tmp_path / ("m" * 300)  # refused to everybody, root too
    with pytest.raises(BundleError, match="cannot be read: File name too long"):
        list_bundles(closed)
    with pytest.raises(BundleError, match="cannot be read: File name too long"):
        BundleStore(closed, workshop.keys).load_champion(VIBRATION)
    with pytest.raises(BundleError, match="cannot be read: File name too long"):
        workshop.store.load_champion("n" * 300)


def test_keys_that_cannot_be_looked_at_are_not_called_missing(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(MissingKeyError, match="cannot be read: File name too long"):
        BundleStore(workshop.models, tmp_path / ("k" * 300)).load_champion(VIBRATION)


def test_a_pointer_that_cannot_be_read_is_not_called_malformed(workshop: Workshop) -> None:
    pointer = workshop.models / VIBRATION / "champion.json"
    pointer.unlink()
    pointer.mkdir()
    with pytest.raises(BundleError, match=r"champion\.json cannot be read: Is a directory"):
        champion_version(workshop.models, VIBRATION)


def test_list_names_versions_in_order_and_the_champion(workshop: Workshop) -> None:
    for version in ("1.10.0", "1.2.0"):
        workshop.add_version(VIBRATION, version)
    listing = {entry.name: entry for entry in list_bundles(workshop.models)}
    assert set(listing) == {AI4I, VIBRATION}
    assert listing[VIBRATION].versions == ("1.0.0", "1.2.0", "1.10.0")
    assert listing[VIBRATION].champion == "1.0.0"


def test_promotion_moves_the_pointer_and_back(workshop: Workshop) -> None:
    workshop.add_version(VIBRATION, "1.1.0")
    workshop.store.promote(VIBRATION, "1.1.0")
    assert workshop.store.load_champion(VIBRATION).bundle.manifest.version == "1.1.0"
    workshop.store.promote(VIBRATION, "1.0.0")
    assert champion_version(workshop.models, VIBRATION) == "1.0.0"


def test_reader_sees_the_old_or_the_new_pointer_and_never_a_part(workshop: Workshop) -> None:
    workshop.add_version(AI4I, "1.1.0")
    seen: set[str] = set()
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            seen.add((workshop.models / AI4I / "champion.json").read_text())

    reader = threading.Thread(target=read)
    reader.start()
    for version in ("1.1.0", "1.0.0") * 10:
        workshop.store.promote(AI4I, version)
    done.set()
    reader.join()
    assert {json.loads(text)["version"] for text in seen} <= {"1.0.0", "1.1.0"}
    assert sorted(entry.name for entry in (workshop.models / AI4I).iterdir()) == ["1.0.0", "1.1.0", "champion.json"]


def test_bundle_that_is_not_proven_is_not_promoted(workshop: Workshop) -> None:
    broken = workshop.add_version(VIBRATION, "1.1.0")
    (broken / "model.onnx").write_bytes(b"changed")
    with pytest.raises(BundleError, match=r"model\.onnx does not match"):
        workshop.store.promote(VIBRATION, "1.1.0")
    assert champion_version(workshop.models, VIBRATION) == "1.0.0"


def test_pointer_that_cannot_be_replaced_leaves_no_litter(workshop: Workshop) -> None:
    pointer = workshop.models / AI4I / "champion.json"
    pointer.unlink()
    (pointer / "in-the-way").mkdir(parents=True)
    with pytest.raises(BundleError, match=r"champion\.json cannot be written"):
        workshop.store.promote(AI4I, "1.0.0")
    assert sorted(entry.name for entry in (workshop.models / AI4I).iterdir()) == ["1.0.0", "champion.json"]


def test_unknown_version_lists_the_known_ones(workshop: Workshop) -> None:
    with pytest.raises(BundleError, match=r"no version '9\.9\.9'; there are: 1\.0\.0"):
        workshop.store.promote(VIBRATION, "9.9.9")


def test_missing_pointer_says_what_to_do(workshop: Workshop) -> None:
    (workshop.models / VIBRATION / "champion.json").unlink()
    with pytest.raises(BundleError, match="has no champion") as refused:
        workshop.store.load_champion(VIBRATION)
    assert "promote" in str(refused.value.hint)
    assert {entry.champion for entry in list_bundles(workshop.models)} == {None, "1.0.0"}


@pytest.mark.parametrize("text", ["", "{}", '{"version": 1}', '{"version": "../../etc"}', "\x00"])
def test_broken_pointer_is_refused(workshop: Workshop, text: str) -> None:
    (workshop.models / VIBRATION / "champion.json").write_text(text)
    with pytest.raises(BundleError, match="it must hold one version"):
        workshop.store.load_champion(VIBRATION)


def test_bundle_in_a_folder_of_another_version_is_refused(workshop: Workshop) -> None:
    shutil.copytree(workshop.bundle(), workshop.bundle(version="2.0.0"))
    with pytest.raises(BundleError, match=f"holds {VIBRATION} 1.0.0, not {VIBRATION} 2.0.0"):
        workshop.store.load(VIBRATION, "2.0.0")
