"""Keys come and go; a revoked one is refused whatever else lies there; no clock is asked."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from converters.bundle.signing import publish, signature_line
from edge_agent.bundles.bundle import read_bundle
from edge_agent.bundles.keyring import key_id_of, parse_signature, read_key_ring
from edge_agent.errors import BundleError
from tests.support.bundle_workshop import Workshop


def sign_with(workshop: Workshop, key: Ed25519PrivateKey) -> str:
    """Sign the bundle as its builder does now; the id of the key."""
    path = workshop.bundle()
    (path / "manifest.sig").write_bytes(signature_line(key, (path / "manifest.json").read_bytes()))
    return key_id_of(key.public_key())


def revoke(workshop: Workshop, text: str) -> None:
    (workshop.keys / "revoked.txt").write_text(text)


def test_the_bundle_says_which_key_signed_it(workshop: Workshop) -> None:
    key_id = sign_with(workshop, workshop.key)
    assert read_bundle(workshop.bundle(), keys_dir=workshop.keys).key_id == key_id


def test_the_id_is_the_name_of_the_published_file(workshop: Workshop) -> None:
    assert (workshop.keys / f"{key_id_of(workshop.key.public_key())}.pub").exists()


def test_during_a_rotation_old_and_new_bundles_are_read(workshop: Workshop) -> None:
    new = Ed25519PrivateKey.generate()
    publish(new, workshop.keys)
    assert read_bundle(workshop.bundle(), keys_dir=workshop.keys).key_id == key_id_of(workshop.key.public_key())
    key_id = sign_with(workshop, new)
    assert read_bundle(workshop.bundle(), keys_dir=workshop.keys).key_id == key_id


@pytest.mark.parametrize("says_its_key", [True, False])
def test_a_revoked_key_is_refused_by_name_though_it_lies_there(workshop: Workshop, says_its_key: bool) -> None:
    key_id = sign_with(workshop, workshop.key) if says_its_key else key_id_of(workshop.key.public_key())
    publish(Ed25519PrivateKey.generate(), workshop.keys)
    revoke(workshop, f"# stolen laptop\n\n{key_id.upper()}  # since March\n")
    with pytest.raises(BundleError, match=f"key {key_id}, which is revoked"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


def test_a_revoked_key_whose_file_is_gone_is_still_named(workshop: Workshop) -> None:
    key_id = sign_with(workshop, workshop.key)
    publish(Ed25519PrivateKey.generate(), workshop.keys)
    (workshop.keys / f"{key_id}.pub").unlink()
    revoke(workshop, key_id)
    with pytest.raises(BundleError, match="which is revoked"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


def test_an_unknown_key_is_named_with_what_to_do(workshop: Workshop) -> None:
    key_id = sign_with(workshop, Ed25519PrivateKey.generate())
    with pytest.raises(BundleError, match=f"key {key_id}, a key that is not in") as refused:
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)
    assert "public key" in str(refused.value.hint)


def test_a_known_key_named_over_another_keys_signature_does_not_fit(workshop: Workshop) -> None:
    path, other = workshop.bundle(), Ed25519PrivateKey.generate()
    publish(other, workshop.keys)
    line = signature_line(other, (path / "manifest.json").read_bytes()).split()
    line[1] = key_id_of(workshop.key.public_key()).encode()
    (path / "manifest.sig").write_bytes(b" ".join(line) + b"\n")
    with pytest.raises(BundleError, match="does not fit"):
        read_bundle(path, keys_dir=workshop.keys)


@pytest.mark.parametrize("text", ["0123", "zzzzzzzzzzzzzzzz", "5cf509c44e983aa6 5cf509c44e983aa6", "\xff\xfe"])
def test_a_revoked_list_that_cannot_be_read_lets_nobody_sign(workshop: Workshop, text: str) -> None:
    (workshop.keys / "revoked.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(BundleError, match=r"revoked\.txt cannot be used, so no bundle is trusted"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)


@pytest.mark.parametrize("content", [b"", b"x" * 63, b"x" * 65, b"ed25519 abc def\n", b"ed448 " + b"0" * 145])
def test_what_is_no_signature_is_said(content: bytes) -> None:
    with pytest.raises(BundleError, match=r"manifest\.sig is not a signature"):
        parse_signature(content)


def test_a_wrong_clock_does_not_make_a_signature_invalid(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_with(workshop, workshop.key)
    for year in (0, 1_000_000_000, 4_000_000_000):
        monkeypatch.setattr(time, "time", lambda year=year: float(year))
        monkeypatch.setattr(time, "time_ns", lambda year=year: year * 10**9)
        assert read_bundle(workshop.bundle(), keys_dir=workshop.keys).key_id


def test_a_large_file_among_the_keys_is_not_read(workshop: Workshop) -> None:
    (workshop.keys / "0.pub").write_bytes(b"-" * 100_000)
    with pytest.raises(BundleError, match="larger than"):
        read_key_ring(workshop.keys)


def test_a_bundle_that_needs_a_newer_agent_is_refused_by_name(workshop: Workshop, tmp_path: Path) -> None:
    workshop.change_manifest(workshop.bundle(), lambda manifest: manifest.update(minimum_agent="99.0.0"))
    with pytest.raises(BundleError, match=r"needs agent 99\.0\.0 or newer, this is"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)
    workshop.change_manifest(workshop.bundle(), lambda manifest: manifest.update(minimum_agent="0.0.1"))
    assert read_bundle(workshop.bundle(), keys_dir=workshop.keys).manifest.minimum_agent == "0.0.1"


@pytest.mark.parametrize("version", [0, 2, "1"])
def test_another_schema_is_refused_by_name(workshop: Workshop, version: object) -> None:
    workshop.change_manifest(workshop.bundle(), lambda manifest: manifest.update(schema_version=version))
    with pytest.raises(BundleError, match="schema_version"):
        read_bundle(workshop.bundle(), keys_dir=workshop.keys)
