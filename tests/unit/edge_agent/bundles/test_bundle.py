"""A bundle is believed only when every byte of it is what its builder signed."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from converters.bundle.signing import publish
from edge_agent.bundles.bundle import read_bundle
from edge_agent.bundles.store import BundleStore, list_bundles
from edge_agent.errors import BundleError
from tests.support.bundle_workshop import SHIPPED, VIBRATION, Workshop

FILES = ("manifest.json", "manifest.sig", "model.onnx", "golden.npz")


def flip_byte(file: Path, share: float) -> None:
    content = bytearray(file.read_bytes())
    content[min(int(share * len(content)), len(content) - 1)] ^= 0x01
    file.write_bytes(bytes(content))


def test_shipped_bundle_is_read_with_its_spec(workshop: Workshop) -> None:
    bundle = read_bundle(SHIPPED / VIBRATION / "1.0.0", keys_dir=SHIPPED / "keys")
    assert bundle.label == f"{VIBRATION} 1.0.0"
    assert bundle.spec.extractor == "vibration"
    assert (bundle.spec.sample_rate_hz, bundle.spec.window_samples, bundle.spec.hop_samples) == (20_480.0, 2048, 1024)
    assert bundle.spec.features[2].name == "kurtosis"


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("name", FILES)
def test_one_changed_bit_in_any_file_is_refused_by_the_files_name(workshop: Workshop, name: str, share: float) -> None:
    flip_byte(workshop.bundle() / name, share)
    with pytest.raises(BundleError) as refused:
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)
    assert name in refused.value.message
    assert refused.value.hint


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz"])
def test_digest_mismatch_says_that_bytes_changed(workshop: Workshop, name: str) -> None:
    flip_byte(workshop.bundle() / name, 0.5)
    with pytest.raises(BundleError, match=f"{name} does not match its digest: one or more bytes changed"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


def test_digests_are_checked_also_when_no_signature_is_required(workshop: Workshop) -> None:
    flip_byte(workshop.bundle() / "model.onnx", 0.5)
    with pytest.raises(BundleError, match=r"model\.onnx does not match"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys, require_signature=False)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(workshop: Workshop, name: str) -> None:
    (workshop.bundle() / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


def test_file_that_does_not_belong_is_named(workshop: Workshop) -> None:
    (workshop.bundle() / "weights.bin").write_bytes(b"?")
    with pytest.raises(BundleError, match=r"weights\.bin .* does not belong"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


def test_truncated_file_is_refused(workshop: Workshop) -> None:
    model = workshop.bundle() / "model.onnx"
    model.write_bytes(model.read_bytes()[:-100])
    with pytest.raises(BundleError, match=r"model\.onnx does not match its digest"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


def test_signature_of_an_unknown_builder_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    publish(Ed25519PrivateKey.generate(), tmp_path / "other-keys")
    with pytest.raises(BundleError, match="a key that is not in"):
        read_bundle(workshop.bundle(), keys_dir=tmp_path / "other-keys")


def test_one_of_several_keys_is_enough(workshop: Workshop) -> None:
    for _ in range(3):
        publish(Ed25519PrivateKey.generate(), workshop.keys)
    assert read_bundle(workshop.bundle(), keys_dir=workshop.keys).manifest.name == VIBRATION


def test_without_any_key_nothing_is_trusted(workshop: Workshop, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no public key"):
        read_bundle(workshop.bundle(), keys_dir=tmp_path / "nowhere")


def test_unsigned_bundle_is_read_when_no_signature_is_required(workshop: Workshop, tmp_path: Path) -> None:
    (workshop.bundle() / "manifest.sig").unlink()
    bundle = read_bundle(workshop.bundle(), keys_dir=tmp_path / "nowhere", require_signature=False)
    assert bundle.manifest.name == VIBRATION


def test_key_file_that_is_no_key_is_named(workshop: Workshop) -> None:
    (workshop.keys / "0.pub").write_text("not a key")
    with pytest.raises(BundleError, match=r"0\.pub is not a public key"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


def test_key_of_another_kind_is_named(workshop: Workshop) -> None:
    public = X25519PrivateKey.generate().public_key()
    (workshop.keys / "0.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    with pytest.raises(BundleError, match=r"0\.pub is not an Ed25519 key"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m.update(colour="red"), "colour"),
        (lambda m: m.pop("threshold"), "threshold"),
        (lambda m: m.update(threshold="0.5"), "threshold"),
        (lambda m: m.update(schema_version=2), "schema_version"),
        (lambda m: m.update(higher_is_anomalous=False), "higher_is_anomalous"),
        (lambda m: m["baseline"].pop("rms"), "baseline"),
        (lambda m: m["files"].update({"../evil": "0" * 64}), "files"),
        (lambda m: m["files"].update({"model.onnx": "short"}), "model.onnx"),
        (lambda m: m["feature_spec"]["features"].append(m["feature_spec"]["features"][0]), "twice"),
    ],
)
def test_manifest_outside_its_schema_is_refused_by_field(workshop: Workshop, change, named: str) -> None:  # type: ignore[no-untyped-def]
    workshop.change_manifest(workshop.bundle(), change)
    with pytest.raises(BundleError) as refused:
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)
    assert "manifest.json" in refused.value.message
    assert named in refused.value.message


def test_folder_that_is_not_there_is_named(workshop: Workshop) -> None:
    shutil.rmtree(workshop.bundle())
    with pytest.raises(BundleError, match="no such bundle folder"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


@pytest.mark.parametrize("name", [listing.name for listing in list_bundles(SHIPPED)])
def test_a_bundle_of_the_version_before_opens_though_the_converter_it_names_has_moved(name: str) -> None:
    bundle = BundleStore(SHIPPED).read(SHIPPED / name / "1.0.0")
    assert bundle.manifest.name == name
    assert bundle.key_id is not None
    assert find_spec(bundle.manifest.toolchain.converter) is None
