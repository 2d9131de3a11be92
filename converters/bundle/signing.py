"""Ed25519 keys of those who build bundles: made, kept and used here.

Constraints
- The private key never enters the repository: it lies in `build/`, readable by its owner only, or where told.
- The public key's file name carries its fingerprint, so that keys of several builders can lie side by side.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge_agent.bundles.keyring import key_id_of
from edge_agent.errors import BundleError

DEFAULT_KEY: Final = Path("build/signing.key")


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the key in `path`; made there, mode 0600, when missing. Raises BundleError for another kind of key."""
    if not path.exists():
        return make_key(path)
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as exc:
        raise BundleError(f"{path} is not a private key without password: {exc}", hint="name another --key") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise BundleError(f"{path} is not an Ed25519 key", hint="make one with `edge-convert keygen`")
    return key


def make_key(path: Path) -> Ed25519PrivateKey:
    """Return a new key in a new file. Raises BundleError when the file exists: a key is never overwritten."""
    key = Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise BundleError(f"{path} exists; a signing key is never overwritten", hint="name another file") from exc
    with os.fdopen(descriptor, "wb") as file:
        file.write(text)
    return key


def publish(key: Ed25519PrivateKey, keys_dir: Path) -> Path:
    """Write the public half into `keys_dir` as <fingerprint>.pub (PEM); return the file."""
    public = key.public_key()
    keys_dir.mkdir(parents=True, exist_ok=True)
    file = keys_dir / f"{key_id_of(public)}.pub"
    file.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


def sign(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    """Return the 64 bytes of the signature."""
    return key.sign(manifest)


def signature_line(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    """Return manifest.sig: which key it was, and its signature."""
    return f"ed25519 {key_id_of(key.public_key())} {sign(key, manifest).hex()}\n".encode()
