"""A new model on a running gateway: in through the inbox, beside the champion, champion, and back when it fails."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from cloud_sync.records import EventKind
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.bundles.champion_file import Note, note_probation, read_pointer
from edge_agent.cli import models as command
from edge_agent.cli.model_text import model_lines
from edge_agent.core.clock import SystemClock
from edge_agent.errors import BundleError
from edge_agent.rollout import inbox as item
from edge_agent.rollout import lifecycle
from edge_agent.rollout.challenger_file import Challenger, ChallengerState, write_challenger
from edge_agent.settings.load import load_settings
from tests.support.bundle_workshop import AI4I, SHIPPED, VIBRATION, Workshop, make_workshop

DEADLINE_S = 30


@dataclass
class Site:
    """A gateway with one synthetic source, and a builder of newer versions.

    The signal's score is 0.704 to the champion and its threshold 0.72, so every window is normal; its rms is 1.4."""

    folder: Path
    workshop: Workshop
    more: str = ""
    probation: int = 60
    windows: int = 40

    @property
    def config(self) -> Path:
        path = self.folder / "edge.toml"
        path.write_text(
            f"""\
[gateway]
id = "gw-models"
site = "test"
state_dir = "state"
runtime_dir = "run"
[central]
url = "https://central.test"
[outbox]
flush_interval_s = 0.05
[report]
interval_s = 0.2
alarm_interval_s = 0.2
[models]
dir = "models"
inbox = "inbox"
shadow_windows = {self.windows}
probation_windows = {self.probation}
probation_s = 0
shadow_cpu_share = 1.0
shadow_latency_ms = 1000
{self.more}
[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
sample_rate_hz = 20480
amplitude = 2.0
model = "{VIBRATION}"
sensor_checks = []
channels = [{{ point = "x" }}, {{ point = "y" }}]
""",
            encoding="utf-8",
        )
        return path

    @property
    def pointer(self) -> str:
        return read_pointer(self.workshop.models / VIBRATION).version

    def add(self, version: str, **changes: Any) -> Path:
        path = self.workshop.add_version(VIBRATION, version)
        self.workshop.change_manifest(path, lambda manifest: manifest.update(changes))
        return path

    def drop(self, version: str, **changes: Any) -> None:
        made = self.add(version, **changes).rename(self.folder / f"{VIBRATION}-{version}")
        (self.folder / "inbox").mkdir(exist_ok=True)
        made.rename(self.folder / "inbox" / made.name)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setattr(item, "SETTLE_S", 0.1)
    monkeypatch.setattr(lifecycle, "LOOK_EVERY_S", 0.2)
    monkeypatch.setattr(lifecycle, "ROUND_S", 0.05)
    workshop = make_workshop(tmp_path / "models", VIBRATION)
    workshop.change_manifest(workshop.bundle(), lambda manifest: manifest.update(threshold=0.72))
    return Site(tmp_path, workshop)


@dataclass
class Running:
    agent: Agent
    central: MemoryTransport

    def reports(self, state: str) -> list[dict[str, Any]]:
        events = [event for event in self.central.events.values() if event.kind is EventKind.MODEL_REPORT]
        return [dict(event.body) for event in events if event.body["state"] == state]

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        try:
            async with asyncio.timeout(DEADLINE_S):
                while not condition():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            pytest.fail(f"waited in vain for: {what}")

    async def report(self, state: str) -> dict[str, Any]:
        await self.until(lambda: bool(self.reports(state)), f"a model report {state!r}")
        return self.reports(state)[0]

    async def champion(self) -> dict[str, Any]:
        champion: dict[str, Any] = (await self.agent._describe())["model_updates"]["champions"][0]
        return champion

    @property
    def version(self) -> str:
        (stage,) = self.agent.stages
        assert stage.scored is not None
        return stage.scored.model.version


@contextlib.asynccontextmanager
async def running(site: Site) -> AsyncIterator[Running]:
    central = MemoryTransport()
    agent = Agent.build(load_settings(site.config), clock=SystemClock(), transport=central)
    stop = asyncio.Event()
    task = asyncio.create_task(agent.run(stop))
    try:
        yield Running(agent, central)
    finally:
        stop.set()
        await task


