"""Finding and reading the site's file, the environment on top of it, and the one secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from pydantic import SecretStr

from edge_agent.errors import ConfigurationError
from edge_agent.settings import CentralSettings, Settings, toml_file
from edge_agent.settings.load import PATTERNS_IN_WORDS, RENAMED, load_settings
from edge_agent.settings.secrets import central_api_key
from edge_agent.settings.toml_file import find_settings_file
from tests.unit.edge_agent.settings.test_gateway import GOOD, HEAD, PLC

SECRET = "s3cret-key-of-the-gateway"  # noqa: S105 -- nobody's

SYNTHETIC = """\
[gateway]
id = "gw-1"
site = "plant"
[central]
url = "https://central.example.com"
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
sample_rate_hz = 20480
channels = [{ point = "de-x" }]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def refused(path: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    return caught.value


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = refused(tmp_path / "edge.toml")
    assert error.message == f"{tmp_path / 'edge.toml'} does not exist"
    assert error.hint is not None


def test_a_folder_is_not_a_file(tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be read" in refused(tmp_path).message


def test_a_syntax_error_is_named_with_its_line(site: Path) -> None:
    site.write_text(GOOD.replace('site = "demo"', "site = demo"))
    error = refused(site)
    assert error.message.startswith(f"{site}:3: not valid TOML")
    assert error.hint is not None
    assert "quotes" in error.hint


def test_a_file_that_is_not_utf8_is_refused(site: Path) -> None:
    site.write_bytes(GOOD.replace('"demo"', '"Köln"').encode("latin-1"))
    assert "is not UTF-8 text (byte 31)" in refused(site).message


def test_the_mark_that_windows_editors_put_in_front_does_no_harm(site: Path) -> None:
    site.write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    assert load_settings(site).gateway.id == "gw-1"


def test_an_empty_file_lacks_everything(site: Path) -> None:
    site.write_text("")
    message = refused(site).message
    assert [line.split(": ")[1] for line in message.splitlines()] == ["gateway", "central", "sources"]


def test_a_secret_in_the_file_is_refused_and_not_repeated(site: Path) -> None:
    site.write_text(GOOD.replace("[central]\n", f'[central]\napi_key = "{SECRET}"\n'))
    error = refused(site)
    assert error.message == f"{site}:6: a secret does not belong in this file"
    assert error.hint is not None
    assert "api_key_file" in error.hint
    assert SECRET not in repr(error) + error.hint


def test_relative_paths_are_relative_to_the_file(site: Path) -> None:
    site.write_text(GOOD + '[models]\ndir = "models"\n')
    assert load_settings(site).models.dir == site.parent / "models"


def test_the_environment_wins_over_the_file(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL__URL", "https://other.example.com")
    monkeypatch.setenv("EDGE_GATEWAY__SITE", "elsewhere")
    settings = load_settings(site)
    assert (settings.central.url, settings.gateway.site) == ("https://other.example.com", "elsewhere")
    assert settings.gateway.id == "gw-1"


def test_a_mistake_in_the_environment_names_the_variable(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_OUTBOX__MAX_BYTES", "much")
    assert refused(site).message.startswith("environment variable EDGE_OUTBOX__MAX_BYTES: outbox.max_bytes: ")


def test_a_contradiction_with_the_environment_names_both(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL__URL", "http://central.example.com")
    assert refused(site).message.startswith(f"{site}:5 with EDGE_CENTRAL__URL: central: url is http://")


def test_a_table_in_the_environment_that_is_not_json_is_said(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_SOURCES", "[not json")
    error = refused(site)
    assert "EDGE_ environment variable" in error.message
    assert "sources" in error.message


def test_the_file_is_looked_for_where_it_is_named_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = (tmp_path / "here.toml", tmp_path / "etc.toml")
    monkeypatch.setattr(toml_file, "DEFAULT_PATHS", usual)
    with pytest.raises(ConfigurationError) as caught:
        find_settings_file(None, {})
    assert caught.value.message == f"no configuration found: looked for {usual[0]} and {usual[1]}"
    usual[1].touch()
    assert find_settings_file(None, {}) == usual[1]
    usual[0].touch()
    assert find_settings_file(None, {}) == usual[0]
    assert find_settings_file(None, {"EDGE_CONFIG": "b.toml"}) == Path("b.toml")
    assert find_settings_file(Path("a.toml"), {"EDGE_CONFIG": "b.toml"}) == Path("a.toml")


def test_a_usual_place_that_cannot_be_looked_at_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / ("e" * 300) / "edge.toml"  # refused to everybody, root too
    monkeypatch.setattr(toml_file, "DEFAULT_PATHS", (tmp_path / "here.toml", closed))
    found = find_settings_file(None, {})
    assert "cannot be read" in refused(found).message
    (tmp_path / "here.toml").touch()
    assert find_settings_file(None, {}) == tmp_path / "here.toml"


def test_a_link_that_leads_to_itself_is_left_to_whoever_opens_it(site: Path) -> None:
    site.with_name("loop").symlink_to("loop")
    with_key_file(site, b"the-key")
    site.write_text(site.read_text().replace('"key"', '"loop/key"'))
    settings = load_settings(site)
    with pytest.raises(ConfigurationError, match="Too many levels of symbolic links"):
        central_api_key(settings, {})


@pytest.mark.parametrize("value", ["\udcff", "\udcaa\udcbb", "schl\u00fcssel"])
def test_a_key_in_the_environment_that_is_no_plain_text_is_refused(value: str) -> None:
    settings = Settings.model_construct(central=CentralSettings(url="https://central", api_key=SecretStr(value)))
    with pytest.raises(ConfigurationError, match=r"EDGE_CENTRAL__API_KEY does not hold an API key: .*special"):
        central_api_key(settings, {})


def with_key_file(site: Path, text: str | bytes) -> Settings:
    key_file = site.with_name("key")
    key_file.write_bytes(text if isinstance(text, bytes) else text.encode())
    site.write_text(GOOD.replace("[central]\n", '[central]\napi_key_file = "key"\n'))
    return load_settings(site)


def credentials(folder: Path, text: str) -> dict[str, str]:
    folder.mkdir()
    (folder / "central-api-key").write_text(text)
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def test_the_key_comes_from_the_environment(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL__API_KEY", SECRET)
    assert central_api_key(load_settings(site), {}) == SECRET


def test_the_key_comes_from_a_file_of_its_own(site: Path) -> None:
    assert central_api_key(with_key_file(site, SECRET + "\n"), {}) == SECRET


def test_the_key_comes_from_a_systemd_credential(site: Path, tmp_path: Path) -> None:
    environment = credentials(tmp_path / "credentials", SECRET + "\n")
    assert central_api_key(load_settings(site), environment) == SECRET


def test_environment_then_file_then_credential(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = credentials(tmp_path / "credentials", "from-systemd")
    settings = with_key_file(site, "from-file")
    assert central_api_key(settings, environment) == "from-file"
    site.with_name("key").unlink()
    assert central_api_key(settings, environment) == "from-systemd"
    monkeypatch.setenv("EDGE_CENTRAL__API_KEY", "from-environment")
    assert central_api_key(load_settings(site), environment) == "from-environment"


def test_without_a_key_every_place_that_was_looked_at_is_said(site: Path, tmp_path: Path) -> None:
    settings = with_key_file(site, SECRET)
    site.with_name("key").unlink()
    with pytest.raises(ConfigurationError) as caught:
        central_api_key(settings, {"CREDENTIALS_DIRECTORY": str(tmp_path / "none")})
    assert str(site.with_name("key")) in caught.value.message
    assert str(tmp_path / "none" / "central-api-key") in caught.value.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b"two\nlines", "not one line of plain characters: it has 2 lines"),
        ("key".encode("utf-16"), "not one line of plain characters: it is UTF-16"),
        ("schlüssel".encode("latin-1"), "not one line of plain characters"),
    ],
)
def test_a_file_that_holds_no_key_is_not_sent_as_one(site: Path, content: bytes, said: str) -> None:
    settings = with_key_file(site, content)
    with pytest.raises(ConfigurationError, match=said) as caught:
        central_api_key(settings, {})
    assert "two" not in caught.value.message


def test_the_key_shows_in_no_text(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL__API_KEY", SECRET)
    settings = load_settings(site)
    shown = [repr(settings), str(settings), repr(settings.central), settings.model_dump_json(), f"{settings.central}"]
    assert not [text for text in shown if SECRET in text]


def test_the_key_shows_in_no_complaint_about_its_neighbours(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL__API_KEY", SECRET)
    site.write_text(HEAD.replace("https", "http") + PLC)
    error = refused(site)
    assert "not encrypted" in error.message
    assert SECRET not in error.message + str(error.__cause__) + repr(error.__cause__)


def test_the_key_is_masked_in_the_settings_of_the_central() -> None:
    central = CentralSettings(url="https://central.example.com", api_key=SECRET)  # type: ignore[arg-type]
    assert "**" in repr(central)
    assert SECRET not in repr(central)


@pytest.mark.parametrize(
    "content",
    [
        b"a = " + b"[" * 5_000,
        b"a = " + b"9" * 5_000,
        b"#" * 4_000_001,
        b"a" + b".a" * 5_000 + b"=1",
        b"a = 1\r\nb = [\r\n",
        b'gateway = { state_dir = "a\\u0000b" }\n',
    ],
    ids=["nested", "digits", "size", "dots", "cut short", "NUL"],
)
def test_a_file_that_no_toml_reader_ends_well_with_is_refused_by_name(tmp_path: Path, content: bytes):
    site = tmp_path / "edge.toml"
    site.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"edge\.toml"):
        load_settings(site)


def test_the_mark_of_an_editor_and_blanks_are_no_part_of_the_key(site: Path) -> None:
    assert central_api_key(with_key_file(site, b"\xef\xbb\xbf the-key \r\n\n"), {}) == "the-key"


def test_a_key_that_is_closed_to_the_agent_says_whose_it_is(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = with_key_file(site, b"the-key")
    key = site.parent / "key"
    key.chmod(0o600)
    if os.geteuid() == 0:
        os.chown(key, 4321, 4321)

    def closed(path: Path, mode: str) -> NoReturn:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "open", closed)
    with pytest.raises(
        ConfigurationError, match=r"it belongs to \S+( 4321)? with mode 600, and the agent runs as"
    ) as no:
        central_api_key(settings, {})
    assert f"chmod 600 {key}" in (no.value.hint or "")


def test_a_key_file_without_an_end_is_not_read_to_it(site: Path) -> None:
    settings = with_key_file(site, b"k" * 100_000)
    with pytest.raises(ConfigurationError, match="is larger than 65536 bytes"):
        central_api_key(settings, {})


def test_an_empty_key_in_the_environment_is_named_as_such(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_CENTRAL__API_KEY", "")
    with pytest.raises(ConfigurationError, match="EDGE_CENTRAL__API_KEY does not hold an API key: it is empty"):
        central_api_key(load_settings(site), {})


def test_a_variable_that_is_nested_too_deep_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = tmp_path / "edge.toml"
    site.write_text(GOOD)
    monkeypatch.setenv("EDGE_TABLES", "[" * 50_000)
    with pytest.raises(ConfigurationError, match="environment variable"):
        load_settings(site)


def test_an_old_name_of_a_setting_is_refused_with_the_new_one(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = "central.in_flight: there is no such setting any more: it is called single_in_flight (readings) or"
    site.write_text(GOOD.replace("[central]", "[central]\nin_flight = 4"), encoding="utf-8")
    assert f"{site}:6: {new}" in refused(site).message
    site.write_text(GOOD, encoding="utf-8")
    monkeypatch.setenv("EDGE_CENTRAL__IN_FLIGHT", "4")
    assert f"environment variable EDGE_CENTRAL__IN_FLIGHT: {new}" in refused(site).message


def test_every_new_name_of_a_setting_is_there() -> None:
    for path, said in RENAMED.items():
        table = Settings.model_fields[path.split(".")[0]].annotation
        names = set(table.model_fields)  # type: ignore[union-attr]
        assert path.split(".")[1] not in names
        assert names & set(said.split())


def patterns_of(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("pattern"), str):
            yield schema["pattern"]
        for part in schema.values():
            yield from patterns_of(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from patterns_of(part)


def test_every_pattern_of_the_settings_has_words_and_no_other() -> None:
    assert set(patterns_of(Settings.model_json_schema())) == set(PATTERNS_IN_WORDS)


@pytest.mark.parametrize(
    ("right", "wrong", "line", "said"),
    [
        ('id = "gw-1"', 'id = "Gateway 1!"', 2, "a name of small letters"),
        ('url = "https://central.example.com"', 'url = "central.example.com"', 5, "begins with https://"),
        ('site = "plant"', 'site = "plant"\nstate_dir = 5', 4, "a path, in quotes (it is 5)"),
        ("sample_rate_hz = 20480", 'sample_rate_hz = "20 kHz"', 10, "a number alone, without quotes"),
        ('point = "de-x"', 'point = "de x"', 11, "a name of small letters"),
    ],
)
def test_a_text_of_the_wrong_shape_is_told_what_should_stand_there(
    tmp_path: Path, right: str, wrong: str, line: int, said: str
) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(SYNTHETIC.replace(right, wrong), encoding="utf-8")
    message = refused(path).message
    assert said in message
    assert "^" not in message
    assert message.startswith(f"{path}:{line}: ")
