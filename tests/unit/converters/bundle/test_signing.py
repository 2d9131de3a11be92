"""Signing keys are private, never overwritten, and their public half opens what they closed."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from converters.bundle.signing import load_or_make_key, make_key, publish, sign
from edge_agent.errors import BundleError
from tests.support.places import REPOSITORY


def test_new_key_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    make_key(tmp_path / "build" / "signing.key")
    assert stat.S_IMODE((tmp_path / "build" / "signing.key").stat().st_mode) == 0o600


def test_key_is_never_overwritten(tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    before = (tmp_path / "key").read_bytes()
    with pytest.raises(BundleError, match="never overwritten"):
        make_key(tmp_path / "key")
    assert (tmp_path / "key").read_bytes() == before


def test_key_is_made_once_and_then_loaded(tmp_path: Path) -> None:
    first = load_or_make_key(tmp_path / "key")
    assert sign(load_or_make_key(tmp_path / "key"), b"text") == sign(first, b"text")


@pytest.mark.parametrize("text", ["", "not a key"])
def test_file_that_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(BundleError, match="is not a private key"):
        load_or_make_key(tmp_path / "key")


def test_public_half_verifies_and_several_lie_side_by_side(tmp_path: Path) -> None:
    keys = [make_key(tmp_path / name) for name in "ab"]
    files = [publish(key, tmp_path / "keys") for key in keys]
    assert len(set(files)) == 2
    public = load_pem_public_key(files[0].read_bytes())
    public.verify(sign(keys[0], b"text"), b"text")  # type: ignore[call-arg, union-attr]
    assert publish(keys[0], tmp_path / "keys") == files[0]


def test_no_private_key_lies_in_the_repository() -> None:
    root = REPOSITORY
    tracked = [*root.glob("models_onnx/**/*"), *root.glob("tests/data/**/*"), *root.glob("converters/**/*")]
    texts = [
        file.read_bytes() for file in tracked if file.is_file() and file.suffix in {".pub", ".key", ".pem", ".json"}
    ]
    assert texts
    assert not any(b"PRIVATE KEY" in text for text in texts)
