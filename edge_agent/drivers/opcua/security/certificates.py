"""X.509 certificates as OPC UA uses them: read, named for a person, and one of our own made when a site has none.

Pure apart from the files it is given; knows no OPC UA library.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from cloud_sync.host.private_files import make_private_folder, open_private

KEY_BITS: Final = 2_048
"""What every policy we speak takes; 4,096 would take a small box seconds at each connection."""

OWN_DAYS: Final = 1_825
"""Five years: every renewal makes somebody trust the new one on the server."""

OWN_PAIR: Final = "key-and-certificate.pem"  # one file: a power cut leaves no key without its certificate
OWN_CERTIFICATE: Final = "certificate.der"

LEAST_KEY_BITS: Final = 2_048  # of the policies we speak (OPC 10000-7)
_MAKING: Final = threading.Lock()
_PRODUCT: Final = "smart-maintenance-edge"
_COMMON_NAME_MOST: Final = 64  # X.520


class CertificateError(Exception):
    """These bytes are no certificate or key, or the two do not belong together."""


@dataclass(frozen=True)
class Certificate:
    """One certificate, with what a person compares."""

    parsed: x509.Certificate

    @cached_property
    def der(self) -> bytes:
        """Return its bytes, as they travel."""
        return self.parsed.public_bytes(serialization.Encoding.DER)

    @cached_property
    def fingerprint(self) -> str:
        """Return SHA-256 over its bytes: 64 hexadecimal digits, small."""
        return self.parsed.fingerprint(hashes.SHA256()).hex()

    @property
    def thumbprint(self) -> str:
        """Return SHA-1 over its bytes: many tools of OPC UA show this one. Nothing is decided by it."""
        return self.parsed.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - shown, not trusted

    @property
    def subject(self) -> str:
        """Return whom it is made out to; "CN=pump,O=Plant"."""
        return self.parsed.subject.rfc4514_string() or "(no name)"

    @property
    def issuer(self) -> str:
        """Return who signed it."""
        return self.parsed.issuer.rfc4514_string() or "(no name)"

    @property
    def is_self_signed(self) -> bool:
        """Return whether it names itself as its issuer."""
        return self.parsed.subject == self.parsed.issuer

    @property
    def not_before(self) -> datetime:
        """Return the first moment of its validity, UTC."""
        return self.parsed.not_valid_before_utc

    @property
    def not_after(self) -> datetime:
        """Return the last moment of its validity, UTC."""
        return self.parsed.not_valid_after_utc

    @property
    def key(self) -> str:
        """Return its kind of key; "RSA 2048"."""
        key = self.parsed.public_key()
        kind = "RSA" if isinstance(key, rsa.RSAPublicKey) else type(key).__name__.removesuffix("PublicKey")
        return f"{kind} {getattr(key, 'key_size', '')}".strip()

    @property
    def has_weak_key(self) -> bool:
        """Return whether no policy we speak takes its key."""
        key = self.parsed.public_key()
        return not isinstance(key, rsa.RSAPublicKey) or key.key_size < LEAST_KEY_BITS

    @cached_property
    def hosts(self) -> tuple[str, ...]:
        """Return the host names and addresses it is made out to, small letters."""
        names = self._alternative_names()
        if names is None:
            return ()
        found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
        return tuple(name.lower() for name in found)

    @cached_property
    def application_uri(self) -> str | None:
        """Return the application it is made out to; servers refuse a client that says another one."""
        names = self._alternative_names()
        uris = [] if names is None else names.get_values_for_type(x509.UniformResourceIdentifier)
        return uris[0] if uris else None

    def _alternative_names(self) -> x509.SubjectAlternativeName | None:
        try:
            return self.parsed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
            return None


@dataclass(frozen=True)
class KeyPair:
    """A certificate with its key, and the file it came from."""

    certificate: Certificate
    private_key: rsa.RSAPrivateKey
    file: Path


def read_certificate(content: bytes) -> Certificate:
    """Return the first certificate in PEM or DER. Raise CertificateError."""
    with _as_certificate_error():
        if is_pem(content):
            return _whole(x509.load_pem_x509_certificate(content))
        return _whole(x509.load_der_x509_certificate(_first_of(content)))


def read_certificates(content: bytes) -> tuple[Certificate, ...]:
    """Return every certificate: PEM one after the other, or DER as a server sends its chain. Raise CertificateError."""
    if is_pem(content):
        with _as_certificate_error():
            return tuple(_whole(one) for one in x509.load_pem_x509_certificates(content))
    found = []
    while content:
        first = _first_of(content)
        found.append(read_certificate(first))
        content = content[len(first) :]
    return tuple(found)


def read_key_pair(certificate: bytes, key: bytes, file: Path) -> KeyPair:
    """Return the pair. Raise CertificateError when either is unusable, or they do not belong together."""
    found = read_certificate(certificate)
    with _as_certificate_error():
        load = serialization.load_pem_private_key if is_pem(key) else serialization.load_der_private_key
        private = load(key, password=None)
    if not isinstance(private, rsa.RSAPrivateKey):
        raise CertificateError("the key is no RSA key, which every security policy of OPC UA asks for")
    if private.public_key() != found.parsed.public_key():
        raise CertificateError("the key belongs to another certificate")
    return KeyPair(found, private, file)


def is_pem(content: bytes) -> bool:
    """Return whether this is text with a block of base64, as files have it, and not DER."""
    return b"-----BEGIN" in content


def make_own_pair(folder: Path, *, now: datetime, days: int = OWN_DAYS) -> KeyPair:
    """Make a self-signed certificate of this gateway with its key, in one file (0600), and a copy for servers.

    A pair that is there is replaced. Raise OSError.
    """
    make_own_folder(folder)
    key = rsa.generate_private_key(public_exponent=65_537, key_size=KEY_BITS)
    certificate = _self_signed(key, socket.gethostname() or "gateway", now, days)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_private(folder / OWN_PAIR, secret + certificate.public_bytes(serialization.Encoding.PEM))
    write_private(folder / OWN_CERTIFICATE, certificate.public_bytes(serialization.Encoding.DER))
    return KeyPair(Certificate(certificate), key, folder / OWN_CERTIFICATE)


def read_own_pair(folder: Path) -> KeyPair:
    """Return the pair that `make_own_pair` made. Raise OSError, CertificateError."""
    content = (folder / OWN_PAIR).read_bytes()
    return read_key_pair(content, content, folder / OWN_CERTIFICATE)


def own_pair(folder: Path, *, now: datetime) -> KeyPair:
    """Return this gateway's own pair, made now when there is none yet. Raise OSError, CertificateError."""
    with _MAKING:  # sources that open at the same time share one
        try:
            return read_own_pair(folder)
        except FileNotFoundError:
            return make_own_pair(folder, now=now)


