"""Packages whose driver does not keep what it promises: one sentence each, and the agent runs without it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from cloud_sync.transports.memory import MemoryTransport
from edge_agent.cli.status import read_status
from edge_agent.cli.validate import validate_file
from edge_agent.dsp.installed_families import GROUP as FAMILIES
from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import load_settings
from edge_agent.settings.source_kinds import source_kinds
from tests.docs.test_add_a_driver import HEAD, MODULES
from tests.integration.test_agent import ask, running, until
from tests.support.driver_package import installed
from tests.support.installed_package import installed as installed_package

SYNTHETIC = """
[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
channels = [{ point = "x" }]
[[sources.indicators]]
family = "time_domain"
features = ["rms"]
window_s = 0.2
"""
OF_THE_PACKAGE = """
[[sources]]
type = "number_files"
name = "oven-sensors"
[[sources.tags]]
name = "oven-2.temperature"
unit = "degC"
path = "temperature"
"""
SETTINGS, DRIVER = "number_files/settings.py", "number_files/driver.py"
THE_TYPE = '    type: Literal["number_files"] = Field(description="Says which kind of source this is.")\n'
SETTINGS_CLASS = "number_files.settings:NumberFilesSettings"

BAD_SETTINGS = [
    pytest.param("from __future__", "import absent\nfrom __future__", "raises SyntaxError: ", id="no-python"),
    pytest.param("from pathlib", "import absent\nfrom pathlib", "raises ModuleNotFoundError: No module", id="import"),
    pytest.param("from pathlib", "raise SystemExit(9)\nfrom pathlib", "raises SystemExit: 9", id="exit"),
    pytest.param(
        "tags: tuple[NumberTag", "tags: tuple[Absent", "PydanticUndefinedAnnotation: name 'Ab", id="unresolved"
    ),
    pytest.param("class NumberFilesSettings", "class Other", "raises AttributeError: module", id="other-name"),
    pytest.param("(TagSourceSettings)", "", "no class derived from TagSourceSettings or", id="class"),
    pytest.param(THE_TYPE, "", "NumberFilesSettings has no `type`: type: Literal[", id="no-type"),
    pytest.param(
        'Literal["number_files"]', 'Literal["numbers"]', "'numbers'; it must be the entry point's name", id="type"
    ),
    pytest.param("    def all_tags", "    def every_tag", "NumberFilesSettings has no all_tags", id="no-tags"),
    pytest.param(
        'Field(description="Says', 'Field(alias="t", description="Says', "Aliases for discriminator", id="alias"
    ),
    pytest.param("    folder: Path", "    then: Callable[[], int]\n    folder: Path", "Undefined", id="undefined"),
    pytest.param(
        "    folder: Path",
        "    then: __import__('typing').Callable\n    folder: Path",
        "raises PydanticInvalid",
        id="no-schema",
    ),
    pytest.param("    driver: ClassVar", "    reader: ClassVar", "names no `driver`", id="no-driver"),
]
BAD_DRIVERS = [
    pytest.param("import asyncio", "import absent", "importing it raises ModuleNotFoundError: No module"),
    pytest.param("class NumberFilesDriver", "class Other", "importing it raises AttributeError", id="other-name"),
    pytest.param("    async def open", "    async def begin", "it has no open", id="no-open"),
    pytest.param("    async def stream", "    async def blocks", "it has no stream", id="no-stream"),
    pytest.param(
        "        self.name = settings.name\n", "", "its `name` is None and must be the source's", id="no-name"
    ),
    pytest.param(
        "        self._clock = clock\n", "        self._clock = absent\n", "making it raises NameError", id="raises"
    ),
]


def package(module: str, there: str, wrong: str) -> dict[str, str]:
    assert there in MODULES[module]
    return MODULES | {module: MODULES[module].replace(there, wrong, 1)}


def site(folder: Path, *sources: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(HEAD + "[report]\ninterval_s = 0.2\n" + "".join(sources), encoding="utf-8")
    return path


@pytest.mark.parametrize(("there", "wrong", "said"), BAD_SETTINGS)
def test_settings_that_cannot_be_used_are_a_warning_of_validate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str, wrong: str, said: str
) -> None:
    path = site(tmp_path, SYNTHETIC, OF_THE_PACKAGE)
    with installed(tmp_path, package(SETTINGS, there, wrong), {"number_files": SETTINGS_CLASS}):
        assert validate_file(path, as_json=False) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("edge-agent: warning: driver 'number_files' of edge-example cannot be used: ")
    assert said in warning
    assert "update or remove edge-example" in warning
    assert "Traceback" not in warning


@pytest.mark.parametrize(("there", "wrong", "said"), BAD_DRIVERS)
async def test_a_driver_that_cannot_be_used_costs_its_own_source_only(
    tmp_path: Path, there: str, wrong: str, said: str
) -> None:
    central, path = MemoryTransport(), site(tmp_path, SYNTHETIC, OF_THE_PACKAGE)
    with installed(tmp_path, package(DRIVER, there, wrong), {"number_files": SETTINGS_CLASS}):
        settings = load_settings(path)
        async with running(settings, central) as agent:
            await until(lambda: len(central.rows) > 0, "rows of the other source")
            await until(lambda: agent.supervisors[1].health.state.value == "rejected", "a rejected source")
            document = await ask(settings)
    (problem,) = document["problems"]
    assert problem["what"].startswith("oven-sensors: driver 'number_files' (number_files.driver:NumberFilesDriver) ")
    assert said in problem["what"]
    assert "docs/how-to/add-a-driver.md" in problem["do"]


@pytest.mark.parametrize("is_wanted", [True, False], ids=["wanted", "unwanted"])
async def test_an_agent_runs_without_a_package_and_status_names_it(tmp_path: Path, is_wanted: bool) -> None:
    central, path = MemoryTransport(), site(tmp_path, SYNTHETIC, OF_THE_PACKAGE if is_wanted else "")
    broken = package(SETTINGS, "from pathlib", "import absent\nfrom pathlib")
    with installed(tmp_path, broken, {"number_files": SETTINGS_CLASS}):
        settings = load_settings(path)
        async with running(settings, central) as agent:
            await until(lambda: len(central.rows) > 0, "rows of the other source")
            await until(lambda: agent.supervisors[-1].health.state.value != "starting", "every source looked at")
            document = await ask(settings)
    (problem,) = document["problems"]
    assert "driver 'number_files' of edge-example cannot be used: importing number_files.settings" in problem["what"]
    assert problem["what"].startswith("oven-sensors: ") == is_wanted
    assert [source["state"] for source in document["sources"]] == ["running", *["rejected"] * is_wanted]


async def test_an_agent_runs_without_a_feature_family_and_status_names_it(tmp_path: Path) -> None:
    broken = '[[sources.indicators]]\nfamily = "broken"\n'
    central, path = MemoryTransport(), site(tmp_path, SYNTHETIC + broken)
    with installed_package(
        tmp_path / "packages", {"broken.py": "import absent"}, {"broken": "broken:FAMILY"}, group=FAMILIES
    ):
        settings = load_settings(path)
        async with running(settings, central) as agent:
            await until(lambda: len(central.rows) > 0, "rows of the other indicator")
            assert agent.supervisors[0].health.state.value == "running"
            document = await ask(settings)
    (problem,) = [each for each in document["problems"] if "broken" in each["what"]]
    assert "indicator 2 (broken) is not computed: the feature family broken of the package" in problem["what"]
    assert "repair or uninstall the package" in problem["do"]


BAD_SOURCES = [
    pytest.param(
        "        return self.tags", "        raise RuntimeError('boom')", "all_tags raises RuntimeError: boom"
    ),
    pytest.param("        return self.tags", "        return None", "all_tags is a NoneType, not a tuple of TagS"),
    pytest.param("        return self.tags", '        return ("a.b",)', "all_tags holds other things"),
    pytest.param(
        "    def all_tags",
        "    def signal_unit(self): ...\n    def model_post_init(self, _): 1 / 0\n    @property\n    def all_tags",
        "checking a source, raises ZeroDivisionError",
    ),
]


@pytest.mark.parametrize(("there", "wrong", "said"), BAD_SOURCES)
def test_settings_that_fail_when_asked_cost_their_own_source_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], there: str, wrong: str, said: str
) -> None:
    path = site(tmp_path, SYNTHETIC, OF_THE_PACKAGE)
    with installed(tmp_path, package(SETTINGS, there, wrong), {"number_files": SETTINGS_CLASS}):
        sources = load_settings(path).sources
        assert validate_file(path, as_json=False) == 0
    assert [type(source).__name__ for source in sources] == ["SyntheticSettings", "UnusableSource"]
    warning = capsys.readouterr().err
    assert warning.startswith("edge-agent: warning: oven-sensors: driver 'number_files' cannot be used: NumberFiles")
    assert said in warning


@pytest.mark.parametrize("wrong", ["", 'colour = "red"\n'], ids=["right", "wrong"])
def test_status_of_an_agent_that_is_down_imports_no_package(tmp_path: Path, wrong: str) -> None:
    path = site(tmp_path, SYNTHETIC + wrong, OF_THE_PACKAGE)
    noisy = package(SETTINGS, "from pathlib", "raise AssertionError('imported')\nfrom pathlib")
    with installed(tmp_path, noisy, {"number_files": SETTINGS_CLASS}):
        assert read_status(path)["state"] == ("misconfigured" if wrong else "down")
        assert "number_files" not in sys.modules
        assert not source_kinds.cache_info().currsize


def test_what_a_package_prints_leaves_json_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noisy = package(SETTINGS, "from pathlib", "print('welcome')\nfrom pathlib")
    with installed(tmp_path, noisy, {"number_files": SETTINGS_CLASS}):
        assert validate_file(site(tmp_path, OF_THE_PACKAGE), as_json=True) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["is_valid"]
    assert said.err == "welcome\n"


async def test_a_driver_that_yields_what_is_not_its_own_is_rejected(tmp_path: Path) -> None:
    central, path = MemoryTransport(), site(tmp_path, SYNTHETIC, OF_THE_PACKAGE)
    garbage = package(DRIVER, "Tag(settings.name,", 'Tag("rig-1.x.rms",')
    with installed(tmp_path, garbage, {"number_files": SETTINGS_CLASS}):
        settings = load_settings(path)
        async with running(settings, central) as agent:
            await until(lambda: agent.supervisors[1].health.state.value == "rejected", "a rejected source")
            await until(lambda: len(central.rows) > 0, "rows of the other source")
            (problem,) = (await ask(settings))["problems"]
    assert "yields a reading of 'rig-1.x.rms', which is no tag of this source" in problem["what"]


def test_a_driver_that_cannot_be_used_is_a_warning_of_validate(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = package(DRIVER, "    async def open", "    async def begin")
    with installed(tmp_path, broken, {"number_files": SETTINGS_CLASS}):
        assert validate_file(site(tmp_path, OF_THE_PACKAGE), as_json=False) == 0
    assert "it has no open\n" in capsys.readouterr().err


def test_a_type_of_ours_stays_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with installed(tmp_path, MODULES, {"synthetic": SETTINGS_CLASS}):
        assert validate_file(site(tmp_path, SYNTHETIC), as_json=False) == 0
        said = capsys.readouterr().err
        assert "there is another driver of type 'synthetic' already: edge_agent.drivers.synthetic.driver" in said
        with pytest.raises(ConfigurationError, match="type must be one of"):
            load_settings(site(tmp_path, OF_THE_PACKAGE))


RAMP = {
    "ramp/settings.py": '''
from typing import ClassVar, Literal
from edge_agent.settings import WaveformSettings

class RampSettings(WaveformSettings):
    """Samples that rise."""

    driver: ClassVar[str] = "ramp.driver:RampDriver"
    type: Literal["ramp"]

    @property
    def signal_unit(self) -> str:
        return "m/s2"
''',
    "ramp/driver.py": """
import numpy as np
from edge_agent.core.samples import SampleBlock, read_only

class RampDriver:
    def __init__(self, settings, clock):
        self.name, self._clock = settings.name, clock

    async def open(self): ...
    async def close(self): ...

    async def stream(self):
        start_ns = self._clock.now_ns()
        for index in range(1_000_000):
            samples = read_only(np.linspace(0, 1, 100, dtype=np.float32)[None])
            yield SampleBlock(self.name, index, start_ns + index * 100_000_000, 1000.0, "m/s2", samples)
            await self._clock.sleep(0.1)
""",
}


async def test_a_driver_of_samples_has_channels_indicators_and_units(tmp_path: Path) -> None:
    central, path = MemoryTransport(), site(tmp_path, SYNTHETIC.replace('"synthetic"', '"ramp"'))
    with installed(tmp_path, RAMP, {"ramp": "ramp.settings:RampSettings"}):
        settings = load_settings(path)
        async with running(settings, central):
            await until(lambda: len(central.rows) > 1, "rows of the indicator")
            (source,) = (await ask(settings))["sources"]
    assert {(row.series.sensor_id, row.series.unit) for row in central.rows.values()} == {("rig-1.x.rms", "m/s2")}
    assert (source["type"], source["state"], source["sample_rate_hz"]) == ("ramp", "running", 1000.0)


def test_a_tag_model_over_tags_that_nobody_knows_now_is_no_mistake(tmp_path: Path) -> None:
    forecast = """
[[tag_models]]
name = "forecast"
asset = "oven-2"
model = "prophet_forecaster_enhanced_sensor-001"
inputs = { value = "oven-2.temperature" }
"""
    broken = package(SETTINGS, "from pathlib", "import absent\nfrom pathlib")
    with installed(tmp_path, broken, {"number_files": SETTINGS_CLASS}):
        settings = load_settings(site(tmp_path, SYNTHETIC, OF_THE_PACKAGE, forecast))
    assert [type(source).__name__ for source in settings.sources] == ["SyntheticSettings", "UnusableSource"]
    assert settings.tag_models[0].inputs == {"value": "oven-2.temperature"}
