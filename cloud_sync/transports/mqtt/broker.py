"""Where the broker is, how it is trusted, and how we sign in; and the topics both ends speak on.

Constraints
- TLS, verified, unless `tls` is None, which a caller must ask for explicitly.
- The password and the WebSocket headers are in no repr. Password and certificates are read at each connection, so
  renewed ones are used without a restart.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.mqtt.options import ProtocolOptions
from cloud_sync.transports.tls import ClientCertificate, trusting

DEFAULT_PORT: Final = 8_883
_ROOT: Final = "sm/v1"


@dataclass(frozen=True, slots=True)
class Topics:
    """The three topics of one gateway, below a prefix that a shared broker may ask for."""

    gateway_id: str
    prefix: str = ""

    @property
    def batch(self) -> str:
        return f"{self._own}/batch"

    @property
    def answer(self) -> str:
        return f"{self._own}/ack"

    @property
    def state(self) -> str:
        return f"{self._own}/state"

    @property
    def _own(self) -> str:
        root = f"{self.prefix}/{_ROOT}" if self.prefix else _ROOT
        return f"{root}/{self.gateway_id}"


def batches_below(prefix: str) -> str:
    """Return the topic filter of every gateway's batches."""
    return Topics("+", prefix).batch


def topics_of(topic: str, prefix: str) -> Topics | None:
    """Return the topics of the gateway that published on this batch topic, or None when it is none."""
    before, after = Topics("\0", prefix).batch.split("\0")
    gateway_id = topic.removeprefix(before).removesuffix(after)
    is_one = gateway_id and "/" not in gateway_id and topic == f"{before}{gateway_id}{after}"
    return Topics(gateway_id, prefix) if is_one else None


class _ClosingSocket(ssl.SSLSocket):
    """Closed when the handshake fails; paho would leave it open until the garbage is collected."""

    def do_handshake(self, block: bool = False) -> None:
        try:
            super().do_handshake(block)
        except OSError:
            self.close()
            raise


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files. Without `ca_file` the system's and the well-known public CAs are trusted.

    `alpn` is a protocol name that a broker asks for on a port it shares.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None
    alpn: str | None = None

    def context(self) -> ssl.SSLContext:
        """Return a context made from the files. Raises CredentialsError, naming the one that cannot be used."""
        context = trusting(self.ca_file)
        context.sslsocket_class = _ClosingSocket
        if self.certificate_file is not None:
            ClientCertificate(self.certificate_file, self.private_key_file or self.certificate_file).load_into(context)
        if self.alpn is not None:
            context.set_alpn_protocols([self.alpn])
        return context


@dataclass(frozen=True, slots=True)
class WebSocket:
    """MQTT inside a WebSocket: the path of the upgrade, and headers that a front end asks for."""

    path: str = "/mqtt"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Broker:
    """`tls=None` is plaintext; `websocket=None` is MQTT on the bare connection.

    `read_password` is asked at each connection and goes before `password`; it raises CredentialsError.
    """

    host: str
    port: int = DEFAULT_PORT
    tls: Tls | None = Tls()
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    options: ProtocolOptions = field(default_factory=ProtocolOptions)
    websocket: WebSocket | None = None
    read_password: Callable[[], str | None] | None = field(default=None, repr=False, compare=False)

    def check_host(self) -> None:
        """Raise CredentialsError for a host that no resolver takes; the network thread would die of it unheard."""
        try:
            self.host.encode("idna")
        except UnicodeError as exc:
            raise CredentialsError(f"{self.host!r} is not the name of a host: {exc}", hint="check host") from exc

    def password_now(self) -> str | None:
        """Return the password as its file holds it now. Raises CredentialsError when it cannot be read."""
        return self.password if self.read_password is None else self.read_password()

    def topics_of(self, gateway_id: str) -> Topics:
        return Topics(gateway_id, self.options.topic_prefix)

    @property
    def where(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        plain, secure = ("mqtt", "mqtts") if self.websocket is None else ("ws", "wss")
        path = "" if self.websocket is None else self.websocket.path
        return f"{plain if self.tls is None else secure}://{host}:{self.port}{path}"
