"""The CAs that the central, its broker and its proxy are verified with: files of the settings, and the public ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cloud_sync.errors import CredentialsError
from cloud_sync.transports.tls import trusting
from edge_agent.settings import CentralSettings

_PEM: Final = b"CERTIFICATE-----"
_PUT_IT_THERE: Final = "put the CA's certificate (PEM) there, no restart is needed"


def unusable_authorities(central: CentralSettings) -> list[tuple[str, str]]:
    """Return which CA files of the central, its broker and its proxy cannot be used, and what to do."""
    files = [central.ca_file, *(table.ca_file for table in (central.mqtt, central.proxy) if table is not None)]
    found = []
    for file in dict.fromkeys(files):
        try:
            trusting(file)
        except CredentialsError as exc:
            found.append((exc.message, exc.hint or _PUT_IT_THERE))
    return found


def missing_roots(central: CentralSettings, environment: Mapping[str, str] = os.environ) -> tuple[str, str] | None:
    """Return that a variable names public CAs that cannot be used: OpenSSL passes over it without a word."""
    if central.ca_file is not None:
        return None  # then only this one is trusted
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        place = environment.get(variable)
        if place and (wrong := _wrong_with(Path(place))) is not None:
            return f"the environment variable {variable} names {place}, {wrong}", (
                "mend it in the unit's environment, or name the central's CA in central.ca_file"
            )
    return None


def _wrong_with(place: Path) -> str | None:
    try:
        holds_one = place.is_dir() or _PEM in place.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return "which is not there"
    except OSError as exc:
        return f"which cannot be read ({exc.strerror})"
    return None if holds_one else "in which there is no certificate"
