"""Bundles come in through the inbox: whole, proven and newer, or they stay outside with a reason."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import onnx
import pytest

from edge_agent.bundles import isolated_proof
from edge_agent.bundles.install import KEPT_VERSIONS, Installed, install, sweep
from edge_agent.bundles.store import BundleStore, champion_version, list_bundles
from edge_agent.errors import BundleError
from edge_agent.isolation import ParserProcess, ProcessLimits
from edge_agent.rollout import inbox as items
from edge_agent.rollout.inbox import INCOMPLETE_S, SETTLE_S, Inbox, InboxItem
from tests.support.bundle_workshop import AI4I, VIBRATION, Workshop

NOW = "2026-05-04T12:00:00Z"


class Gateway:
    """A models folder with an inbox, and a builder who makes newer versions elsewhere."""

    def __init__(self, workshop: Workshop, folder: Path) -> None:
        self.workshop = workshop
        self.outside = folder / "outside"
        self.outside.mkdir()
        self.folder = folder / "inbox"
        self.inbox = Inbox(self.folder, self.install)
        self.now_s = 0.0
        self.folder.mkdir()

    def install(self, path: Path) -> Installed:
        return install(path, self.workshop.store)

    def built(self, version: str, name: str = AI4I) -> Path:
        made = self.workshop.add_version(name, version)
        return made.rename(self.outside / f"{name}-{version}")

    def drop(self, bundle: Path, *, as_archive: bool = False) -> Path:
        if not as_archive:
            return bundle.rename(self.folder / bundle.name)
        path = self.folder / f"{bundle.name}.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            tar.add(bundle, arcname=bundle.name)
        return path

    def look(self, after_s: float = 0.0) -> list[InboxItem]:
        self.now_s += after_s
        return self.inbox.look(now_s=self.now_s, time=NOW)

    def settle(self) -> list[InboxItem]:
        """Look twice, with enough time between for what lies there to have come to rest."""
        return [*self.look(), *self.look(SETTLE_S)]

    @property
    def versions(self) -> tuple[str, ...]:
        return next(entry.versions for entry in list_bundles(self.workshop.models) if entry.name == AI4I)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def gateway(workshop: Workshop, tmp_path: Path) -> Gateway:
    return Gateway(workshop, tmp_path)


@pytest.mark.parametrize("as_archive", [True, False])
def test_a_dropped_bundle_is_installed_and_leaves_the_inbox(gateway: Gateway, as_archive: bool) -> None:
    gateway.drop(gateway.built("1.1.0"), as_archive=as_archive)
    (item,) = gateway.settle()
    assert item.installed == Installed(AI4I, "1.1.0", is_new=True)
    assert gateway.names() == []
    assert gateway.versions == ("1.0.0", "1.1.0")
    assert champion_version(gateway.workshop.models, AI4I) == "1.0.0"
    assert gateway.workshop.store.load(AI4I, "1.1.0").golden.windows > 0


def test_what_still_grows_is_left_alone(gateway: Gateway) -> None:
    whole = gateway.drop(gateway.built("1.1.0"), as_archive=True).read_bytes()
    path = gateway.folder / f"{AI4I}-1.1.0.tar.gz"
    for part in range(1, 6):
        path.write_bytes(whole[: part * len(whole) // 5])
        assert gateway.look(SETTLE_S * 0.9) == []
    assert gateway.look(SETTLE_S * 0.5) == []
    (item,) = gateway.look(SETTLE_S)
    assert item.installed is not None


@pytest.mark.parametrize("name", [".hidden.tar", "x.tar.part", "x.tmp"])
def test_names_of_unfinished_copies_are_never_looked_at(gateway: Gateway, name: str) -> None:
    (gateway.folder / name).write_bytes(b"x")
    assert gateway.settle() == []
    assert gateway.look(2 * INCOMPLETE_S) == []
    assert gateway.names() == [name]


def test_a_copy_that_broke_off_is_refused_only_after_a_while(gateway: Gateway) -> None:
    path = gateway.drop(gateway.built("1.1.0"), as_archive=True)
    path.write_bytes(path.read_bytes()[:1_000])
    assert gateway.settle() == []
    (item,) = gateway.look(INCOMPLETE_S)
    assert "cut short" in item.reason
    assert gateway.names() == ["refused"]


def test_a_folder_without_all_its_files_waits_for_them(gateway: Gateway) -> None:
    folder = gateway.drop(gateway.built("1.1.0"))
    last = (folder / "manifest.sig").rename(gateway.outside / "manifest.sig")
    assert gateway.settle() == []
    last.rename(folder / "manifest.sig")
    (item,) = gateway.settle()
    assert item.installed is not None


def refusal(gateway: Gateway) -> str:
    (item,) = gateway.settle()
    assert item.installed is None
    return item.reason


def test_a_refused_bundle_is_kept_with_its_reason(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0")
    (bundle / "model.onnx").write_bytes(b"changed")
    gateway.drop(bundle)
    reason = refusal(gateway)
    assert "model.onnx does not match its digest" in reason
    kept = gateway.folder / "refused"
    assert (kept / bundle.name / "model.onnx").read_bytes() == b"changed"
    assert json.loads((kept / f"{bundle.name}.reason.json").read_text())["reason"] == reason
    (entry,) = gateway.inbox.refused()
    assert (entry.entry, entry.reason, entry.time) == (bundle.name, reason, NOW)
    assert gateway.versions == ("1.0.0",)


def test_a_stranger_among_the_files_is_refused(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0")
    (bundle / "run.sh").write_text("")
    gateway.drop(bundle)
    assert "run.sh" in refusal(gateway)


def test_a_link_is_refused_and_not_followed(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0")
    (gateway.folder / "bundle").symlink_to(bundle)
    assert "is a link" in refusal(gateway)
    assert (gateway.folder / "refused" / "bundle").is_symlink()
    assert sorted(file.name for file in bundle.iterdir()) == [
        "golden.npz",
        "manifest.json",
        "manifest.sig",
        "model.onnx",
    ]


def test_a_link_within_a_folder_is_refused(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0")
    model = (bundle / "model.onnx").rename(gateway.outside / "elsewhere.onnx")
    (bundle / "model.onnx").symlink_to(model)
    gateway.drop(bundle)
    assert "model.onnx" in refusal(gateway)


def test_something_else_than_a_bundle_is_refused(gateway: Gateway) -> None:
    (gateway.folder / "holiday.jpg").write_bytes(b"x")
    assert "neither a folder nor" in refusal(gateway)


@pytest.mark.parametrize("version", ["1.0.0", "0.9.0"])
def test_a_version_at_or_below_the_champions_does_not_come_in(gateway: Gateway, version: str) -> None:
    gateway.workshop.add_version(AI4I, "1.1.0")
    gateway.workshop.store.promote(AI4I, "1.1.0")
    shutil.rmtree(gateway.workshop.bundle(AI4I, "1.0.0")) if version == "1.0.0" else None
    gateway.drop(_relabelled(gateway, version))
    assert "is not newer than the champion 1.1.0" in refusal(gateway)


def _relabelled(gateway: Gateway, version: str) -> Path:
    path = gateway.outside / f"{AI4I}-{version}"
    shutil.copytree(gateway.workshop.bundle(AI4I, "1.1.0"), path)
    gateway.workshop.change_manifest(path, lambda manifest: manifest.update(version=version))
    return path


def test_the_same_bundle_dropped_twice_is_no_news(gateway: Gateway) -> None:
    gateway.drop(gateway.built("1.1.0"), as_archive=True)
    gateway.settle()
    shutil.copytree(gateway.workshop.bundle(AI4I, "1.1.0"), gateway.folder / "again")
    (item,) = gateway.settle()
    assert item.installed == Installed(AI4I, "1.1.0", is_new=False)
    assert gateway.names() == []


def test_another_bundle_under_an_installed_version_is_refused(gateway: Gateway) -> None:
    gateway.drop(gateway.built("1.1.0"))
    gateway.settle()
    path = gateway.outside / "other"
    shutil.copytree(gateway.workshop.bundle(AI4I, "1.1.0"), path)
    gateway.workshop.change_manifest(path, lambda manifest: manifest.update(description="another"))
    gateway.drop(path)
    assert "a version is never replaced" in refusal(gateway)


def test_a_graph_of_an_opset_the_runtime_does_not_know_is_refused(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0", VIBRATION)
    graph = onnx.load(bundle / "model.onnx")
    for entry in graph.opset_import:
        entry.version = 999
    gateway.workshop.replace_file(bundle, "model.onnx", graph.SerializeToString())
    gateway.drop(bundle)
    assert "opset" in refusal(gateway).lower()


def test_a_graph_of_another_width_is_refused(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0")
    other = (gateway.workshop.bundle(VIBRATION) / "model.onnx").read_bytes()
    gateway.workshop.replace_file(bundle, "model.onnx", other)
    gateway.drop(bundle)
    assert "the manifest lists 7 features" in refusal(gateway)


def test_other_names_than_the_manifests_are_refused(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0")
    gateway.workshop.change_manifest(bundle, lambda manifest: manifest.update(input_name="other"))
    gateway.drop(bundle)
    assert "the manifest says 'other'" in refusal(gateway)


def test_a_feature_version_this_agent_does_not_have_is_refused_by_name(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0", VIBRATION)
    gateway.workshop.change_manifest(bundle, lambda m: m["feature_spec"]["features"][0].update(version=99))
    gateway.drop(bundle)
    assert "99" in refusal(gateway)


def test_a_bundle_that_computes_something_else_here_is_refused(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0", VIBRATION)
    gateway.workshop.change_manifest(bundle, lambda m: m["tolerances"].update(score_atol=1e-12))
    gateway.drop(bundle)
    assert "golden window" in refusal(gateway)


def test_the_refused_folder_is_bounded_oldest_out(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "MAX_REFUSED", 3)
    for number in range(6):
        (gateway.folder / f"{number}.jpg").write_bytes(b"x")
        gateway.settle()
    assert [entry.entry for entry in gateway.inbox.refused()] == ["5.jpg", "4.jpg", "3.jpg"]
    assert len(list((gateway.folder / "refused").iterdir())) == 6


def test_the_refused_folder_is_bounded_in_bytes(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(items, "MAX_REFUSED_BYTES", 2_500)
    for number in range(4):
        (gateway.folder / f"{number}.jpg").write_bytes(b"x" * 1_000)
        gateway.settle()
    assert [entry.entry for entry in gateway.inbox.refused()] == ["3.jpg", "2.jpg"]


def test_a_bundle_that_ends_the_agent_is_tried_twice_only(gateway: Gateway) -> None:
    """Each inbox stands for one start; the mark is what a process that died in the middle leaves."""
    gateway.drop(gateway.built("1.1.0"))
    (gateway.folder / f".trying-{AI4I}-1.1.0").write_bytes(b"..")
    assert "the agent ended 2 times while trying it" in refusal(gateway)
    assert gateway.names() == ["refused"]


def test_versions_do_not_pile_up_and_those_that_matter_stay(gateway: Gateway) -> None:
    models = gateway.workshop.models
    for minor, bundle in enumerate([gateway.built(f"1.{minor}.0") for minor in range(1, 10)], start=1):
        gateway.drop(bundle)
        (item,) = gateway.settle()
        assert item.installed is not None
        if minor <= 2:
            BundleStore(models).promote(AI4I, f"1.{minor}.0")
    assert len(gateway.versions) == KEPT_VERSIONS
    assert {"1.1.0", "1.2.0", "1.9.0"} <= set(gateway.versions)


def test_an_installation_leaves_no_litter_and_sweeps_what_a_killed_one_left(gateway: Gateway) -> None:
    models = gateway.workshop.models
    gateway.drop(gateway.built("1.1.0"))
    gateway.settle()
    assert not list(models.rglob(".*"))
    (models / ".incoming-abc" / "bundle").mkdir(parents=True)
    (models / AI4I / ".doomed-0.9.0").mkdir()
    sweep(models)
    assert not list(models.rglob(".*"))


def test_a_models_folder_that_cannot_be_written_is_said(gateway: Gateway) -> None:
    bundle = gateway.built("1.1.0")
    with pytest.raises(BundleError, match="cannot be installed") as refused:
        install(bundle, BundleStore(gateway.outside / "missing", gateway.workshop.keys))
    assert "models.dir" in str(refused.value.hint)


def test_an_inbox_that_is_no_folder_is_said(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    inbox = Inbox(tmp_path / "file", lambda path: Installed("a", "1.0.0", is_new=True))
    with pytest.raises(BundleError, match=r"the inbox .* cannot be used"):
        inbox.look(now_s=0.0, time=NOW)


def test_a_bundle_that_ends_the_process_that_proves_it_is_refused_and_the_agent_lives(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    prover = ParserProcess()
    monkeypatch.setattr(isolated_proof, "_PROVER", prover)
    monkeypatch.setattr(isolated_proof, "_LIMITS", ProcessLimits(memory_bytes=150 * 2**20))
    gateway.drop(gateway.built("1.1.0"))
    (item,) = gateway.settle()
    prover.close()
    assert item.reason.startswith("model.onnx cannot be used: the parser ")
    assert "1.1.0" not in gateway.versions


def test_what_lacks_a_key_comes_back_by_itself_when_there_is_another(workshop: Workshop, tmp_path: Path) -> None:
    (key,) = workshop.keys.glob("*.pub")
    key.rename(tmp_path / "later.pub")
    folder = tmp_path / "inbox"
    inbox = Inbox(folder, lambda path: install(path, workshop.store), keys_dir=workshop.keys)
    workshop.add_version(VIBRATION, "1.1.0").rename(tmp_path / "new")
    folder.mkdir()
    (tmp_path / "new").rename(folder / "new")

    def looked(since_s: float) -> list[InboxItem]:
        return inbox.look(now_s=since_s, time=NOW) + inbox.look(now_s=since_s + SETTLE_S + 1, time=NOW)

    (refused,) = looked(0.0)
    assert "holds no public key" in refused.reason
    assert [(entry.entry, "tried again by itself" in (entry.do or "")) for entry in inbox.refused()] == [("new", True)]
    assert looked(100.0) == []
    (tmp_path / "later.pub").rename(key)
    (arrived,) = looked(200.0)
    assert arrived.installed is not None
    assert arrived.installed.version == "1.1.0"
    assert inbox.refused() == ()


def test_what_is_damaged_does_not_come_back_for_another_key(workshop: Workshop, tmp_path: Path) -> None:
    folder = tmp_path / "inbox"
    inbox = Inbox(folder, lambda path: install(path, workshop.store), keys_dir=workshop.keys)
    workshop.add_version(VIBRATION, "1.1.0").rename(tmp_path / "new")
    (tmp_path / "new" / "model.onnx").write_bytes(b"x")
    folder.mkdir()
    (tmp_path / "new").rename(folder / "new")
    assert inbox.look(now_s=0.0, time=NOW) + inbox.look(now_s=SETTLE_S + 1, time=NOW)
    (workshop.keys / "another.pub").write_bytes(next(workshop.keys.glob("*.pub")).read_bytes())
    assert inbox.look(now_s=100.0, time=NOW) + inbox.look(now_s=200.0, time=NOW) == []
    assert [entry.entry for entry in inbox.refused()] == ["new"]
