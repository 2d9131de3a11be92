"""`edge-agent validate` and the client certificate a file names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_agent.cli.validate import validate_file
from edge_agent.errors import ConfigurationError
from tests.support.authority import Authority
from tests.unit.edge_agent.settings.test_gateway import HEAD, PLC, UNIT_2


def site_with(folder: Path, issued: tuple[Path, Path]) -> Path:
    certificate, key = issued
    named = f'client_certificate_file = "{certificate.name}"\nclient_key_file = "{key.name}"\n'
    path = folder / "edge.toml"
    path.write_text(HEAD + named + PLC, encoding="utf-8")
    return path


def test_a_pair_that_fits_and_is_valid_today_is_right(tmp_path: Path) -> None:
    assert validate_file(site_with(tmp_path, Authority(tmp_path).issue(name="gw-1")), as_json=True) == 0


def test_an_expired_certificate_is_a_mistake_for_people_and_scripts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = site_with(tmp_path, Authority(tmp_path).issue(name="gw-1", days=(-10, -1)))
    assert validate_file(path, as_json=True) == 3
    (error,) = json.loads(capsys.readouterr().out)["errors"]
    assert "has expired on" in error
    with pytest.raises(ConfigurationError, match="has expired on"):
        validate_file(path, as_json=False)


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    path = site_with(tmp_path, (Path("absent.pem"), Path("absent.key")))
    with pytest.raises(ConfigurationError, match=r"absent.pem cannot be read"):
        validate_file(path, as_json=False)


def test_sources_that_share_a_connection_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(HEAD + PLC + UNIT_2, encoding="utf-8")
    assert validate_file(path, as_json=True) == 0
    shared = json.loads(capsys.readouterr().out)["shared_connections"]
    assert shared == [{"place": "192.0.2.1:502", "sources": ["plc", "meter"]}]
    assert validate_file(path, as_json=False) == 0
    assert "plc, meter share the connection to 192.0.2.1:502: one request at a time" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HTTPS_PROXY", "http://corp:abc"),
        ("all_proxy", "ftp://10.0.0.1:21"),
        ("SSL_CERT_FILE", "/absent/roots.pem"),
        # Nothing can be asked about it, as about one in a closed folder.
        pytest.param("SSL_CERT_FILE", f"/{'x' * 300}", id="SSL_CERT_FILE-closed"),
    ],
)
def test_a_variable_that_delivery_cannot_use_is_named_and_the_file_stays_right(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    monkeypatch.setenv(variable, value)
    path = tmp_path / "edge.toml"
    path.write_text(HEAD + PLC, encoding="utf-8")
    assert validate_file(path, as_json=True) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert variable in warning
    assert validate_file(path, as_json=False) == 0
    assert variable in capsys.readouterr().err


def test_a_variable_that_the_settings_overrule_is_none_of_validates_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://corp:abc")
    path = tmp_path / "edge.toml"
    path.write_text(HEAD + PLC + '\n[central.proxy]\nurl = "none"\n', encoding="utf-8")
    assert validate_file(path, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == []


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("hello", "no certificate in it")])
def test_a_ca_file_that_cannot_be_used_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "ca.pem").write_text(content, encoding="utf-8")
    path = tmp_path / "edge.toml"
    path.write_text(HEAD + 'ca_file = "ca.pem"\n' + PLC, encoding="utf-8")
    assert validate_file(path, as_json=True) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "ca.pem cannot be used" in warning
    assert why in warning


def test_public_authorities_without_a_certificate_are_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_text("hello", encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(roots))
    path = tmp_path / "edge.toml"
    path.write_text(HEAD + PLC, encoding="utf-8")
    assert validate_file(path, as_json=True) == 0
    (warning,) = json.loads(capsys.readouterr().out)["warnings"]
    assert "in which there is no certificate" in warning


def test_a_password_over_an_unencrypted_connection_is_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = 'type = "opcua"\nname = "pump"\nendpoint = "opc.tcp://192.0.2.1:4840"\nallow_plaintext = true\n'
    node = '[[sources.nodes]]\nname = "pump.flow"\nunit = ""\nnode_id = "i=2258"\n'
    for user, warned in (("", False), ('username = "op"\npassword_file = "password"\n', True)):
        path = tmp_path / "edge.toml"
        path.write_text(f"{HEAD}\n[[sources]]\n{source}{user}{node}", encoding="utf-8")
        assert validate_file(path, as_json=True) == 0
        warnings = json.loads(capsys.readouterr().out)["warnings"]
        assert any("pump: the password of op goes over an unencrypted connection" in one for one in warnings) is warned
