"""A model that is not there, or not trusted yet, when the agent starts: said with its cause, and scored once it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from cloud_sync.transports.memory import MemoryTransport
from edge_agent.app import Agent
from edge_agent.core.clock import SystemClock
from edge_agent.settings import Settings
from tests.integration.test_agent import BEARING_MODEL, ROOT, ask, running, settings_of, synthetic, until

AI4I = "ai4i_classifier_randomforest_baseline"
VELOCITY = {"family": "velocity", "window_s": 0.5, "zones": "20816-3.group-2.rigid"}


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    for name in ("keys", BEARING_MODEL, AI4I):
        shutil.copytree(ROOT / "models_onnx" / name, folder / name)
    return folder


async def unscored(settings: Settings) -> tuple[str, str]:
    document = await ask(settings)
    (found,) = [p for p in document["problems"] if "is not scored" in p["what"]]
    return found["what"], found["do"]


def scored(agent: Agent) -> int:
    return sum(c.scored_total for s in agent.stages if s.scored for c in s.scored.channels)


def gaps(central: MemoryTransport) -> list[dict[str, Any]]:
    found = [dict(event.body) for event in central.events.values()]
    return [body for body in found if body.get("cause") == "model_refused"]


@pytest.mark.parametrize("indicators", [[], [VELOCITY]], ids=["a model alone", "with an indicator"])
async def test_a_model_that_is_installed_later_scores_without_a_restart(
    models: Path, tmp_path: Path, indicators: list[dict[str, Any]]
) -> None:
    (models / BEARING_MODEL).rename(tmp_path / "later")
    settings = settings_of(tmp_path, synthetic(indicators=indicators), models=models)
    central = MemoryTransport()
    async with running(settings, central) as agent:
        await until(lambda: (tmp_path / "run" / "edge-agent.sock").exists(), "the socket")
        what, do = await unscored(settings)
        assert f"no bundle is called '{BEARING_MODEL}'" in what
        assert "there are: " in what
        assert "check the spelling" in do
        (tmp_path / "later").rename(models / BEARING_MODEL)
        await until(lambda: scored(agent) > 20, "scores")
        if indicators:
            seen = {sensor for sensor, _ in central.rows}
            await until(lambda: any("velocity_rms" in sensor for sensor, _ in central.rows), f"an indicator in {seen}")
        assert [p for p in (await ask(settings))["problems"] if "not scored" in p["what"]] == []
    ended = [body for body in gaps(central) if body["end_us"] > body["start_us"]]
    assert len(ended) == 1, "the gap ends when the scores begin"
    assert any(".score" in sensor for sensor, _ in central.rows)


async def test_a_bundle_before_its_key_scores_once_the_key_is_there(models: Path, tmp_path: Path) -> None:
    (models / "keys").rename(tmp_path / "keys")
    settings = settings_of(tmp_path, synthetic(), models=models)
    async with running(settings, MemoryTransport()) as agent:
        await until(lambda: (tmp_path / "run" / "edge-agent.sock").exists(), "the socket")
        what, do = await unscored(settings)
        assert "holds no public key" in what
        assert f"put the builder's public key into {models / 'keys'}" in do
        (tmp_path / "keys").rename(models / "keys")
        await until(lambda: scored(agent) > 0, "scores")


async def test_a_damaged_model_that_is_copied_again_scores(models: Path, tmp_path: Path) -> None:
    graph = models / BEARING_MODEL / "1.0.0" / "model.onnx"
    whole = graph.read_bytes()
    times = (graph.stat().st_atime_ns, graph.stat().st_mtime_ns)
    graph.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    os.utime(graph, ns=times)
    settings = settings_of(tmp_path, synthetic(), models=models)
    async with running(settings, MemoryTransport()) as agent:
        await until(lambda: (tmp_path / "run" / "edge-agent.sock").exists(), "the socket")
        what, do = await unscored(settings)
        assert "model.onnx does not match its digest" in what
        assert "copy the bundle again" in do
        graph.write_bytes(whole)
        os.utime(graph, ns=times)  # as `cp -a` and `rsync -a` leave it: nothing but the content tells
        await until(lambda: scored(agent) > 0, "scores")


@pytest.mark.parametrize(
    ("named", "words", "todo"),
    [
        (BEARING_MODEL + "s", f"did you mean {BEARING_MODEL}?", "check the spelling"),
        (AI4I, f"{AI4I} scores tags, and source 'rig' gives samples", "[[tag_models]]"),
    ],
    ids=["misspelt", "of tags"],
)
def test_a_model_that_cannot_be_meant_is_said_with_what_to_do(
    models: Path, tmp_path: Path, named: str, words: str, todo: str
) -> None:
    agent = Agent.build(
        settings_of(tmp_path, synthetic(model=named), models=models), clock=SystemClock(), transport=MemoryTransport()
    )
    assert words in agent.unscored.now["rig"].reason
    assert todo in agent.unscored.now["rig"].do


async def test_a_models_folder_that_is_closed_ends_nothing_and_is_said(tmp_path: Path) -> None:
    closed = tmp_path / ("m" * 300)  # refused to everybody, root too
    central = MemoryTransport()
    settings = settings_of(tmp_path, synthetic(indicators=[VELOCITY]), models=closed)
    async with running(settings, central):
        await until(lambda: (tmp_path / "run" / "edge-agent.sock").exists(), "the socket")
        what, do = await unscored(settings)
        assert "cannot be read: File name too long" in what
        assert "check the folder's owner and mode" in do
        await until(lambda: any("velocity_rms" in sensor for sensor, _ in central.rows), "an indicator")
        assert not [p for p in (await ask(settings))["problems"] if "failed unexpectedly" in p["what"]]
