"""The name of a batch whose correlation data did not travel, as under MQTT 3.1.1: a digest of its bytes.

Both ends make it of what they have: the gateway of the bytes it sent, the central of the bytes it got. So an answer is
about exactly those bytes, whichever versions of the protocol the two speak with the broker.
"""

from __future__ import annotations

import hashlib
from typing import Final

from cloud_sync import wire

_HEX_DIGITS: Final = 32
_GZIP: Final = b"\x1f\x8b"  # RFC 1952, 2.3.1


def name_of_content(body: bytes) -> str:
    """Return what an answer about these bytes calls them: 128 bits of their SHA-256."""
    return f"sha256-{hashlib.sha256(body).hexdigest()[:_HEX_DIGITS]}"


def encoding_of_content(body: bytes) -> str:
    """Return the content encoding of a body that says none: a form that is known by its first bytes, or else zstd.

    zstd is what gateways send; what is none is refused as that.
    """
    if body.startswith(_GZIP):
        return "gzip"
    return "identity" if body.startswith(b"{") or wire.is_binary(body) else "zstd"
