"""Bundles for tests: copies of a shipped one, changed and, where it must pass the signature, signed again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from converters.bundle.signing import publish
from edge_agent.bundles.store import BundleStore
from tests.support.places import SHIPPED_MODELS

SHIPPED = SHIPPED_MODELS
VIBRATION = "vibration_anomaly_isolationforest"
AI4I = "ai4i_classifier_randomforest_baseline"


@dataclass(frozen=True)
class Workshop:
    """A models folder of its own, with its own key."""

    models: Path
    key: Ed25519PrivateKey

    @property
    def keys(self) -> Path:
        return self.models / "keys"

    @property
    def store(self) -> BundleStore:
        return BundleStore(self.models)

    def bundle(self, name: str = VIBRATION, version: str = "1.0.0") -> Path:
        return self.models / name / version

    def change_manifest(self, path: Path, change: Callable[[dict[str, Any]], None]) -> None:
        """Change the manifest and sign it, as a builder would."""
        manifest = json.loads((path / "manifest.json").read_text())
        change(manifest)
        self.sign(path, manifest)

    def replace_file(self, path: Path, name: str, content: bytes) -> None:
        """Change a file together with its digest and the signature."""
        (path / name).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self.change_manifest(path, lambda manifest: manifest["files"].update({name: digest}))

    def add_version(self, name: str, version: str) -> Path:
        path = self.bundle(name, version)
        shutil.copytree(self.bundle(name), path)
        self.change_manifest(path, lambda manifest: manifest.update(version=version))
        return path

    def sign(self, path: Path, manifest: dict[str, Any]) -> None:
        text = json.dumps(manifest).encode()
        (path / "manifest.json").write_bytes(text)
        (path / "manifest.sig").write_bytes(self.key.sign(text))


def make_workshop(models: Path, *names: str) -> Workshop:
    """Copies of the shipped bundles, signed with a key made here."""
    workshop = Workshop(models, Ed25519PrivateKey.generate())
    publish(workshop.key, workshop.keys)
    for name in names:
        shutil.copytree(SHIPPED / name, models / name)
        workshop.change_manifest(workshop.bundle(name), lambda manifest: None)
    return workshop
