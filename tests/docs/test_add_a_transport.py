"""docs/how-to/add-a-transport.md, carried out: the page's package is installed, and no file of ours is touched."""

from __future__ import annotations

import asyncio
import json
import re
import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloud_sync import wire
from cloud_sync.presence import Presence
from cloud_sync.transports.base import Guarantee
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.lazy import LazyTransport
from cloud_sync.transports.link_meter import LinkMeter
from edge_agent.app import Agent
from edge_agent.cli.host_checks import Result
from edge_agent.cli.link_checks import check_central
from edge_agent.cli.status import read_status
from edge_agent.cli.status_text import as_text
from edge_agent.cli.validate import print_schema, validate_file
from edge_agent.core.clock import SystemClock
from edge_agent.delivery.installed_transports import GROUP
from edge_agent.delivery.transports import transport_with_key
from edge_agent.settings.load import load_settings
from tests.support.installed_package import installed
from tests.support.patience import Patience

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-a-transport.md"
SITE = """
[gateway]
id = "gw-1"
site = "test"
state_dir = "state"
runtime_dir = "run"
{central}
[[sources]]
type = "synthetic"
name = "rig"
asset = "rig-1"
sample_rate_hz = 2048
channels = [{{ point = "x" }}]
indicators = [{{ family = "velocity" }}]
[report]
interval_s = 0.2
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


@pytest.fixture
def package(tmp_path: Path) -> Iterator[None]:
    (source,) = blocks("python")
    entries = tomllib.loads(blocks("toml")[0])["project"]["entry-points"]
    assert list(entries) == [GROUP]
    with installed(tmp_path / "site-packages", {"folder_transport.py": source}, entries[GROUP], group=GROUP):
        yield


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "outgoing").mkdir()
    (tmp_path / "state").mkdir()
    file = tmp_path / "edge.toml"
    central = blocks("toml")[1].replace("/srv/outgoing", str(tmp_path / "outgoing"))
    file.write_text(SITE.format(central=central), encoding="utf-8")
    return file


@pytest.mark.usefixtures("package")
async def test_an_agent_delivers_over_it_and_status_names_route_and_guarantee(site: Path) -> None:
    settings, stop, folder = load_settings(site), asyncio.Event(), site.parent / "outgoing"
    transport = LazyTransport(partial(transport_with_key, settings, LinkMeter(), Presence(), CentralTime()))
    agent = await asyncio.to_thread(Agent.build, settings, clock=SystemClock(), transport=transport)
    running = asyncio.create_task(agent.run(stop))
    found: dict[str, Any] = {}

    async def is_delivered() -> bool:
        nonlocal found
        found = await asyncio.to_thread(read_status, site)
        return (found.get("central") or {}).get("state") == "online" and any(folder.glob("*.batch"))

    try:
        await Patience(30.0, lambda: str(found.get("central"))).until(is_delivered, "a batch in the folder")
    finally:
        stop.set()
        await running
    central = found["central"]
    assert (central["way"], central["worth"], central["takes_events"]) == ("folder", Guarantee.ACCEPTED, True)
    assert central["url"] == "folder"
    assert "delivers over folder" in as_text(found)
    batches = [wire.decode(file.read_bytes()) for file in folder.glob("*.batch")]
    assert {batch.gateway_id for batch in batches} == {"gw-1"}
    # What was written and not settled before the stop is sent again by the next start.
    assert sum(len(batch) for batch in batches) >= agent.uplink.state.accepted_total > 0


@pytest.mark.usefixtures("package")
def test_validate_takes_the_pages_site(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert validate_file(site, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []


@pytest.mark.usefixtures("package")
def test_validate_names_a_mistake_in_its_options(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = site.read_text(encoding="utf-8")
    site.write_text(text.replace("folder = ", "foldr = "), encoding="utf-8")
    assert validate_file(site, as_json=True) == 3
    assert json.loads(capsys.readouterr().out)["errors"] == [
        "central.options.folder: is missing and has no default",
        "central.options.foldr: there is no such setting",
    ]


@pytest.mark.usefixtures("package")
def test_the_schema_has_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    print_schema()
    (condition,) = json.loads(capsys.readouterr().out)["$defs"]["CentralSettings"]["allOf"]
    assert condition["if"]["properties"] == {"transport": {"const": "folder"}}
    assert list(condition["then"]["properties"]["options"]["properties"]) == ["folder"]


def test_without_the_package_validate_warns_and_names_what_to_do(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert validate_file(site, as_json=True) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert warning.startswith("central.transport: no installed package offers a transport 'folder'; installed: none")
    assert "install its package" in warning


@pytest.mark.usefixtures("package")
def test_check_says_that_it_is_installed(site: Path) -> None:
    (found,) = check_central(load_settings(site))
    assert (found.name, found.result) == ("transport", Result.OK)


def test_check_says_that_it_is_not_installed(site: Path) -> None:
    (found,) = check_central(load_settings(site))
    assert (found.name, found.result) == ("transport", Result.BAD)
    assert "no installed package offers" in found.what
