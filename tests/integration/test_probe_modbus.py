"""`edge-agent probe modbus` against libmodbus: what it finds, prints and gives to the site's file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edge_agent.cli.probe import probe_app
from edge_agent.settings.load import load_settings
from tests.docs.test_cli_output import documented, unexplained
from tests.peers.processes import build_modbus_server, child, first_line
from tests.support.sockets import free_port

SITE = '[gateway]\nid = "gw-1"\nsite = "demo"\n[central]\nurl = "https://central.example.com"\n'


@pytest.fixture(scope="module")
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = build_modbus_server(request, tmp_path_factory.mktemp("modbus"))
    with child([str(program)]) as process:
        yield f"127.0.0.1:{first_line(process).strip()}"


def probe(*arguments: str) -> Result:
    return CliRunner().invoke(probe_app, ["modbus", *arguments])


def probed(*arguments: str) -> dict:
    done = probe(*arguments, "--reads", "2", "--interval", "0", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def test_a_float_with_its_words_swapped_is_the_likeliest_and_its_lines_are_valid(device: str, tmp_path: Path) -> None:
    found = probed(device, "--unit", "1", "--table", "holding", "--address", "102", "--scan", "--up-to", "210")
    assert unexplained(found, documented("probe modbus")) == set()
    best = found["best"]
    assert (best["data_type"], best["order"], best["address"], best["value"]) == ("float32", "CDAB", 102, 12.5)
    assert [each["hex"] for each in found["registers"][1:3]] == ["0x0000", "0x4148"]
    assert {"table": "holding", "first": 0, "last": 199} in found["scan"]["ranges"]
    (file := tmp_path / "edge.toml").write_text(SITE + found["toml"])
    (tag,) = load_settings(file).sources[0].all_tags
    assert (tag.address, tag.data_type, tag.order) == (102, "float32", "CDAB")


def test_a_manuals_number_is_understood_and_people_see_it_side_by_side(device: str) -> None:
    done = probe(device, "--address", "40103", "--reads", "1")
    assert done.exit_code == 0, done.stderr
    assert "likeliest *: float32 CDAB at holding 102: 12.5" in done.stdout
    assert "address 101, if the manual counts from 1:" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--address", "5000", "--table", "input"], "refuses input 5000: exception 2 illegal data address"),
        (["--address", "12x"], "--address 12x: '12x' is no address"),
        (["--address", "1", "--table", "memory"], "--table memory: there are holding, input, coil, discrete"),
        (["--address", "40001", "--table", "input", "--count", "1"], "refuses input 40001"),
        (["--address", "30001", "--transport", "rtu"], "needs serial_port"),
        ([], "say what to look at: --address, or --scan"),
        (["--scan", "--units", "a-b"], "--units a-b: like 1-10"),
        (["--scan", "--units", "10-1"], "--units 10-1: units go from 0 to 255, the lower first"),
        (["--scan", "--units", "1-99999999999"], "units go from 0 to 255"),
    ],
)
def test_what_cannot_be_probed_is_one_json_object_with_its_reason(device: str, arguments: list[str], said: str) -> None:
    done = probe(device, *arguments, "--json")
    assert done.exit_code == 1
    assert said in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr


def test_a_device_that_is_away_is_said_in_a_sentence() -> None:
    command = [sys.executable, "-m", "edge_agent", "probe", "modbus", f"127.0.0.1:{free_port()}", "--address", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no connection to the Modbus device at 127.0.0.1:" in done.stderr
