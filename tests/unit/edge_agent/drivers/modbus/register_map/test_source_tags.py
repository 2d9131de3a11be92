"""A source's order and its register maps complete the tags of its poll groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_agent.drivers.modbus.settings import ModbusSettings
from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import load_settings

SITE = """\
[gateway]
id = "gw-1"
site = "demo"
[central]
url = "https://central.example.com"
[[sources]]
type = "modbus"
name = "meter-1"
host = "192.0.2.1"
order = "CDAB"
"""


def source(**fields: object) -> ModbusSettings:
    return ModbusSettings.model_validate({"type": "modbus", "name": "meter-1", "host": "h", **fields})


def tag(name: str, **fields: object) -> dict[str, object]:
    return {"name": f"a.{name}", "unit": "", "address": 0, **fields}


def test_the_sources_order_is_that_of_every_number_that_names_none():
    tags = [tag("x"), tag("y", order="ABCD"), tag("z", data_type="string", length=4)]
    found = source(order="CDAB", poll_groups=[{"tags": tags}]).all_tags
    assert [one.order for one in found] == ["CDAB", "ABCD", "ABCD"]


@pytest.mark.parametrize("is_in_group", [True, False])
def test_a_map_beside_the_file_brings_tags(tmp_path: Path, is_in_group: bool) -> None:
    (tmp_path / "map.csv").write_text("Address,Name,Type\n1,Flow,float\n")
    file = tmp_path / "edge.toml"
    file.write_text(SITE + ("[[sources.poll_groups]]\n" if is_in_group else "") + 'register_map = "map.csv"\n')
    (meter,) = load_settings(file).sources
    assert [(one.name, one.order) for one in meter.all_tags] == [("meter-1.flow", "CDAB")]


def test_the_names_of_a_map_begin_with_the_groups_asset(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("Address,Name\n1,Flow\n")
    group = {"register_map": str(tmp_path / "map.csv"), "asset": "boiler", "tags": [tag("own")]}
    assert [one.name for one in source(poll_groups=[group]).all_tags] == ["a.own", "boiler.flow"]


def test_a_mistake_in_a_map_is_one_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "map.csv").write_text("Address,Name,Type\n1,Flow,flot\n")
    file = tmp_path / "edge.toml"
    file.write_text(SITE + 'register_map = "map.csv"\n')
    with pytest.raises(ConfigurationError, match=r"map\.csv:2, column 'Type': no type is called 'flot'"):
        load_settings(file)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"poll_groups": []},
        {"poll_groups": [{}]},
        {"poll_groups": [{"tags": []}]},
        {"poll_groups": "none"},
        {"poll_groups": ["none"]},
        {"poll_groups": [{"tags": "none"}]},
        {"poll_groups": [{"tags": ["none"]}]},
        {"poll_groups": [{"tags": [tag("x")]}], "order": "AB"},
        {"poll_groups": [{"tags": [tag("x")], "map_addresses": "from_2"}]},
        {"register_map": 7},
        {"register_map": "not-there.csv"},
    ],
)
def test_what_reads_nothing_or_is_no_table_is_refused(fields):
    with pytest.raises(ValidationError):
        source(**fields)