async def test_a_dropped_version_is_tried_said_to_be_ready_and_promoted_by_hand(site: Site) -> None:
    async with running(site) as gateway:
        site.drop("1.1.0")
        assert (await gateway.report("installed"))["model_version"] == "1.1.0"
        assert (await gateway.report("shadow"))["previous_version"] == "1.0.0"
        assert "more anomalous" in (await gateway.report("ready"))["reason"]
        challenger = (await gateway.champion())["challenger"]
        assert challenger["state"] == "ready"
        assert challenger["do"] == f"edge-agent models promote {VIBRATION} 1.1.0"
        assert gateway.version == site.pointer == "1.0.0", "a person decides"
        await asyncio.to_thread(command.promote_version, site.config, VIBRATION, "1.1.0", why="better", as_json=True)
        report = await gateway.report("promoted")
        assert (report["model_version"], report["previous_version"], report["reason"]) == ("1.1.0", "1.0.0", "better")
        assert gateway.version == "1.1.0"
        assert (await gateway.champion())["is_on_probation"]
        await gateway.report("probation_passed")
        assert (await gateway.champion())["challenger"] is None
        await gateway.until(lambda: made_by(gateway, "1.1.0"), "rows of the new version")
    assert read_pointer(site.workshop.models / VIBRATION).probation_starts is None


def made_by(gateway: Running, version: str) -> bool:
    rows = [row for (sensor_id, _), row in gateway.central.rows.items() if sensor_id.endswith(".score")]
    return any(row.series.metadata["model_version"] == version for row in rows)


async def test_no_window_is_lost_or_doubled_over_promotion_and_rollback(site: Site) -> None:
    site.add("1.1.0")
    async with running(site) as gateway:
        line = gateway.agent.stages[0].scored
        for version, move in (("1.1.0", promote_by_hand), ("1.0.0", roll_back_by_hand)):
            await asyncio.to_thread(move, site)
            await gateway.until(lambda version=version: gateway.version == version, f"{version} in use")
        report = await gateway.report("rolled_back")
        assert (report["model_version"], report["previous_version"]) == ("1.0.0", "1.1.0")
        assert report["reason"] == "rolled back by hand"
        blocks = gateway.agent.supervisors[0].health
        assert blocks.losses_total == 0
        scored = [channel.scored_total for channel in line.channels]
    events = gateway.central.events.values()
    causes = {event.body["cause"] for event in events if event.kind is EventKind.GAP}
    assert causes <= {"queue_full"}, "a swap is no gap"
    assert scored[0] == scored[1] > 0


def promote_by_hand(site: Site) -> None:
    command.promote_version(site.config, VIBRATION, "1.1.0", why="", as_json=False)


def promote_all_the_same(site: Site) -> None:
    command.promote_version(
        site.config, VIBRATION, "1.1.0", why="the plant wants it", despite_refusal=True, as_json=False
    )


def roll_back_by_hand(site: Site) -> None:
    command.rollback(site.config, VIBRATION, None, why="", as_json=False)


async def test_automatic_promotion_needs_nobody(site: Site) -> None:
    site.more = 'promote = "automatic"'
    async with running(site) as gateway:
        site.drop("1.1.0")
        report = await gateway.report("promoted")
        assert report["by"] == "agent"
        assert "its shadow run held" in report["reason"]
        await gateway.report("probation_passed")
    assert site.pointer == "1.1.0"


async def test_a_version_that_alarms_too_much_never_becomes_champion(site: Site) -> None:
    site.more = 'promote = "automatic"'
    async with running(site) as gateway:
        site.drop("1.1.0", threshold=0.65)
        report = await gateway.report("refused")
        assert "anomalous that the champion calls normal" in report["reason"]
        assert gateway.version == site.pointer == "1.0.0"
        assert (await gateway.champion())["challenger"]["state"] == "refused"
    async with running(site) as again:
        await again.until(lambda: again.agent.lifecycle.rollouts[VIBRATION].challenger is not None, "the first look")
        assert again.agent.lifecycle.rollouts[VIBRATION].shadow is None, "what was refused is not tried again"


