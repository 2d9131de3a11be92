"""Who may sign a bundle, and whether it was one of them.

`<keys>/*.pub` are Ed25519 public keys (PEM) that may sign; `<keys>/revoked.txt` lists key ids that may not any more,
one a line, `#` begins a comment. A key id is the first 16 hex digits of the SHA-256 of the key's 32 bytes.

Constraints
- The revoked list wins, also over a key that still lies there. A list that cannot be read lets nobody sign.
- No clock is asked: a signature does not become invalid because this box believes it is 1970.
- manifest.sig is one line, `ed25519 <key id> <signature in hex>`; the 64 bytes alone, as older builders wrote
  them, are tried with every key.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from edge_agent.bundles.folders import entries_of, is_there
from edge_agent.errors import BundleError, MissingKeyError

REVOKED_FILE: Final = "revoked.txt"
RAW_SIGNATURE_BYTES: Final = 64
MAX_KEY_BYTES: Final = 64_000
_LINE: Final = re.compile(rb"ed25519 ([0-9a-f]{16}) ([0-9a-f]{128})\n?")
_KEY_ID: Final = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Signature:
    """`key_id` is None when the file does not say which key it was."""

    value: bytes
    key_id: str | None


@dataclass(frozen=True, slots=True, eq=False)
class KeyRing:
    """The keys of one folder, by id, and the ids that are revoked."""

    folder: Path
    keys: dict[str, Ed25519PublicKey]
    revoked: frozenset[str]

    def signer_of(self, content: bytes, signature: Signature) -> str:
        """Return the id of the key that signed `content`. Raises BundleError: unknown, revoked, or it does not fit."""
        if signature.key_id is not None:
            self._refuse_by_name(signature.key_id)
        for key_id, key in self.keys.items():
            if signature.key_id in (None, key_id) and _fits(key, content, signature.value):
                if key_id in self.revoked:
                    raise _revoked(key_id, self.folder)
                return key_id
        if signature.key_id is not None:
            raise BundleError(f"manifest.sig of key {signature.key_id} does not fit manifest.json: one was changed")
        raise MissingKeyError(  # perhaps: an old signature does not say whose it is
            "manifest.sig does not fit manifest.json: one of them was changed, "
            f"or it was signed with a key that is not in {self.folder}"
        )

    def _refuse_by_name(self, key_id: str) -> None:
        if key_id in self.revoked:
            raise _revoked(key_id, self.folder)
        if key_id not in self.keys:
            raise MissingKeyError(
                f"manifest.sig is of key {key_id}, a key that is not in {self.folder}",
                hint=f"if you trust its builder, put that public key into {self.folder}; it is tried again by itself",
            )


def read_key_ring(folder: Path) -> KeyRing:
    """Return the keys in a folder.

    Raises BundleError: no key, a closed folder, a file that is no Ed25519 key, an unusable revoked list.
    """
    try:
        files = [file for file in entries_of(folder) if file.suffix == ".pub"]
    except BundleError as exc:
        raise MissingKeyError(exc.message, hint=exc.hint) from exc
    if not files:
        raise MissingKeyError(
            f"{folder} holds no public key (*.pub), so no bundle can be trusted",
            hint=f"put the builder's public key into {folder}, or set models.keys_dir; it is tried again by itself",
        )
    keys = {key_id_of(key): key for key in map(_public_key, files)}
    return KeyRing(folder, keys, _revoked_ids(folder / REVOKED_FILE))


def parse_signature(content: bytes) -> Signature:
    """Return what manifest.sig holds. Raises BundleError."""
    if (line := _LINE.fullmatch(content)) is not None:
        return Signature(bytes.fromhex(line[2].decode()), line[1].decode())
    if len(content) == RAW_SIGNATURE_BYTES:
        return Signature(content, None)
    raise BundleError("manifest.sig is not a signature: it was changed or cut short")


def key_id_of(key: Ed25519PublicKey) -> str:
    """Return the first 16 hex digits of the SHA-256 of the key's bytes; also the name of its file."""
    return hashlib.sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def _fits(key: Ed25519PublicKey, content: bytes, value: bytes) -> bool:
    try:
        key.verify(value, content)
    except InvalidSignature:
        return False
    return True


def _public_key(file: Path) -> Ed25519PublicKey:
    try:
        key = load_pem_public_key(_read(file))
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise BundleError(f"{file} is not a public key in PEM form", hint="copy it again or remove it") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise BundleError(f"{file} is not an Ed25519 key", hint="bundles are signed with Ed25519 only")
    return key


def _revoked_ids(file: Path) -> frozenset[str]:
    if not is_there(file):
        return frozenset()
    try:
        lines = _read(file).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise _bad_list(file, "it is not text") from exc
    entries = [line.partition("#")[0].strip().lower() for line in lines]
    for number, entry in enumerate(entries, start=1):
        if entry and not _KEY_ID.fullmatch(entry):
            raise _bad_list(file, f"line {number} is not a key id of 16 hex digits")
    return frozenset(entry for entry in entries if entry)


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_KEY_BYTES:
            raise BundleError(f"{file} is larger than {MAX_KEY_BYTES} bytes", hint="copy it again or remove it")
        return file.read_bytes()
    except OSError as exc:
        raise BundleError(f"{file} cannot be read: {exc.strerror}", hint="check the file's owner and mode") from exc


def _bad_list(file: Path, why: str) -> BundleError:
    return BundleError(
        f"{file} cannot be used, so no bundle is trusted: {why}", hint="one key id a line; # begins a comment"
    )


def _revoked(key_id: str, folder: Path) -> BundleError:
    return BundleError(
        f"manifest.sig is of key {key_id}, which is revoked in {folder / REVOKED_FILE}",
        hint="ask for the bundle signed with the builder's new key",
    )
