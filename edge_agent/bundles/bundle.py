"""Reads one bundle folder and believes nothing that is not signed and digested.

Constraints
- The order is signature, manifest, file set, digests; the first failure ends it and names its file.
- Files are read once and checked as read, so what was verified is what is used.
- Every failure is a BundleError with a hint. Knows no ONNX.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from edge_agent import __version__
from edge_agent.bundles.folders import entries_of, is_there
from edge_agent.bundles.keyring import parse_signature, read_key_ring
from edge_agent.bundles.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, Manifest, version_key
from edge_agent.core.features import FeatureSpec
from edge_agent.errors import BundleError

SIGNATURE_FILE: Final = "manifest.sig"

MAX_FILE_BYTES: Final = 64_000_000
"""Larger than any model this box can hold in memory; protects a small box from a wrong file."""

_COPY_AGAIN: Final = "copy the bundle again from where it was built; never edit a bundle"


@dataclass(frozen=True, slots=True, eq=False)
class ModelBundle:
    """A bundle whose files are what its builder signed. Not yet proven on this box: see `golden.prove`."""

    path: Path
    manifest: Manifest
    spec: FeatureSpec
    model: bytes = field(repr=False)
    golden: bytes = field(repr=False)
    key_id: str | None = None
    """Of the key that signed it; None when no signature was asked for."""

    @property
    def label(self) -> str:
        return f"{self.manifest.name} {self.manifest.version}"


def read_bundle(path: Path, *, keys_dir: Path, require_signature: bool = True) -> ModelBundle:
    """Return the bundle in folder `path`, verified.

    `keys_dir` holds the public keys that may sign (see `keyring`). With `require_signature` False
    neither signature nor keys are looked at; digests always are.

    Raises
    ------
    BundleError
        Not a bundle, not signed by a known key, changed, incomplete, or with files too many.
    """
    if not is_there(path):
        raise BundleError(f"{path}: no such bundle folder", hint="check models.dir and the bundle's name")
    manifest_text = _read(path / MANIFEST_FILE)
    key_id = None
    if require_signature:
        key_id = _verify_signature(manifest_text, _read(path / SIGNATURE_FILE), path, keys_dir)
    manifest = _parse(manifest_text, path)
    _check_agent(manifest)
    _check_file_set(path)
    contents = {name: _read_digested(path / name, digest) for name, digest in manifest.files.items()}
    spec = manifest.feature_spec.to_spec()
    return ModelBundle(path, manifest, spec, contents[MODEL_FILE], contents[GOLDEN_FILE], key_id)


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise BundleError(f"{path} is larger than {MAX_FILE_BYTES} bytes", hint=_COPY_AGAIN)
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise BundleError(f"{path.name} is missing in {path.parent}", hint=_COPY_AGAIN) from exc
    except OSError as exc:
        raise BundleError(f"{path} cannot be read: {exc.strerror}", hint="check the file's owner and mode") from exc


def _verify_signature(manifest_text: bytes, signature: bytes, path: Path, keys_dir: Path) -> str:
    ring = read_key_ring(keys_dir)
    try:
        return ring.signer_of(manifest_text, parse_signature(signature))
    except BundleError as exc:
        hint = exc.hint or f"{_COPY_AGAIN}; if its builder is new, put the builder's public key into {keys_dir}"
        raise type(exc)(f"{path}: {exc.message}", hint=hint) from exc  # a key that is missing stays one


def _parse(text: bytes, path: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise BundleError(
            f"{MANIFEST_FILE} in {path} is not a manifest this agent understands: {where}: {first['msg']}",
            hint="the bundle may be made for another version of the agent; build it again with this one's edge-convert",
        ) from exc


def _check_agent(manifest: Manifest) -> None:
    wanted = manifest.minimum_agent
    if wanted is not None and version_key(wanted) > version_key(__version__):
        raise BundleError(
            f"{manifest.name} {manifest.version} needs agent {wanted} or newer, this is {__version__}",
            hint="update the agent first",
        )


def _check_file_set(path: Path) -> None:
    present = {entry.name for entry in entries_of(path)}
    for name in (MODEL_FILE, GOLDEN_FILE):
        if name not in present:
            raise BundleError(f"{name} is missing in {path}", hint=_COPY_AGAIN)
    unexpected = sorted(present - {MANIFEST_FILE, SIGNATURE_FILE, MODEL_FILE, GOLDEN_FILE})
    if unexpected:
        raise BundleError(f"{unexpected[0]} in {path} does not belong to the bundle", hint="remove it")


def _read_digested(path: Path, digest: str) -> bytes:
    content = _read(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise BundleError(
            f"{path.name} does not match its digest: one or more bytes changed ({path.parent})", hint=_COPY_AGAIN
        )
    return content
