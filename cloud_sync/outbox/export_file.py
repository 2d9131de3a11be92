"""Waiting blocks in one signed file, to be carried to the central by hand. The format is in docs/OUTBOX.md.

Constraints
- A file is whole and signed, or it is refused before anything of it is used.
- Streamed in both directions: one block in memory at a time.
- Exporting takes nothing out of the outbox: only the central's own answer does that.

Does not know SQLite nor the central.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from cloud_sync.errors import OutboxError, WireFormatError
from cloud_sync.host.private_files import open_private
from cloud_sync.outbox.tables import NewBlock
from cloud_sync.records import RecordClass

MAGIC: Final = b"smart-maintenance-outbox 1\n"
KEY_FILE: Final = "export.key"
PUBLIC_KEY_FILE: Final = "export.pub"
_SIGNATURE_BYTES: Final = 64
_MAX_PART_BYTES: Final = 64_000_000  # what a batch may have once decoded; only stops a broken length
_LENGTH: Final = struct.Struct(">I")
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Written:
    blocks: int
    records: int
    file_bytes: int


def gateway_key(state_dir: Path) -> Ed25519PrivateKey:
    """Return the gateway's own key; made, with its public half beside it, when there is none. Raises OutboxError."""
    file = state_dir / KEY_FILE
    try:
        if not file.exists():
            _make_key(file, state_dir / PUBLIC_KEY_FILE)
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise OutboxError(f"the key {file} cannot be used: {exc}", hint="run as the agent's user") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise OutboxError(f"{file} is not an Ed25519 key", hint="move it away; a new one is made")
    return key


def public_key(file: Path) -> Ed25519PublicKey:
    """Return a key that may have signed. Raises OutboxError."""
    try:
        key = serialization.load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm) as exc:
        raise OutboxError(f"the key {file} cannot be read: {exc}", hint="it is export.pub of the gateway") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise OutboxError(f"{file} is not an Ed25519 key", hint="it is export.pub of the gateway")
    return key


def write_blocks(file: Path, blocks: Iterable[NewBlock], *, gateway_id: str, key: Ed25519PrivateKey) -> Written:
    """Write and sign; under its name the file is there only once it is whole and synced. Raises OutboxError."""
    part = file.with_name(f"{file.name}.part")
    count = records = 0
    digest = hashlib.sha512()
    try:
        with part.open("wb") as out:

            def put(content: bytes) -> None:
                digest.update(content)
                out.write(content)

            put(MAGIC + _framed(json.dumps({"gateway_id": gateway_id}).encode()))
            for block in blocks:
                put(_framed(_header(block)) + _framed(block.body))
                count, records = count + 1, records + block.count
            put(_LENGTH.pack(0))
            out.write(key.sign(MAGIC + digest.digest()))
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
        return Written(count, records, file.stat().st_size)
    except OSError as exc:
        part.unlink(missing_ok=True)
        raise OutboxError(f"{file} cannot be written: {exc}", hint="is the stick full or read-only?") from exc


def read_blocks(file: Path, keys: Iterable[Ed25519PublicKey]) -> tuple[str, Iterator[NewBlock]]:
    """Return the gateway's id and its blocks, once the signature over all of it has been checked.

    Raises OutboxError when the file cannot be read or nobody of `keys` signed it, WireFormatError when it is no export.
    """
    try:
        _check_signature(file, list(keys))
        with file.open("rb") as source:
            source.seek(len(MAGIC))
            gateway_id = str(json.loads(_part(source))["gateway_id"])
    except OSError as exc:
        raise OutboxError(f"{file} cannot be read: {exc}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise WireFormatError(f"{file} is not an export of an outbox: {exc}") from exc
    return gateway_id, _blocks(file)


def _blocks(file: Path) -> Iterator[NewBlock]:
    try:
        with file.open("rb") as source:
            source.seek(len(MAGIC))
            _part(source)
            while header := _part(source):
                h = json.loads(header)
                record_class = RecordClass(h["class"])
                yield NewBlock(
                    h["batch_id"], record_class, h["first_time_us"], h["last_time_us"], h["count"], _part(source)
                )
    except OSError as exc:
        raise OutboxError(f"{file} cannot be read: {exc}") from exc
    except (ValueError, KeyError, TypeError) as exc:
        raise WireFormatError(f"{file} is not an export of an outbox: {exc}") from exc


def _check_signature(file: Path, keys: list[Ed25519PublicKey]) -> None:
    signed_bytes = file.stat().st_size - _SIGNATURE_BYTES
    digest = hashlib.sha512()
    with file.open("rb") as source:
        if source.read(len(MAGIC)) != MAGIC or signed_bytes < len(MAGIC):
            raise WireFormatError(f"{file} is not an export of an outbox")
        source.seek(0)
        while signed_bytes > 0 and (chunk := source.read(min(_CHUNK_BYTES, signed_bytes))):
            digest.update(chunk)
            signed_bytes -= len(chunk)
        signature = source.read()
    for key in keys:
        try:
            key.verify(signature, MAGIC + digest.digest())
        except InvalidSignature:
            continue
        return
    raise OutboxError(
        f"{file} is not whole, or nobody who is trusted signed it",
        hint="copy it again; give the gateway's export.pub with --key",
    )


def _header(block: NewBlock) -> bytes:
    fields = {
        "batch_id": block.batch_id, "class": block.record_class.value, "count": block.count,
        "first_time_us": block.first_time_us, "last_time_us": block.last_time_us,
    }  # fmt: skip
    return json.dumps(fields).encode()


def _framed(content: bytes) -> bytes:
    return _LENGTH.pack(len(content)) + content


def _part(source: BinaryIO) -> bytes:
    head = source.read(_LENGTH.size)
    if len(head) != _LENGTH.size:
        raise ValueError("it ends too early")
    size = _LENGTH.unpack(head)[0]
    if size > _MAX_PART_BYTES:
        raise ValueError(f"a part of {size} bytes")
    content = source.read(size)
    if len(content) != size:
        raise ValueError("it ends too early")
    return content


def _make_key(file: Path, public_file: Path) -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )  # fmt: skip
    with open_private(public_file, "wb") as out:
        out.write(public)
    with open_private(file, "xb") as out:
        out.write(pem)