async def test_an_alarm_flood_after_a_promotion_goes_back_by_itself(site: Site) -> None:
    site.add("1.1.0", threshold=0.65)
    async with running(site) as gateway:
        await asyncio.to_thread(promote_by_hand, site)
        report = await gateway.report("rolled_back")
        assert (report["model_version"], report["previous_version"]) == ("1.0.0", "1.1.0")
        assert "alarm flood" in report["reason"]
        assert gateway.version == site.pointer == "1.0.0"
    pointer = read_pointer(site.workshop.models / VIBRATION)
    assert pointer.history[0].is_rolled_back
    assert "alarm flood" in str(pointer.why)


def not_a_number_above(path: Path, workshop: Workshop, rms: float) -> None:
    """The same graph, but NaN for a window whose rms is higher: score + 0 * sqrt(rms limit - rms)."""
    model = onnx.load(path / "model.onnx")
    graph = model.graph
    manifest = json.loads((path / "manifest.json").read_text())
    constants = {"first": np.array(0, np.int64), "limit": np.array(rms, np.float32), "nil": np.array(0, np.float32)}
    for name, value in constants.items():
        kind = TensorProto.INT64 if value.dtype == np.int64 else TensorProto.FLOAT
        graph.initializer.append(helper.make_tensor(name, kind, [], [value.item()]))
    graph.node.extend(
        [
            helper.make_node("Gather", [manifest["input_name"], "first"], ["rms"], axis=1),
            helper.make_node("Sub", ["limit", "rms"], ["room"]),
            helper.make_node("Sqrt", ["room"], ["root"]),
            helper.make_node("Mul", ["root", "nil"], ["nothing"]),
            helper.make_node("Add", [manifest["output_name"], "nothing"], ["careful"]),
        ]
    )
    graph.output.append(helper.make_tensor_value_info("careful", TensorProto.FLOAT, [None]))
    workshop.change_manifest(path, lambda m: m.update(output_name="careful"))
    workshop.replace_file(path, "model.onnx", model.SerializeToString())


async def test_a_version_that_gives_no_number_goes_back_at_once_and_the_gap_is_told(site: Site) -> None:
    not_a_number_above(site.add("1.1.0"), site.workshop, 0.5)
    site.more = ""
    async with running(site) as gateway:
        await asyncio.to_thread(promote_all_the_same, site)
        report = await gateway.report("rolled_back")
        assert "it did not take a window" in report["reason"]
        assert "not finite" in report["reason"]
        before = gateway.agent.stages[0].scored.channels[0].scored_total
        await gateway.until(
            lambda: gateway.agent.stages[0].scored.channels[0].scored_total > before, "windows scored by the old one"
        )
    gaps = [e.body for e in gateway.central.events.values() if e.kind is EventKind.GAP]
    assert any(gap["cause"] == "model_refused" and gap["end_us"] > gap["start_us"] for gap in gaps)


async def test_a_version_that_gives_no_number_fails_its_shadow_run_and_costs_the_champion_nothing(site: Site) -> None:
    not_a_number_above(site.add("1.1.0"), site.workshop, 0.5)
    async with running(site) as gateway:
        assert "not finite" in (await gateway.report("refused"))["reason"]
        assert gateway.version == "1.0.0"
        assert gateway.agent.stages[0].scored.model_refused_total == 0


async def test_a_refused_inbox_item_is_an_event_and_in_the_status_and_the_champion_stays(site: Site) -> None:
    async with running(site) as gateway:
        site.drop("0.9.0")
        assert "is not newer than the champion" in (await gateway.report("refused"))["reason"]
        await gateway.until(lambda: bool(gateway.agent.lifecycle.inbox.refused), "the refused folder")
        document = await gateway.agent._describe()
        assert document["model_updates"]["refused"][0]["entry"] == f"{VIBRATION}-0.9.0"
        assert document["models"][0]["version"] == "1.0.0"


