"""Reading one site's TOML file: every complaint names the file, the line and what to do.

TOML because the standard library reads it, a value's type is what it looks like (YAML turns `no` into false
and 12:30 into 750), and a repeated table is how a list of sources reads naturally.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from edge_agent import settings as settings_module
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings

DEFAULT_PATHS: Final = (Path("edge.toml"), Path("/etc/edge-agent/edge.toml"))
API_KEY_CREDENTIAL: Final = "central-api-key"
MQTT_PASSWORD_CREDENTIAL: Final = "central-mqtt-password"  # noqa: S105 (the name of a credential, not one)


def find_settings_file(given: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """The file to use: the one given, $EDGE_CONFIG, ./edge.toml, or /etc/edge-agent/edge.toml."""
    if given is not None:
        return given
    if named := environment.get("EDGE_CONFIG"):
        return Path(named)
    for path in DEFAULT_PATHS:
        if path.exists():
            return path
    raise ConfigurationError(
        "no configuration found: looked for " + " and ".join(str(path) for path in DEFAULT_PATHS),
        hint="name one with --config FILE, or copy an example from the config folder",
    )


def load_settings(path: Path) -> Settings:
    """Parse and check one file. Raises ConfigurationError listing every mistake, each with its line."""
    text = _read(path)
    document = _parse(path, text)
    _refuse_secrets(path, text, document)
    try:
        return Settings(**resolve_paths(document, path.parent))
    except ValidationError as exc:
        raise _explain(path, text, exc) from exc
    except SettingsError as exc:
        raise ConfigurationError(
            f"an EDGE_ environment variable cannot be read: {exc}",
            hint="a whole table or list in the environment is JSON; single settings are EDGE_TABLE__SETTING",
        ) from exc


def read_document(path: Path) -> dict[str, Any]:
    """The file as plain tables, unchecked: for `status`, which must answer also when the file is wrong."""
    return _parse(path, _read(path))


def central_api_key(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """The secret, from the environment, a file of its own, or a systemd credential. Never logged."""
    if settings.central.api_key is not None:
        return settings.central.api_key.get_secret_value()
    candidates = [settings.central.api_key_file] if settings.central.api_key_file else []
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        candidates.append(Path(folder) / API_KEY_CREDENTIAL)
    for path in candidates:
        if (key := _read_key(path)) is not None:
            return key
    looked = f"; looked for {' and '.join(str(path) for path in candidates)}" if candidates else ""
    raise ConfigurationError(
        f"no API key for the central{looked}",
        hint=f"systemd credential {API_KEY_CREDENTIAL}, central.api_key_file, or EDGE_CENTRAL__API_KEY",
    )


def central_mqtt_password(settings: Settings, environment: Mapping[str, str] = os.environ) -> str | None:
    """The broker's password for this gateway, or None when no user name is set. Never logged."""
    mqtt = settings.central.mqtt
    if mqtt is None or mqtt.username is None:
        return None
    candidates = [mqtt.password_file] if mqtt.password_file else []
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        candidates.append(Path(folder) / MQTT_PASSWORD_CREDENTIAL)
    for path in candidates:
        if (password := _read_password(path)) is not None:
            return password
    looked = f"; looked for {' and '.join(str(path) for path in candidates)}" if candidates else ""
    raise ConfigurationError(
        f"no password for the broker's user {mqtt.username!r}{looked}",
        hint=f"systemd credential {MQTT_PASSWORD_CREDENTIAL}, or central.mqtt.password_file",
    )


