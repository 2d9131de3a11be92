"""TLS sessions that are taken up again: a connection to a server that was there before costs no certificates.

Constraints
- A session is offered to the host name it was made with, under the same trust and the same certificate of ours; when
  one of them is loaded again, all are forgotten. What was verified then is not verified again while the server still
  takes the session (RFC 8446, 4.6.1: seven days at most; OpenSSL's servers give two hours).
- A server that does not take it makes an ordinary handshake; one that fails with it is not offered it again.
"""

from __future__ import annotations

import ssl
from typing import Any


class TlsSessions:
    """The newest session of each host name."""

    def __init__(self) -> None:
        self._newest: dict[str, ssl.SSLSession] = {}

    def forget_all(self) -> None:
        """Forget every session: handshakes are whole ones until there are new sessions."""
        self._newest.clear()

    def offer(self, connection: ssl.SSLObject) -> None:
        """Begin a handshake with what is known of this host."""
        found = self._newest.pop(connection.server_hostname or "", None)
        if found is not None:
            connection.session = found

    def keep(self, connection: ssl.SSLObject) -> bool:
        """Keep what the server gave for the next time. Returns whether it gave something."""
        session = connection.session
        if session is None or not session.has_ticket:
            return False
        self._newest[connection.server_hostname or ""] = session
        return True

    def use_in(self, context: ssl.SSLContext) -> None:
        """Make every connection of this context take part."""
        context.sslobject_class = _resuming(self)


def _resuming(sessions: TlsSessions) -> type[ssl.SSLObject]:
    class Resuming(ssl.SSLObject):
        """A TLS 1.3 server sends its tickets after the handshake: they come with the first bytes that are read."""

        _has_offered = False
        _has_kept = False

        def do_handshake(self) -> None:
            if not self._has_offered:
                self._has_offered = True
                sessions.offer(self)
            super().do_handshake()

        def read(self, *arguments: Any) -> Any:
            data = super().read(*arguments)
            if not self._has_kept:
                self._has_kept = sessions.keep(self)
            return data

    return Resuming
