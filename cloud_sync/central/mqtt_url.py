"""The broker of `--mqtt-url mqtt[s]://user@host:port` and the files beside it. Mistakes are said before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit

from cloud_sync.central.errors import UsageError
from cloud_sync.transports.mqtt.broker import Broker, Tls

_PORTS: Final = {"mqtt": 1_883, "mqtts": 8_883}
_SHAPE: Final = "it looks like mqtts://central@broker.example:8883"


def broker_of(
    url: str,
    *,
    password_file: Path | None = None,
    ca_file: Path | None = None,
    certificate_file: Path | None = None,
    private_key_file: Path | None = None,
) -> Broker:
    """Raises UsageError. mqtt:// is plaintext: whoever writes it has chosen so."""
    parts = _split(url)
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    files = (ca_file, certificate_file, private_key_file)
    if parts.scheme == "mqtt" and any(files):
        raise UsageError("certificates are of no use with mqtt://, which is plaintext", hint="write mqtts://")
    if (certificate_file is None) != (private_key_file is None):
        raise UsageError("--mqtt-cert and --mqtt-key belong together")
    username = unquote(parts.username) if parts.username else None
    if password_file is not None and username is None:
        raise UsageError("--mqtt-password-file needs a user in --mqtt-url", hint=_SHAPE)
    password = _password(password_file) if password_file is not None else None
    return Broker(host, port, Tls(*files) if parts.scheme == "mqtts" else None, username, password)


def _split(url: str) -> SplitResult:
    """The URL's parts. It may hold a password by mistake, so it is never repeated."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise UsageError(f"--mqtt-url cannot be used: {exc}", hint=_SHAPE) from exc
    if not usable or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise UsageError("--mqtt-url is not the address of a broker", hint=_SHAPE)
    if parts.password is not None:
        raise UsageError(
            "a password in --mqtt-url can be read by everybody on this machine", hint="use --mqtt-password-file"
        )
    return parts


def _password(path: Path) -> str:
    try:
        password = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"the broker's password in {path} cannot be read: {exc}") from exc
    if not password or "\n" in password:
        raise UsageError(f"{path} does not hold one line with a password")
    return password
