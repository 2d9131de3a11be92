"""The secrets of a site: each from the environment, a file of its own, or a systemd credential. Never logged."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from cloud_sync.host.private_files import user_name
from edge_agent.errors import ConfigurationError
from edge_agent.settings import CentralSettings, Settings

API_KEY_CREDENTIAL: Final = "central-api-key"
PROXY_PASSWORD_CREDENTIAL: Final = "central-proxy-password"  # noqa: S105 (the name of a credential, not one)
MQTT_PASSWORD_CREDENTIAL: Final = "central-mqtt-password"  # noqa: S105 (the name of a credential, not one)

_MOST_BYTES: Final = 65_536  # a key has a hundred
_NOT_A_KEY: Final = "it is not one line of plain characters"


def central_api_key(settings: Settings, environment: Mapping[str, str] = os.environ) -> str:
    """Return the secret, from the environment, a file of its own, or a systemd credential. Never logged."""
    if settings.central.api_key is not None:
        given = settings.central.api_key.get_secret_value()
        return _checked_key(given.encode("utf-8", "surrogatepass"), "EDGE_CENTRAL__API_KEY")  # its bytes may be any
    files = _places(settings.central.api_key_file, API_KEY_CREDENTIAL, environment)
    if not files:
        raise _no_key_configured()
    hint = f"put the key there: install -m 600 /dev/stdin {files[0]}"
    return _first(files, _read_key, missing="no API key for the central", hint=hint)


def check_key_is_configured(settings: Settings, environment: Mapping[str, str] = os.environ) -> None:
    """Raise ConfigurationError when nothing says where the key is; whether it can be read is seen when it is used."""
    central = settings.central
    if central.url is None or central.api_key is not None:
        return
    if not _places(central.api_key_file, API_KEY_CREDENTIAL, environment):
        raise _no_key_configured()


def _no_key_configured() -> ConfigurationError:
    return ConfigurationError(
        "no API key for the central is configured",
        hint="name its file in central.api_key_file; in the service it is the credential central-api-key",
    )


def central_mqtt_password(settings: Settings, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the broker's password for this gateway, or None when no user name is set. Never logged.

    With a client certificate the user name may be just a name, so no password is needed unless a file is set.
    """
    mqtt = settings.central.mqtt
    if mqtt is None or mqtt.username is None:
        return None
    if mqtt.certificate_file is not None and mqtt.password_file is None:
        return None
    hint = f"systemd credential {MQTT_PASSWORD_CREDENTIAL}, or central.mqtt.password_file"
    files = _places(mqtt.password_file, MQTT_PASSWORD_CREDENTIAL, environment)
    return _first(files, _read_password, missing=f"no password for the broker's user {mqtt.username!r}", hint=hint)


def central_proxy_password(central: CentralSettings, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the proxy's password for this gateway, or None when no user name is set. Raises ConfigurationError."""
    proxy = central.proxy
    if proxy is None or proxy.username is None:
        return None
    hint = f"systemd credential {PROXY_PASSWORD_CREDENTIAL}, or central.proxy.password_file"
    files = _places(proxy.password_file, PROXY_PASSWORD_CREDENTIAL, environment)
    return _first(files, _read_password, missing=f"no password for the proxy's user {proxy.username!r}", hint=hint)


def _places(own_file: Path | None, credential: str, environment: Mapping[str, str]) -> list[Path]:
    places = [own_file] if own_file else []
    if folder := environment.get("CREDENTIALS_DIRECTORY"):
        places.append(Path(folder) / credential)
    return places


def _first(files: list[Path], read: Callable[[Path], str | None], *, missing: str, hint: str) -> str:
    """Return the secret in the first file that exists. Raise ConfigurationError naming every place looked at."""
    for path in files:
        if (secret := read(path)) is not None:
            return secret
    are_not = "does not exist" if len(files) == 1 else "do not exist"
    looked = f": {' and '.join(str(path) for path in files)} {are_not}" if files else ""
    raise ConfigurationError(f"{missing}{looked}", hint=hint)


def _read_password(path: Path) -> str | None:
    """Return the file's one line without its end, or None when there is no file."""
    content = _content(path, "the password")
    if content is None:
        return None
    try:
        password = content.rstrip(b"\r\n").decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(
            f"{path} does not hold a password: it is not UTF-8 text", hint="save it again as plain UTF-8 text"
        ) from exc
    if not password or "\n" in password:
        found = "it holds more than one line" if password else "it is empty"
        raise ConfigurationError(
            f"{path} does not hold a password: {found}", hint="the file holds the password and nothing else"
        )
    return password


def _read_key(path: Path) -> str | None:
    """Return the file's one line, or None when there is no file."""
    content = _content(path, "the central's API key")
    return None if content is None else _checked_key(content, str(path))


def _checked_key(content: bytes, where: str) -> str:
    """Return the key without blanks around it and the mark that some editors put first. Raise ConfigurationError."""
    key = content.removeprefix(codecs.BOM_UTF8).strip()
    if re.fullmatch(rb"[!-~]+", key):
        return key.decode("ascii")
    if not key:
        found = "it is empty"
    elif content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        found = f"{_NOT_A_KEY}: it is UTF-16, as some editors on Windows write it"
    elif b"\n" in key or b"\r" in key:
        found = f"{_NOT_A_KEY}: it has {len(key.splitlines())} lines"
    else:
        found = f"{_NOT_A_KEY}: there is a blank or a special character in it"
    raise ConfigurationError(
        f"{where} does not hold an API key: {found}", hint="one line with the key and nothing else"
    )


def _content(path: Path, what: str) -> bytes | None:
    """Return what the file holds, or None when there is none. Raise ConfigurationError that says whose file it is."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except FileNotFoundError:
        return None
    except PermissionError as exc:
        raise _closed(path, what) from exc
    except OSError as exc:
        raise ConfigurationError(f"{what} in {path} cannot be read: {exc.strerror}", hint="it must be a file") from exc
    if len(content) > _MOST_BYTES:
        raise ConfigurationError(f"{what} in {path} is larger than {_MOST_BYTES} bytes", hint="is it the right file?")
    return content


def _closed(path: Path, what: str) -> ConfigurationError:
    us = user_name(os.geteuid())
    try:
        found = path.stat()
    except OSError:
        return ConfigurationError(
            f"{what} in {path} cannot be read: its folder is closed to {us}, who runs the agent",
            hint=f"let {us} into {path.parent}, or put the key elsewhere",
        )
    whose = f"it belongs to {user_name(found.st_uid)} with mode {stat.S_IMODE(found.st_mode):03o}"
    return ConfigurationError(
        f"{what} in {path} cannot be read: {whose}, and the agent runs as {us}",
        hint=f"chown {us.removeprefix('uid ')} {path}; chmod 600 {path}; or start the container as that user",
    )
