"""Which bundles were proven in a process of their own on this box, so that it is done once and not at every start.

Constraints
- A bundle is known by its manifest, which names the digest of every file, by the runtime and by the processor: changed
  files, another library and a card that moved to another box are proven again.
- What is remembered saves time and nothing else. A file that is damaged, or cannot be written, costs another proof.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Final

from cloud_sync.host.fsync import replace_file
from cloud_sync.host.private_files import make_private_folder
from edge_agent.bundles.bundle import ModelBundle
from edge_agent.bundles.isolated_proof import prove_elsewhere
from edge_agent.bundles.store import BundleStore

FILE: Final = "proven-bundles.json"
KEPT: Final = 256


class ProvenBundles:
    """`state_dir` is the gateway's. `prove` runs in a child: what ends that process does not end this one."""

    def __init__(
        self, state_dir: Path, store: BundleStore, *, prove: Callable[[Path, BundleStore], None] = prove_elsewhere
    ) -> None:
        self._file = state_dir / FILE
        self._store = store
        self._prove = prove

    def check(self, bundle: ModelBundle) -> None:
        """Prove a bundle that was read elsewhere, unless that went well before. Raises BundleError."""
        known, this = self._known(), _print_of(bundle)
        if this in known:
            return
        self._prove(bundle.path, self._store)
        with contextlib.suppress(OSError):
            make_private_folder(self._file.parent)
            replace_file(self._file, json.dumps([*known, this][-KEPT:]) + "\n")

    def _known(self) -> list[str]:
        try:
            found = json.loads(self._file.read_bytes())
        except (OSError, ValueError, RecursionError):
            return []
        return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _print_of(bundle: ModelBundle) -> str:
    box = f"{version('onnxruntime')} {version('numpy')} {platform.machine()}"
    return hashlib.sha256(f"{bundle.manifest.model_dump_json()} {box}".encode()).hexdigest()
