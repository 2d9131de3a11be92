"""The secrets of a site: each from the environment, a file of its own, or a systemd credential. Never logged."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings

API_KEY_CREDENTIAL: Final = "central-api-key"
MQTT_PASSWORD_CREDENTIAL: Final = "central-mqtt-password"  # noqa: S105 (the name of a credential, not one)


def central_api_key(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """The secret, from the environment, a file of its own, or a systemd credential. Never logged."""
    if settings.central.api_key is not None:
        return settings.central.api_key.get_secret_value()
    hint = f"systemd credential {API_KEY_CREDENTIAL}, central.api_key_file, or EDGE_CENTRAL__API_KEY"
    files = _places(settings.central.api_key_file, API_KEY_CREDENTIAL, environment)
    return _first(files, _read_key, missing="no API key for the central", hint=hint)


def central_mqtt_password(settings: Settings, environment: Mapping[str, str] = os.environ) -> str | None:
    """The broker's password for this gateway, or None when no user name is set. Never logged."""
    mqtt = settings.central.mqtt
    if mqtt is None or mqtt.username is None:
        return None
    hint = f"systemd credential {MQTT_PASSWORD_CREDENTIAL}, or central.mqtt.password_file"
    files = _places(mqtt.password_file, MQTT_PASSWORD_CREDENTIAL, environment)
    return _first(files, _read_password, missing=f"no password for the broker's user {mqtt.username!r}", hint=hint)


def _places(own_file: Path | None, credential: str, environment: Mapping[str, str]) -> list[Path]:
    places = [own_file] if own_file else []
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        places.append(Path(folder) / credential)
    return places


def _first(files: list[Path], read: Callable[[Path], str | None], *, missing: str, hint: str) -> str:
    """The secret in the first file that exists. Raises ConfigurationError naming every place looked at."""
    for path in files:
        if (secret := read(path)) is not None:
            return secret
    looked = f"; looked for {' and '.join(str(path) for path in files)}" if files else ""
    raise ConfigurationError(f"{missing}{looked}", hint=hint)


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