async def test_a_pointer_at_what_cannot_be_used_is_a_problem_and_the_old_one_scores_on(site: Site) -> None:
    site.add("1.1.0")
    async with running(site) as gateway:
        await gateway.report("shadow")
        (site.workshop.bundle(version="1.1.0") / "model.onnx").write_bytes(b"damaged")
        (site.workshop.models / VIBRATION / "champion.json").write_text('{"version": "1.1.0"}')
        await gateway.until(lambda: gateway.agent.lifecycle.rollouts[VIBRATION].error is not None, "the error")
        document = await gateway.agent._describe()
        assert any("version 1.0.0 scores on" in problem["what"] for problem in document["problems"])
        assert gateway.version == "1.0.0"


def on_probation(site: Site, **changes: Any) -> Path:
    path = site.add("1.1.0", **changes)
    site.workshop.store.promote(VIBRATION, "1.1.0", note=Note("anna", "try", "2026-05-04T12:00:00Z"), on_probation=True)
    return path


async def test_a_champion_on_probation_that_cannot_be_loaded_goes_back_at_the_start(site: Site) -> None:
    path = on_probation(site)
    (path / "model.onnx").write_bytes(b"damaged")
    async with running(site) as gateway:
        report = await gateway.report("rolled_back")
        assert "model.onnx does not match" in report["reason"]
        assert gateway.version == site.pointer == "1.0.0"


async def test_a_champion_that_takes_the_agent_down_goes_back_after_three_starts(site: Site) -> None:
    on_probation(site)
    note_probation(site.workshop.models / VIBRATION, "1.1.0", 3)
    async with running(site) as gateway:
        assert "died 3 times within its probation" in (await gateway.report("rolled_back"))["reason"]
        assert gateway.version == site.pointer == "1.0.0"


async def test_a_version_that_does_not_fit_the_source_goes_back_though_the_command_took_it(site: Site) -> None:
    """The command knows bundles, not sources: here a model over tags under a waveform model's name."""
    made = site.workshop.bundle(version="1.1.0")
    shutil.copytree(SHIPPED / AI4I / "1.0.0", made)
    site.workshop.change_manifest(made, lambda manifest: manifest.update(name=VIBRATION, version="1.1.0"))
    async with running(site) as gateway:
        assert "scores tags, and rig delivers samples" in (await gateway.report("refused"))["reason"]
        await asyncio.to_thread(promote_all_the_same, site)
        report = await gateway.report("rolled_back")
        assert "scores tags, and rig delivers samples" in report["reason"]
        assert gateway.version == site.pointer == "1.0.0"
        assert gateway.agent.stages[0].scored.model_refused_total == 0


# A model that would not see what is seen today

BLIND = 0.999
IN_ALARM = 0.69  # the signal's score is 0.704
CALM = 0.72


def blind_of(site: Site) -> Path:
    return site.add("1.1.0", threshold=BLIND)


async def test_a_blind_model_is_refused_at_the_inbox_in_the_shadow_run_and_at_promotion(site: Site) -> None:
    site.more = 'promote = "automatic"'
    async with running(site) as gateway:
        site.drop("1.2.0", threshold=BLIND)
        inbox_report = await gateway.report("refused")
        assert "1.2.0: it never alarms: its threshold is 0.999" in inbox_report["reason"]
        blind_of(site)
        await gateway.until(lambda: len(gateway.reports("refused")) == 2, "the shadow run to refuse it")
        assert "it never alarms" in gateway.reports("refused")[1]["reason"]
        with pytest.raises(
            BundleError, match=r"1\.1\.0 is not promoted: its shadow run refused it: it never alarms"
        ) as refused:
            await asyncio.to_thread(promote_by_hand, site)
        assert "--despite-refusal" in str(refused.value.hint)
        assert gateway.version == site.pointer == "1.0.0"


async def test_a_blind_model_whose_pointer_was_moved_by_other_means_goes_back(site: Site) -> None:
    async with running(site) as gateway:
        blind_of(site)
        await gateway.report("refused")
        note = Note("anna", "try", "2026-05-04T12:00:00Z")
        site.workshop.store.promote(VIBRATION, "1.1.0", note=note, on_probation=True)
        assert "it never alarms" in (await gateway.report("rolled_back"))["reason"]
        assert gateway.version == site.pointer == "1.0.0"


async def test_a_blind_model_on_probation_goes_back_at_the_start(site: Site) -> None:
    on_probation(site, threshold=BLIND)
    async with running(site) as gateway:
        assert "it never alarms" in (await gateway.report("rolled_back"))["reason"]
        assert gateway.version == site.pointer == "1.0.0"


