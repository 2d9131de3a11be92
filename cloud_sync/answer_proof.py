"""How a central shows that an answer is its own: one header on each of them, with a proof for whoever asks for one.

Constraints
- The proof is an HMAC-SHA256 (RFC 2104) with the caller's API key over the caller's challenge, the status and the body:
  a kept or repeated answer, one about another request and one that was changed or cut short do not carry it.
- The challenge ends with a checksum of the request's body, so that the central knows one that was changed or cut short
  on the way from one that is bad.
- It is no replacement for TLS. Over plain http whoever stands on the path reads the key, and can make a proof.

Both sides know this module; it knows nobody.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import zlib
from enum import StrEnum
from typing import Final

IDENTITY_HEADER: Final = "X-Edge-Central"
CHALLENGE_HEADER: Final = "X-Edge-Challenge"
API_VERSION: Final = 1

_CHALLENGE: Final = re.compile(r"[0-9a-f]{16}")
_IDENTITY: Final = re.compile(r"[0-9]{1,4}(?: proof=([0-9a-f]{32}))?")
REQUEST_CHANGED: Final = "request_changed"
"""The code of an error that says what became of the request on the way, and nothing of the batch."""

_RANDOM_BYTES: Final = 4
_PROOF_BYTES: Final = 16
"""Half of the HMAC, as RFC 2104 allows (section 5): each byte is paid for on a metered link."""
_PURPOSE: Final = b"edge-central-answer"


class Identity(StrEnum):
    """What an answer says of who gave it."""

    NONE = "none"  # nothing
    CLAIMED = "claimed"  # the header, without a proof
    PROVEN = "proven"
    WRONG = "wrong"  # a proof, of another answer than this


def new_challenge(body: bytes) -> str:
    """Return what no answer given before has a proof for: eight random digits, and the CRC-32 of the request's body."""
    return f"{secrets.token_hex(_RANDOM_BYTES)}{zlib.crc32(body):08x}"


def is_body_of(challenge: str, body: bytes) -> bool:
    """Return whether this is the body that was sent; True also for a request without a challenge."""
    return not _CHALLENGE.fullmatch(challenge) or int(challenge[-8:], 16) == zlib.crc32(body)


def identity_header(api_key: str, challenge: str, *, status: int, body: bytes) -> str:
    """Return the value of X-Edge-Central, with the proof when the caller showed a key and a challenge."""
    if not api_key or not _CHALLENGE.fullmatch(challenge):
        return str(API_VERSION)
    return f"{API_VERSION} proof={_proof(api_key, challenge, status, body)}"


def identity_in(header: str | None, api_key: str, challenge: str, *, status: int, body: bytes) -> Identity:
    """Return what the header of an answer says of it."""
    if header is None:
        return Identity.NONE
    found = _IDENTITY.fullmatch(header.strip())
    if found is None:
        return Identity.WRONG
    if found[1] is None:
        return Identity.CLAIMED
    fits = hmac.compare_digest(found[1], _proof(api_key, challenge, status, body))
    return Identity.PROVEN if fits else Identity.WRONG


def _proof(api_key: str, challenge: str, status: int, body: bytes) -> str:
    about = b"\n".join([_PURPOSE, challenge.encode(), b"%d" % status, hashlib.sha256(body).digest()])
    return hmac.new(api_key.encode(), about, hashlib.sha256).digest()[:_PROOF_BYTES].hex()
