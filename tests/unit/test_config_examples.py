"""The examples people copy: every one loads, names what exists, and the schema is the code's own."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from edge_agent.drivers.replay.settings import ReplaySettings
from edge_agent.settings import Settings, WaveformSettings
from edge_agent.settings.load import load_settings
from edge_agent.settings.source_kinds import built_in_kinds

REPOSITORY = Path(__file__).parents[2]
CONFIG = REPOSITORY / "config"
EXAMPLES = sorted(CONFIG.glob("*/edge.toml"))


def ids(path: Path) -> str:
    return path.parent.name


def test_there_is_one_example_for_each_kind_of_site() -> None:
    assert [path.parent.name for path in EXAMPLES] == [
        "bench",
        "fan-room",
        "meter-bus",
        "press-line",
        "press-shop",
        "pump-station",
        "register-map",
        "spindle",
        "unified-namespace",
    ]


def test_each_kind_of_device_stands_in_an_example() -> None:
    shown = {source.type for path in EXAMPLES for source in load_settings(path).sources}
    assert shown == set(built_in_kinds())


@pytest.mark.parametrize("path", EXAMPLES, ids=ids)
def test_an_example_loads(path: Path) -> None:
    assert load_settings(path).gateway.id == f"gw-{path.parent.name}"


@pytest.mark.parametrize("path", EXAMPLES, ids=ids)
def test_an_example_names_only_models_that_are_shipped(path: Path) -> None:
    settings = load_settings(path)
    named = {source.model for source in settings.sources if isinstance(source, WaveformSettings) and source.model}
    named |= {model.model for model in settings.tag_models}
    shipped = {folder.parent.name for folder in (REPOSITORY / "models_onnx").glob("*/champion.json")}
    assert named <= shipped


@pytest.mark.parametrize("path", EXAMPLES, ids=ids)
def test_a_scored_source_has_the_rate_its_model_was_trained_at(path: Path) -> None:
    for source in load_settings(path).sources:
        if isinstance(source, WaveformSettings) and source.model and not isinstance(source, ReplaySettings):
            spec = manifest(source.model)["feature_spec"]
            assert source.sample_rate_hz == spec["sample_rate_hz"], source.name  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", EXAMPLES, ids=ids)
def test_a_tag_model_is_given_exactly_its_inputs(path: Path) -> None:
    for model in load_settings(path).tag_models:
        wanted = [feature["name"] for feature in manifest(model.model)["feature_spec"]["features"]]
        assert sorted([*model.inputs, *model.constants]) == sorted(wanted)


def test_the_bench_plays_what_is_in_the_repository() -> None:
    settings = load_settings(CONFIG / "bench" / "edge.toml")
    played = [source.path for source in settings.sources if isinstance(source, ReplaySettings)]
    assert len(played) == 2
    assert all(any(path.rglob("*")) for path in played)
    assert (settings.models.dir / "keys").is_dir()


@pytest.mark.parametrize("path", EXAMPLES, ids=ids)
def test_an_example_tells_editors_where_the_schema_is(path: Path) -> None:
    marker = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("#:schema ")
    assert (path.parent / marker).resolve() == (CONFIG / "edge.schema.json").resolve()
    assert tomllib.loads(path.read_text(encoding="utf-8"))


def test_the_schema_file_is_the_settings_own() -> None:
    written = json.loads((CONFIG / "edge.schema.json").read_text(encoding="utf-8"))
    assert written == Settings.model_json_schema(), "run `make schema`"


def manifest(model: str) -> dict[str, Any]:
    folder = REPOSITORY / "models_onnx" / model
    champion = json.loads((folder / "champion.json").read_text(encoding="utf-8"))
    return dict(json.loads((folder / champion["version"] / "manifest.json").read_text(encoding="utf-8")))
