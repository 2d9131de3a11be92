"""docs/how-to/add-a-driver.md carried out: its files are written as they stand there; no file of ours knows them."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync.transports.memory import MemoryTransport
from docs.configuration_reference import render
from edge_agent.cli.validate import validate_file
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.source_kinds import ENTRY_POINTS
from tests.integration.test_agent import ask, running, until
from tests.support.driver_package import installed
from tests.support.places import SHIPPED_MODELS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-driver.md"
FILES = dict(
    re.findall(r"^`([\w./]+)`\n\n```(?:python|toml)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.S | re.M)
)
MODULES = {name: text for name, text in FILES.items() if name.endswith(".py")}
BROUGHT = tomllib.loads(FILES["pyproject.toml"])["project"]["entry-points"][ENTRY_POINTS]
HEAD = f"""
[gateway]
id = "gw-test"
site = "lab"
state_dir = "state"
runtime_dir = "run"
accept_volatile_state = true
[central]
url = "https://central.test"
[outbox]
flush_interval_s = 0.05
[models]
dir = "{SHIPPED_MODELS}"
"""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Path]:
    """A site's file with the page's source, where the page's package is installed."""
    path = tmp_path / "edge.toml"
    path.write_text(HEAD + FILES["edge.toml"], encoding="utf-8")
    (tmp_path / "sensors").mkdir()
    measure(tmp_path, temperature=180_000, humidity=4)
    with installed(tmp_path, MODULES, BROUGHT):
        yield path


def measure(folder: Path, **numbers: float) -> None:
    for name, number in numbers.items():
        new = folder / "sensors" / f"{name}.new"
        new.write_text(f"{number}\n")
        new.rename(folder / "sensors" / name)


def test_validate_counts_its_tags(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate_file(site, as_json=False) == 0
    said = capsys.readouterr()
    assert "1 source, 2 tags, 1 tag model" in said.out
    assert "number_files" not in said.err


@pytest.mark.parametrize(
    ("there", "wrong", "said"),
    [
        (
            "\ninterval_s = 0.05",
            "\ninterval_s = 0",
            r"edge.toml:\d+: sources.0.interval_s: .*greater than or equal to 0.01",
        ),
        ("scale = 0.001", "scael = 0.001", r"edge.toml:\d+: sources.0.tags.0.scael: there is no such .* mean scale\?"),
        ('path = "humidity"', "", r"edge.toml:\d+: sources.0.tags.1.path: is missing"),
        ('name = "oven-2.humidity"', 'name = "oven-2.temperature"', "'oven-sensors' twice writes rows under"),
        ('value = "oven-2.temperature"', 'value = "oven-2.typo"', "'oven-2.typo', which no source reads"),
        ('"number_files"', '"number_file"', "type must be one of microphone, .*mqtt, number_files"),
    ],
)
def test_a_mistake_in_its_settings_is_told_as_in_ours(site: Path, there: str, wrong: str, said: str) -> None:
    text = site.read_text(encoding="utf-8")
    assert there in text
    site.write_text(text.replace(there, wrong, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        load_settings(site)


def test_the_schema_and_the_page_of_settings_show_it(site: Path) -> None:
    schema = Settings.model_json_schema()
    assert schema["$defs"]["NumberTagSettings"]["properties"]["deadband"]["minimum"] == 0
    mapping = schema["properties"]["sources"]["items"]["discriminator"]["mapping"]
    assert mapping["number_files"] == "#/$defs/NumberFilesSettings"
    page = render()
    assert '## [[sources]] type = "number_files"' in page
    assert "## [[sources.tags]]" in page


async def test_an_agent_reads_it_keeps_the_deadband_and_feeds_the_tag_model(site: Path) -> None:
    folder, central, settings = site.parent, MemoryTransport(), load_settings(site)

    def rows(name: str) -> list[float]:
        return [row.value for (sensor_id, _), row in central.rows.items() if sensor_id == name]

    async with running(settings, central):
        await until(lambda: rows("oven-2.temperature") == [180.0], "the first temperature")
        measure(folder, temperature=180_400, humidity=5)  # 0.4 is inside the deadband
        await until(lambda: rows("oven-2.humidity") == [4.0, 5.0], "a humidity, which has no deadband")
        measure(folder, temperature=181_000)
        await until(lambda: rows("oven-2.temperature") == [180.0, 181.0], "what is beyond the deadband, alone")
        while (document := await ask(settings))["tag_models"][0]["scored_total"] == 0:
            await asyncio.sleep(0.1)
        (folder / "sensors" / "humidity").unlink()
        while not (broken := (await ask(settings))["problems"]):
            await asyncio.sleep(0.1)
    (source,) = document["sources"]
    assert (source["type"], source["state"]) == ("number_files", "running")
    assert {tag["name"]: (tag["value"], tag["unit"]) for tag in source["tags"]} == {
        "oven-2.temperature": (181.0, "degC"),
        "oven-2.humidity": (5.0, "%"),
    }
    assert not document["problems"]
    (problem,) = broken
    assert problem["what"].startswith("oven-2.humidity: humidity: ")


async def test_a_folder_that_is_not_there_is_a_lost_device(site: Path) -> None:
    settings = load_settings(site)
    (site.parent / "sensors").rename(site.parent / "elsewhere")
    async with running(settings, MemoryTransport()) as agent:
        await until(lambda: agent.supervisors[0].health.state.value == "lost", "a lost source")
        document = await ask(settings)
    assert "there is no folder" in document["sources"][0]["message"]
    assert document["sources"][0]["hint"] == "check that the sensors' kernel module is loaded"