async def test_a_person_may_overrule_and_status_does_not_let_it_rest(site: Site) -> None:
    blind_of(site)
    with pytest.raises(BundleError, match="--despite-refusal needs --why"):
        command.promote_version(site.config, VIBRATION, "1.1.0", why="", despite_refusal=True, as_json=False)
    await asyncio.to_thread(promote_all_the_same, site)
    async with running(site) as gateway:
        assert gateway.version == "1.1.0"
        await gateway.report("probation_passed")
        document = await gateway.agent._describe()
        (problem,) = [p for p in document["problems"] if "watches nothing" in p["what"]]
        assert "1.1.0 watches nothing: it never alarms" in problem["what"]
        assert "although that was known" in problem["what"]
        assert problem["do"] == f"edge-agent models rollback {VIBRATION}"
    pointer = read_pointer(site.workshop.models / VIBRATION)
    assert pointer.why == "the plant wants it"
    assert "it never alarms" in str(pointer.despite)


def champion_alarms(site: Site) -> None:
    site.workshop.change_manifest(site.workshop.bundle(), lambda manifest: manifest.update(threshold=IN_ALARM))


async def test_a_version_that_is_silent_on_the_machine_in_alarm_is_refused(site: Site) -> None:
    """It passes all that is tried offline: its threshold is a little higher, and that is where this machine stands."""
    champion_alarms(site)
    async with running(site) as gateway:
        site.drop("1.1.0", threshold=CALM)
        reason = (await gateway.report("refused"))["reason"]
        assert "it is silent where the champion alarms: on rig-1." in reason


async def test_what_a_shadow_run_missed_before_a_stop_is_known_after_it(site: Site) -> None:
    champion_alarms(site)
    site.windows = 100_000
    site.add("1.1.0", threshold=CALM)
    async with running(site) as gateway:
        rollout = gateway.agent.lifecycle.rollouts[VIBRATION]
        await gateway.until(
            lambda: rollout.shadow is not None and rollout.shadow.tally.missed_windows >= 40, "missed windows"
        )
    site.windows = 40
    site.workshop.change_manifest(site.workshop.bundle(), lambda manifest: manifest.update(threshold=CALM))
    async with running(site) as calm:
        assert "silent where the champion alarms" in (await calm.report("refused"))["reason"]


async def test_nothing_is_promoted_by_itself_while_an_alarm_stands(site: Site) -> None:
    champion_alarms(site)
    site.more = 'promote = "automatic"'
    site.add("1.1.0", threshold=IN_ALARM)
    ready = ChallengerState.READY
    known = Challenger(version="1.1.0", state=ready, since="2026-05-04T12:00:00Z", is_judged_on_alarms=True)
    async with running(site) as gateway:
        line = gateway.agent.stages[0].scored
        await gateway.until(lambda: all(channel.alarm.is_standing for channel in line.channels), "the alarms")
        write_challenger(site.workshop.models / VIBRATION, known)
        rollout = gateway.agent.lifecycle.rollouts[VIBRATION]
        await gateway.until(lambda: rollout.waits is not None, "the agent to wait")
        challenger = (await gateway.champion())["challenger"]
        assert challenger["waits"].startswith("an alarm stands on rig-1.x, rig-1.y: while it does, no model is changed")
        assert gateway.version == site.pointer == "1.0.0"


async def test_a_version_that_falls_silent_in_its_probation_goes_back(site: Site) -> None:
    champion_alarms(site)
    site.probation = 1_000_000
    site.add("1.1.0", threshold=CALM)
    promote_by_hand(site)  # nothing offline speaks against it
    async with running(site) as gateway:
        report = await gateway.report("rolled_back")
        assert "it is silent where 1.0.0 alarms: on rig-1." in report["reason"]
        assert gateway.version == site.pointer == "1.0.0"


