"""A bundle that is new here, loaded and proven in a process of its own before the agent loads it.

A graph is a foreign structure that a library in C++ parses and runs: what ends that process must not end the agent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edge_agent.bundles.bundle import read_bundle
from edge_agent.bundles.store import BundleStore, ready
from edge_agent.errors import BundleError, ParserDiedError
from edge_agent.isolation import ParserProcess, ProcessLimits

_PROVER: Final = ParserProcess()
_LIMITS: Final = ProcessLimits(memory_bytes=4 * 2**30, cpu_s=600, wall_s=900.0)
"""On a small ARM box golden vectors take tens of seconds; the runtime's library alone takes 1 GiB of addresses."""


def prove_elsewhere(path: Path, store: BundleStore) -> None:
    """Raise BundleError for a bundle that cannot be read or proven, or that ends the process that does it."""
    try:
        _PROVER.call(load_and_prove, str(path), str(store.keys), store.require_signature, limits=_LIMITS)
    except ParserDiedError as exc:
        raise BundleError(
            f"model.onnx cannot be used: {exc.message}",
            hint="the graph is damaged or too large: build the bundle again",
        ) from exc


def load_and_prove(path: str, keys_dir: str, require_signature: bool) -> None:
    """Read, load and prove a bundle. Runs in the child. Raises BundleError."""
    ready(read_bundle(Path(path), keys_dir=Path(keys_dir), require_signature=require_signature))
