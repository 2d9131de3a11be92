"""The broker of `--mqtt-url mqtt[s]://user@host:port?option=value` and the files beside it.

ws:// and wss:// are WebSockets, with the path of the upgrade. What the broker asks for stands in the query, one name
for each. Mistakes are raised before anything runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from cloud_sync.central.errors import UsageError
from cloud_sync.errors import CredentialsError
from cloud_sync.transports.mqtt.broker import Broker, Tls, WebSocket
from cloud_sync.transports.mqtt.limits import FLOOR_BYTES
from cloud_sync.transports.mqtt.options import ProtocolOptions, wrong_prefix

_PORTS: Final = {"mqtt": 1_883, "mqtts": 8_883, "ws": 80, "wss": 443}
_PLAIN: Final = ("mqtt", "ws")
_SOCKETS: Final = ("ws", "wss")
_SHAPE: Final = "it looks like mqtts://central@broker.example:8883 or wss://central@broker.example/mqtt?protocol=3.1.1"
_NO_SHARE: Final = "none"


def broker_of(
    url: str,
    *,
    password_file: Path | None = None,
    ca_file: Path | None = None,
    certificate_file: Path | None = None,
    private_key_file: Path | None = None,
) -> Broker:
    """Return the broker of a URL and its files. Raises UsageError.

    mqtt:// and ws:// are plaintext: whoever writes it has chosen so.
    """
    parts = _split(url)
    given = _options(parts.query)
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    files = (ca_file, certificate_file, private_key_file)
    is_plain = parts.scheme in _PLAIN
    if is_plain and any(files):
        raise UsageError(
            f"certificates are of no use with {parts.scheme}://, which is plaintext",
            hint=f"write {parts.scheme}s://",
        )
    if (certificate_file is None) != (private_key_file is None):
        raise UsageError("--mqtt-cert and --mqtt-key belong together")
    username = unquote(parts.username) if parts.username else None
    if password_file is not None and username is None:
        raise UsageError("--mqtt-password-file needs a user in --mqtt-url", hint=_SHAPE)
    if password_file is not None:
        _password(password_file)  # a mistake is raised now; each connection reads it again
    alpn = given.pop("alpn", None)
    if given.get("share") == _NO_SHARE:
        given["share"] = None
    return Broker(
        host,
        port,
        None if is_plain else Tls(*files, alpn),
        username,
        options=ProtocolOptions(**given),
        websocket=WebSocket(parts.path or "/mqtt") if parts.scheme in _SOCKETS else None,
        read_password=None if password_file is None else _reader_of(password_file),
    )


def _reader_of(password_file: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            return _password(password_file)
        except UsageError as exc:
            raise CredentialsError(str(exc)) from exc

    return read


def _options(query: str) -> dict[str, Any]:
    """The options by the names that `ProtocolOptions` has for them. Raises UsageError, naming the one that is wrong."""
    given: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OPTIONS:
            raise UsageError(f"--mqtt-url has no option {name!r}", hint=f"there are {', '.join(_OPTIONS)}")
        field, read = _OPTIONS[name]
        if (read_value := read(value)) is None:
            raise UsageError(f"--mqtt-url: {name}={value} cannot be used", hint=_ALLOWED[name])
        given[field] = read_value
    return given


def _one_of(choices: Mapping[str, Any]) -> Callable[[str], Any]:
    return choices.get


def _number(least: int, most: int) -> Callable[[str], int | None]:
    return lambda text: int(text) if text.isascii() and text.isdecimal() and least <= int(text) <= most else None


def _word(text: str) -> str | None:
    return text if text and text.isascii() and text.isprintable() and not set(text) & set(" /+#") else None


_OPTIONS: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "protocol": ("version", _one_of({"5": "5", "3.1.1": "3.1.1"})),
    "qos": ("qos", _one_of({"1": 1, "2": 2})),
    "prefix": ("topic_prefix", lambda text: text if text and wrong_prefix(text) is None else None),
    "client-id": ("client_id", _word),
    "keep-alive": ("keep_alive_s", _number(5, 1_200)),
    "max-packet": ("max_packet_bytes", _number(FLOOR_BYTES, 268_435_455)),
    "share": ("share", _word),
    "alpn": ("alpn", _word),
}
_ALLOWED: Final = {
    "protocol": "5 or 3.1.1",
    "qos": "1 or 2",
    "prefix": "levels as in plant/a, without +, # and $ at the beginning, as in the gateways' topic_prefix",
    "client-id": "letters, digits and marks; of two clients with one id the broker puts one out",
    "keep-alive": "5 to 1200 seconds",
    "max-packet": f"{FLOOR_BYTES} to 268435455 bytes",
    "share": "the group of the shared subscription, or none for a broker without them, and one central only",
    "alpn": "a protocol name of TLS, such as x-amzn-mqtt-ca",
}


def _split(url: str) -> SplitResult:
    """The URL's parts. It may hold a password by mistake, so it is never repeated."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise UsageError(f"--mqtt-url cannot be used: {exc}", hint=_SHAPE) from exc
    if not usable or parts.fragment or (parts.scheme not in _SOCKETS and parts.path not in ("", "/")):
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