def write_private(file: Path, content: bytes) -> None:
    """Write a file of the mode 0600 that is there whole or not at all, also after a power cut. Raise OSError.

    Made by root it belongs to whoever owns the folder: the agent reads it as its own user.
    """
    new = file.with_name(f".{file.name}.new")
    with open_private(new, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    _give_to_owner_of(new.parent, new)
    new.replace(file)


def make_own_folder(folder: Path) -> None:
    """Make the folder, and those above it that are missing, each 0700 and its owner's above it. Raise OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        make_private_folder(path)
        _give_to_owner_of(path.parent, path)


def _give_to_owner_of(folder: Path, made: Path) -> None:
    if os.geteuid() == 0:
        owner = folder.stat()
        os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)


def is_made_out_to(certificate: Certificate, host: str) -> bool:
    """Return whether the certificate names this host; on this machine every name of it is one."""
    wanted = {host.lower()}
    if _is_loopback(host):
        wanted = {"localhost", "127.0.0.1", "::1", socket.gethostname().lower()}
    return any(_names(name, one) for name in certificate.hosts for one in wanted)


def _names(name: str, host: str) -> bool:
    """Return whether a name of a certificate means this host: equal, or a * in place of its first label."""
    first, _, rest = host.partition(".")
    return name == host or (name.startswith("*.") and bool(first) and name[2:] == rest)


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host.lower() == "localhost"


def _self_signed(key: rsa.RSAPrivateKey, host: str, now: datetime, days: int) -> x509.Certificate:
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, f"edge-agent on {host}"[:_COMMON_NAME_MOST]),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, _PRODUCT),
        ]
    )
    alternative = [x509.UniformResourceIdentifier(f"urn:{host}:{_PRODUCT}"), x509.DNSName(host)]
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=True, key_encipherment=True, data_encipherment=True,
        key_agreement=False, key_cert_sign=True, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # the server's clock may be behind ours
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(alternative), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _whole(parsed: x509.Certificate) -> Certificate:
    """Return the certificate once every part of it could be read: the library reads them when they are asked for."""
    certificate = Certificate(parsed)
    parts = (certificate.subject, certificate.issuer, certificate.not_before, certificate.not_after, certificate.key)
    if not all((*parts, certificate.fingerprint, certificate.der)):
        raise CertificateError("a part of it is missing")
    return certificate


def _first_of(chain: bytes) -> bytes:
    """Return the bytes of the first certificate of a chain: a tag, its length in one to five bytes, that many bytes."""
    head = chain[:6]
    if len(head) < 6 or head[0] != 0x30:
        raise CertificateError("these bytes are no certificate")
    if head[1] < 0x80:
        return chain[: 2 + head[1]]
    length_bytes = head[1] & 0x7F
    return chain[: 2 + length_bytes + int.from_bytes(chain[2 : 2 + length_bytes], "big")]


@contextlib.contextmanager
def _as_certificate_error() -> Iterator[None]:
    """Let only CertificateError out of this block, whatever the library says of bytes that are no certificate."""
    try:
        yield
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as exc:
        raise CertificateError(str(exc) or type(exc).__name__) from exc