def _read_password(path: Path) -> str | None:
    """The file's one line without its end, or None when there is no file."""
    try:
        password = path.read_bytes().rstrip(b"\r\n").decode()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigurationError(f"the broker's password in {path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"the broker's password in {path} is not UTF-8 text") from exc
    if not password or "\n" in password:
        found = "it holds more than one line" if password else "it is empty"
        raise ConfigurationError(
            f"{path} does not hold a password: {found}", hint="the file holds the password and nothing else"
        )
    return password


def _read_key(path: Path) -> str | None:
    """The file's one line, or None when there is no file."""
    try:
        key = path.read_bytes().strip()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ConfigurationError(f"the central's API key in {path} cannot be read: {exc.strerror}") from exc
    if not re.fullmatch(rb"[!-~]+", key):
        found = "it is not one line of plain characters" if key else "it is empty"
        raise ConfigurationError(
            f"{path} does not hold an API key: {found}",
            hint="the file holds the key and nothing else",
        )
    return key.decode("ascii")


def resolve_paths(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Relative paths in a file are relative to that file, wherever the agent is started from."""
    out = dict(document)
    for table, keys in {
        "gateway": ("state_dir", "runtime_dir"), "central": ("ca_file", "api_key_file"),
        "outbox": ("key_journal",), "models": ("dir", "keys_dir"),
    }.items():  # fmt: skip
        if isinstance(out.get(table), dict):
            out[table] = _absolute(out[table], keys, folder)
    if isinstance(out.get("central"), dict) and isinstance(mqtt := out["central"].get("mqtt"), dict):
        mqtt_keys = ("ca_file", "certificate_file", "private_key_file", "password_file")
        out["central"] = {**out["central"], "mqtt": _absolute(mqtt, mqtt_keys, folder)}
    if isinstance(out.get("sources"), list):
        file_keys = ("path", "certificate_file", "private_key_file", "password_file")
        out["sources"] = [_absolute(s, file_keys, folder) if isinstance(s, dict) else s for s in out["sources"]]
    return out


def _absolute(table: dict[str, Any], keys: Iterable[str], folder: Path) -> dict[str, Any]:
    return {
        key: str((folder / value).absolute()) if key in keys and isinstance(value, str) else value
        for key, value in table.items()
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # editors on Windows put a mark in front
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{path} does not exist", hint="name the file with --config FILE") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path} is not UTF-8 text (byte {exc.start})") from exc
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc.strerror}") from exc


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(exc))
        where = f"{path}:{found[1]}" if found else str(path)
        raise ConfigurationError(
            f"{where}: not valid TOML: {re.sub(r' *[(]at .*[)]$', '', str(exc))}",
            where=where,
            hint='texts need quotes ("pump-7"), tables stand in brackets ([central])',
        ) from exc


def _refuse_secrets(path: Path, text: str, document: Mapping[str, Any]) -> None:
    central = document.get("central")
    if isinstance(central, dict) and "api_key" in central:
        where = f"{path}:{line_of(text, ('central', 'api_key'))}"
        raise ConfigurationError(
            f"{where}: a secret does not belong in this file",
            where=where,
            hint="move it to a file of its own (central.api_key_file) or a systemd credential, and change the key",
        )


def _explain(path: Path, text: str, exc: ValidationError) -> ConfigurationError:
    lines = []
    errors = exc.errors(include_url=False)
    for error in errors:
        if error["type"] == "too_short" and any(_is_below(other["loc"], error["loc"]) for other in errors):
            continue  # pydantic counts only the items without mistakes
        location = tuple(part for part in error["loc"] if not _is_union_label(part, error["loc"]))
        field = ".".join(str(part) for part in location) or "the whole file"
        lines.append(f"{_where(path, text, location)}: {field}: {_say(error, location)}")
    hint = None if len(lines) == 1 else f"{len(lines)} mistakes; every one must go"
    return ConfigurationError("\n".join(lines), where=lines[0].split(": ")[0], hint=hint)


def _where(path: Path, text: str, location: tuple[int | str, ...]) -> str:
    """The environment variable that set this, since it wins; else file and line, and what the environment adds."""
    place = f"{path}:{line_of(text, location)}"
    if not location:
        return place
    name = f"EDGE_{'__'.join(str(part) for part in location)}".upper()
    given = {variable.upper() for variable in os.environ}
    if name in given:
        return f"environment variable {name}"
    added = sorted(variable for variable in given if variable.startswith(f"{name}__"))
    return f"{place} with {' and '.join(added)}" if added else place


def _is_below(location: tuple[int | str, ...], parent: tuple[int | str, ...]) -> bool:
    return len(location) > len(parent) and location[: len(parent)] == parent


def _is_union_label(part: int | str, location: tuple[int | str, ...]) -> bool:
    # pydantic puts the discriminator ("modbus") between the index and the field: no such key in the file.
    at = location.index(part)
    return isinstance(part, str) and at == 2 and location[0] == "sources" and isinstance(location[1], int)


def _say(error: Any, location: tuple[int | str, ...]) -> str:
    match error["type"]:
        case "extra_forbidden":
            guess = get_close_matches(str(location[-1]), sorted(_all_field_names()), n=1)
            return "there is no such setting" + (f"; did you mean {guess[0]}?" if guess else "")
        case "missing":
            return "is missing and has no default"
        case "union_tag_invalid" | "union_tag_not_found":
            return "type must be one of microphone, accelerometer, replay, synthetic, modbus, opcua"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case _:
            given = error.get("input")
            shown = "" if isinstance(given, dict | list | tuple) else f" (it is {given!r})"
            return f"{error['msg'][0].lower()}{error['msg'][1:]}{shown}"


def _all_field_names() -> set[str]:
    """Every setting's name, for a suggestion when one is misspelt."""
    names: set[str] = set()
    for value in vars(settings_module).values():
        if isinstance(value, type) and issubclass(value, BaseModel):
            names |= set(value.model_fields)
    return names


def line_of(text: str, location: tuple[int | str, ...]) -> int:
    """The line where this setting stands, or the nearest table that holds it; 1 when there is none.

    tomllib keeps no positions, so this follows table headers and keys through the text.
    """
    best, depth = 1, 0
    counts: dict[tuple[str, ...], int] = {}
    here: tuple[int | str, ...] = ()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if header := re.match(r"^(\[\[?)\s*([A-Za-z0-9_.\"-]+)\s*\]\]?", line):
            here = _indexed(tuple(header[2].split(".")), header[1] == "[[", counts)
            place = here
        elif key := re.match(r"^([A-Za-z0-9_\"-]+)\s*=", line):
            place = (*here, key[1].strip('"'))
        else:
            continue
        shared = _shared(place, location)
        if shared == len(place) and shared > depth:
            best, depth = number, shared
    return best


def _indexed(names: tuple[str, ...], is_array: bool, counts: dict[tuple[str, ...], int]) -> tuple[int | str, ...]:
    out: list[int | str] = []
    for end in range(1, len(names) + 1):
        prefix = names[:end]
        out.append(names[end - 1])
        if end == len(names) and is_array:
            counts[prefix] = counts.get(prefix, -1) + 1
            for other in [p for p in counts if len(p) > end and p[:end] == prefix]:
                del counts[other]
        if prefix in counts:
            out.append(counts[prefix])
    return tuple(out)


def _shared(place: tuple[int | str, ...], location: tuple[int | str, ...]) -> int:
    count = 0
    for mine, theirs in zip(place, location, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
