"""One proxy: how it is reached, spoken to, and signed in at. Knows only the standard library.

Constraints
- No message shows a part of the text that may hold a user name or a password.
"""

from __future__ import annotations

import re
from base64 import b64encode
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import unquote

DEFAULT_PORTS: Final = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
FORM: Final = "a proxy is http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT"

_HOST: Final = re.compile(r"[A-Za-z0-9_.\-]{1,253}|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.\-]+)?\]")
_MOST_SOCKS_BYTES: Final = 255  # RFC 1929: each of the two has one byte for its length


@dataclass(frozen=True, slots=True)
class Proxy:
    """`source` is where it was configured, as a person would look for it: a setting, or a variable."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    source: str = "central.proxy.url"
    ca_file: Path | None = None
    """Of an https:// proxy, beside the system's and the well-known public CAs."""

    @property
    def where(self) -> str:
        """Return the address without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def in_words(self) -> str:
        """Return how a message names it."""
        return f"the proxy at {self.where} ({self.source})"

    @property
    def is_socks(self) -> bool:
        return self.scheme in ("socks5", "socks5h")

    @property
    def looks_up_names(self) -> bool:
        """Return whether the proxy is given names; socks5 is given the address that was looked up here."""
        return self.scheme != "socks5"

    @property
    def sign_in_hint(self) -> str:
        """Return where its user name and password belong."""
        if self.source.startswith("central."):
            return "set central.proxy.username and central.proxy.password_file"
        return f"set [central.proxy] with url, username and password_file, or write USER:PASSWORD@ into {self.source}"

    def basic(self) -> str | None:
        """Return the value of Proxy-Authorization (RFC 7617), or None for nobody."""
        if self.username is None:
            return None
        return "Basic " + b64encode(f"{self.username}:{self.password or ''}".encode()).decode("ascii")


def parse_proxy(text: str, *, source: str, ca_file: Path | None = None) -> Proxy:
    """Return the proxy that a URL names. Raises ValueError with what is wrong, without the text itself."""
    if re.search(r"[\x00-\x20\x7f]", text):
        raise ValueError(f"there is a blank or a control character in it; {FORM}")
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"there is a character in it that no address has; {FORM}")
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "http", text
    scheme = scheme.lower()
    if scheme not in DEFAULT_PORTS:
        named = f"{scheme}:// " if re.fullmatch(r"[a-z0-9+.\-]{1,10}", scheme) else "what it begins with "
        raise ValueError(f"{named}is no kind of proxy that is spoken here; {FORM}")
    authority, _, path = rest.partition("/")
    if path or "?" in authority or "#" in authority:
        raise ValueError(f"it goes on after the address; {FORM}")
    user, mark, address = authority.rpartition("@")
    host, port = _address(address, DEFAULT_PORTS[scheme])
    if not mark:
        return Proxy(scheme, host, port, source=source, ca_file=ca_file)
    name, _, password = user.partition(":")
    proxy = Proxy(scheme, host, port, unquote(name), unquote(password), source=source, ca_file=ca_file)
    check_sign_in(proxy)
    return proxy


def check_sign_in(proxy: Proxy) -> None:
    """Raise ValueError when this user name or password cannot be sent to this kind of proxy."""
    name, password = proxy.username or "", proxy.password or ""
    if proxy.is_socks and max(len(name.encode()), len(password.encode())) > _MOST_SOCKS_BYTES:
        raise ValueError(f"user name or password is longer than {_MOST_SOCKS_BYTES} bytes, more than SOCKS takes")
    if not proxy.is_socks and ":" in name:
        raise ValueError("there is a colon in the user name, which Basic authentication cannot carry")


def _address(text: str, default_port: int) -> tuple[str, int]:
    """Return host and port. The port is shown in no message: a password stands there when the @ was forgotten."""
    found = _HOST.match(text)
    if found is None:
        raise ValueError(f"it has no host; {FORM}")
    host, rest = found[0].strip("[]"), text[found.end() :]
    if not rest:
        return host, default_port
    digits = rest.removeprefix(":")
    if rest[0] != ":" or not re.fullmatch(r"[0-9]{1,5}", digits) or not 1 <= int(digits) <= 65_535:
        raise ValueError(f"what follows its host is no port from 1 to 65535; {FORM}")
    return host, int(digits)
