"""A bundle is proven in a child once, and again when something that decides it has changed."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from edge_agent.bundles import isolated_proof
from edge_agent.bundles.bundle import ModelBundle, read_bundle
from edge_agent.bundles.proven import FILE, KEPT, ProvenBundles
from edge_agent.bundles.store import BundleStore
from edge_agent.errors import BundleError
from edge_agent.isolation import ParserProcess, ProcessLimits
from edge_agent.rollout.startup import load_models
from edge_agent.settings.load import load_settings
from tests.support.places import SHIPPED_MODELS

MODELS = SHIPPED_MODELS
NAME = "ai4i_classifier_randomforest_baseline"


class Prover:
    """In the child's place; `fault` is what it says of the bundle."""

    def __init__(self) -> None:
        self.asked: list[Path] = []
        self.fault: str | None = None

    def __call__(self, path: Path, store: BundleStore) -> None:
        self.asked.append(path)
        if self.fault is not None:
            raise BundleError(self.fault)


@pytest.fixture
def bundle() -> ModelBundle:
    folder = next(path for path in (MODELS / NAME).iterdir() if path.is_dir())
    return read_bundle(folder, keys_dir=MODELS / "keys")


@pytest.fixture
def prover() -> Prover:
    return Prover()


def proven(state_dir: Path, prover: Prover) -> ProvenBundles:
    return ProvenBundles(state_dir, BundleStore(MODELS), prove=prover)


def test_it_is_asked_once_also_over_a_restart(bundle: ModelBundle, prover: Prover, tmp_path: Path) -> None:
    for _ in range(3):
        proven(tmp_path / "state", prover).check(bundle)
    assert prover.asked == [bundle.path]
    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600


def test_what_ends_the_child_is_a_refusal_each_time(bundle: ModelBundle, prover: Prover, tmp_path: Path) -> None:
    prover.fault = "model.onnx cannot be used: the parser ended by signal SIGSEGV"
    for _ in range(2):
        with pytest.raises(BundleError, match="SIGSEGV"):
            proven(tmp_path, prover).check(bundle)
    assert len(prover.asked) == 2


def test_another_runtime_or_processor_proves_again(
    bundle: ModelBundle, prover: Prover, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proven(tmp_path, prover).check(bundle)
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    proven(tmp_path, prover).check(bundle)
    assert len(prover.asked) == 2


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, [], null]", b"\xff" * 9, b"[" * 100_000])
def test_a_damaged_memory_costs_a_proof(content: bytes, bundle: ModelBundle, prover: Prover, tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(content)
    for _ in range(2):
        proven(tmp_path, prover).check(bundle)
    assert prover.asked == [bundle.path]


def test_a_memory_that_cannot_be_written_costs_a_proof(bundle: ModelBundle, prover: Prover, tmp_path: Path) -> None:
    (tmp_path / "state").touch()  # a file where the folder should be
    for _ in range(2):
        proven(tmp_path / "state", prover).check(bundle)
    assert len(prover.asked) == 2


def test_the_memory_is_bounded(bundle: ModelBundle, prover: Prover, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(str([f"{n}" for n in range(1_000)]).replace("'", '"'))
    proven(tmp_path, prover).check(bundle)
    assert (tmp_path / FILE).read_text().count(",") == KEPT - 1


def test_a_graph_is_parsed_only_after_the_child_has(prover: Prover, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(MODELS / NAME, models / NAME)
    version = next(path.name for path in (models / NAME).iterdir() if path.is_dir())
    prover.fault = "no"
    with pytest.raises(BundleError, match=r"^no$"):
        BundleStore(models, MODELS / "keys").load(NAME, version, first=proven(tmp_path, prover).check)


def test_an_agent_starts_without_a_model_that_ends_the_process_that_proves_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = ParserProcess()
    monkeypatch.setattr(isolated_proof, "_PROVER", child)
    monkeypatch.setattr(isolated_proof, "_LIMITS", ProcessLimits(memory_bytes=150 * 2**20))
    site = tmp_path / "edge.toml"
    site.write_text(
        f"""
gateway = {{id = "gw-1", site = "test", state_dir = "state", runtime_dir = "run"}}
central = {{url = "https://central.test"}}
models = {{dir = "{MODELS}"}}
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
model = "vibration_anomaly_oneclasssvm"
sample_rate_hz = 20480
channels = [{{point = "de-x"}}]
"""
    )
    models, errors = load_models(load_settings(site), log=lambda level, line: None)
    child.close()
    assert models == {}
    (error,) = errors.values()
    assert error.message.startswith("model.onnx cannot be used: the parser ")