async def test_status_tells_which_version_judges_since_when_and_how_often_both_alarmed(site: Site) -> None:
    champion_alarms(site)
    async with running(site) as gateway:
        line = gateway.agent.stages[0].scored
        await gateway.until(lambda: all(channel.alarm.is_standing for channel in line.channels), "the alarms")
    site.add("1.1.0", threshold=IN_ALARM - 0.01)
    promote_by_hand(site)
    async with running(site) as again:
        record = again.agent.lifecycle.rollouts[VIBRATION].alarms
        await again.until(lambda: record.before is not None and record.versions[0].alarms == 2, "two alarms again")
        champion = await again.champion()
        assert champion["alarms_before"]["version"] == "1.0.0"
        assert champion["alarms_before"]["total"] == 2
        text = "\n".join(model_lines({"champions": [champion]}))
        assert f"{VIBRATION} 1.1.0 judges since {champion['since']}, promoted by {champion['by']}" in text
        assert "alarms raised since: 2 in 0 min of scoring; 100.0% of windows anomalous, and 2 stands now" in text
        assert "before it, version 1.0.0: 2 in 0 min of scoring; 100.0% of windows anomalous" in text


def test_rollback_never_leads_forward(site: Site) -> None:
    site.add("1.1.0", threshold=BLIND)
    with pytest.raises(BundleError, match="is newer than the champion"):
        command.rollback(site.config, VIBRATION, "1.1.0", why="", as_json=False)
    assert command.verify(site.config, VIBRATION, "1.1.0", as_json=False) == 1


async def test_a_stop_is_not_a_death_but_a_start_that_did_not_end_is_counted(site: Site) -> None:
    on_probation(site)
    site.probation = 1_000_000
    folder = site.workshop.models / VIBRATION
    for _ in range(4):
        async with running(site) as gateway:
            await gateway.until(lambda: read_pointer(folder).probation_starts == 1, "the start to be counted")
        assert read_pointer(folder).probation_starts == 0
    assert site.pointer == "1.1.0"


async def test_a_shadow_run_that_broke_off_too_often_is_over(site: Site) -> None:
    site.add("1.1.0")
    state = ChallengerState.SHADOW
    write_challenger(
        site.workshop.models / VIBRATION,
        Challenger(version="1.1.0", state=state, since="2026-05-04T12:00:00Z", starts=5),
    )
    async with running(site) as gateway:
        assert "the agent died 5 times during its shadow run" in (await gateway.report("refused"))["reason"]
        assert gateway.version == "1.0.0"


async def test_a_champion_in_service_that_is_damaged_is_not_replaced_behind_anybodys_back(site: Site) -> None:
    path = on_probation(site)
    note_probation(site.workshop.models / VIBRATION, "1.1.0", None)
    (path / "model.onnx").write_bytes(b"damaged")
    async with running(site) as gateway:
        await gateway.until(lambda: bool(gateway.agent.unscored.now), "the source without a model")
    assert site.pointer == "1.1.0"


async def test_a_promotion_while_the_agent_is_dead_counts_from_its_start(site: Site) -> None:
    site.add("1.1.0")
    promote_by_hand(site)
    async with running(site) as gateway:
        assert gateway.version == "1.1.0"
        await gateway.report("probation_passed")


def test_an_older_version_is_not_promoted_but_rolled_back_to(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    site.add("1.1.0")
    promote_by_hand(site)
    with pytest.raises(BundleError, match="is older than the champion") as refused:
        command.promote_version(site.config, VIBRATION, "1.0.0", why="", as_json=True)
    assert "rollback" in str(refused.value.hint)
    capsys.readouterr()
    command.rollback(site.config, VIBRATION, None, why="too many alarms", as_json=True)
    assert json.loads(capsys.readouterr().out)["version"] == site.pointer == "1.0.0"


def test_list_and_verify_say_which_may_not_be_used(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.show_list(site.config, as_json=False) == 0
    path = site.add("1.1.0")
    (path / "golden.npz").write_bytes(b"damaged")
    assert command.verify(site.config, None, None, as_json=False) == 1
    out = capsys.readouterr().out
    assert f"{VIBRATION} 1.0.0: proven" in out
    assert f"{VIBRATION} 1.1.0: REFUSED: golden.npz does not match" in out
    (site.workshop.bundle() / "model.onnx").write_bytes(b"damaged")
    assert command.show_list(site.config, as_json=False) == 1
