"""Writes a bundle folder: digests, manifest, signature; then reads and proves it as the edge will.

Constraints
- The folder appears whole or not at all: it is built beside its place and renamed into it.
- The same content gives the same bytes (but for the signature's key).
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from numpy.typing import NDArray

from converters.bundle.signing import publish, signature_line
from converters.graphs.tree_ensemble import ML_OPSET, OPSET
from edge_agent.bundles.bundle import SIGNATURE_FILE
from edge_agent.bundles.golden import GoldenReport
from edge_agent.bundles.manifest import GOLDEN_FILE, MANIFEST_FILE, MODEL_FILE, FeatureBaseline, Manifest, Toolchain
from edge_agent.bundles.silence import check_can_alarm
from edge_agent.bundles.store import BundleStore, ready


@dataclass(frozen=True, slots=True, eq=False)
class BundleContent:
    """`manifest` has every field but `files`, which are digests of what is written."""

    manifest: Manifest
    model: bytes
    golden: bytes


@dataclass(frozen=True, slots=True)
class WrittenBundle:
    path: Path
    size_bytes: int
    golden: GoldenReport


def write_bundle(content: BundleContent, models_dir: Path, key: Ed25519PrivateKey) -> WrittenBundle:
    """Write `<models_dir>/<name>/<version>`, prove it on this machine and make it champion.

    An older build of the same version is replaced. Raises BundleError, with nothing changed, when the new
    one does not pass its own golden vectors, or cannot alarm and nobody has allowed that.
    """
    store = BundleStore(models_dir)
    publish(key, store.keys)
    name, number = content.manifest.name, content.manifest.version
    parent = models_dir / name
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".building-") as scratch:
        built = Path(scratch) / number
        _write_files(content, built, key)
        proven = ready(store.read(built))
        if content.manifest.scores is None or content.manifest.scores.silent_because is None:
            check_can_alarm(proven)
        place = parent / number
        if place.exists():
            shutil.rmtree(place)
        built.rename(place)
    store.promote(name, number)
    return WrittenBundle(place, sum(file.stat().st_size for file in place.iterdir()), proven.golden)


def manifest_text(manifest: Manifest) -> bytes:
    """Return the manifest as it is signed: JSON, two blanks, a final newline."""
    unsaid = {name for name in ("minimum_agent", "scores") if getattr(manifest, name) is None}
    return (json.dumps(manifest.model_dump(mode="json", exclude=unsaid), indent=2, ensure_ascii=False) + "\n").encode()


def digests(model: bytes, golden: bytes) -> dict[str, str]:
    """Return SHA-256 of the two files, in hex."""
    return {MODEL_FILE: hashlib.sha256(model).hexdigest(), GOLDEN_FILE: hashlib.sha256(golden).hexdigest()}


def pack_golden(arrays: Mapping[str, NDArray[np.floating]]) -> bytes:
    """Return golden.npz. NumPy dates its members 1980, so that the bytes depend on the arrays alone."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **dict(arrays))
    return buffer.getvalue()


def baseline(names: tuple[str, ...], rows: NDArray[np.float64]) -> dict[str, FeatureBaseline]:
    """Return statistics of each column of the healthy training rows (n, n_features)."""
    p01, p50, p99 = np.percentile(rows, [1, 50, 99], axis=0)
    mean, std = rows.mean(axis=0), rows.std(axis=0)
    return {
        name: FeatureBaseline(
            mean=float(mean[i]), std=float(std[i]), p01=float(p01[i]), p50=float(p50[i]), p99=float(p99[i])
        )
        for i, name in enumerate(names)
    }


def toolchain(converter: str) -> Toolchain:
    """Return the versions that wrote the graph."""
    return Toolchain(
        converter=converter, onnx=version("onnx"), onnxruntime=version("onnxruntime"), opset=OPSET, ml_opset=ML_OPSET
    )


def libraries(*names: str) -> dict[str, str]:
    """Return installed versions, by distribution name."""
    return {name: version(name) for name in names}


def _write_files(content: BundleContent, folder: Path, key: Ed25519PrivateKey) -> None:
    folder.mkdir()
    text = manifest_text(content.manifest)
    (folder / MODEL_FILE).write_bytes(content.model)
    (folder / GOLDEN_FILE).write_bytes(content.golden)
    (folder / MANIFEST_FILE).write_bytes(text)
    (folder / SIGNATURE_FILE).write_bytes(signature_line(key, text))
