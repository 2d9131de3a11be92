"""Where the broker is, how it is trusted, and how we sign in; and the topics both ends speak on.

Constraints
- TLS, verified, unless `tls` is None, which a caller must say out loud.
- The password is in no repr. Certificates are read at each connection, so a renewed one is used without a restart.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.tls import ClientCertificate, trusting

DEFAULT_PORT: Final = 8_883
BATCHES: Final = "sm/v1/+/batch"


@dataclass(frozen=True, slots=True)
class Topics:
    """The three topics of one gateway."""

    gateway_id: str

    @property
    def batch(self) -> str:
        return f"sm/v1/{self.gateway_id}/batch"

    @property
    def answer(self) -> str:
        return f"sm/v1/{self.gateway_id}/ack"

    @property
    def state(self) -> str:
        return f"sm/v1/{self.gateway_id}/state"


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
    """PEM files. Without `ca_file` the system's and the well-known public CAs are trusted."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    private_key_file: Path | None = None

    def context(self) -> ssl.SSLContext:
        """Reads the files. Raises CredentialsError, naming the one that cannot be used."""
        context = trusting(self.ca_file)
        context.sslsocket_class = _ClosingSocket
        if self.certificate_file is not None:
            ClientCertificate(self.certificate_file, self.private_key_file or self.certificate_file).load_into(context)
        return context


@dataclass(frozen=True, slots=True)
class Broker:
    """`tls=None` is plaintext."""

    host: str
    port: int = DEFAULT_PORT
    tls: Tls | None = Tls()
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def check_host(self) -> None:
        """Raises CredentialsError for a host that no resolver takes; the network thread would die of it unheard."""
        try:
            self.host.encode("idna")
        except UnicodeError as exc:
            raise CredentialsError(f"{self.host!r} is not the name of a host: {exc}", hint="check host") from exc

    @property
    def where(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtt' if self.tls is None else 'mqtts'}://{host}:{self.port}"
