"""Certificates of OPC UA applications for tests, good and bad ones, and a CA that signs them."""

from __future__ import annotations

import functools
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER_URI = "urn:test:server"
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class Pair:
    """A certificate and its key as files, and as bytes."""

    certificate_file: Path
    key_file: Path
    parsed: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def der(self) -> bytes:
        return self.parsed.public_bytes(serialization.Encoding.DER)

    @property
    def fingerprint(self) -> str:
        return self.parsed.fingerprint(hashes.SHA256()).hex()

    @property
    def own_settings(self) -> dict[str, str]:
        """As a gateway's own certificate in the settings."""
        return {"certificate_file": str(self.certificate_file), "private_key_file": str(self.key_file)}


@functools.cache
def key_of(number: int, bits: int = 2_048) -> rsa.RSAPrivateKey:
    """The same key for the same number: making one takes a tenth of a second."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=bits)


def make_pair(
    folder: Path,
    name: str,
    *,
    days: tuple[float, float] = (-1, 365),
    hosts: tuple[str, ...] = ("localhost",),
    uri: str | None = SERVER_URI,
    key: int = 0,
    bits: int = 2_048,
    issuer: Pair | None = None,
    is_authority: bool = False,
) -> Pair:
    """A certificate valid from `days[0]` to `days[1]` days from now, self-signed unless an `issuer` signs it."""
    private, now = key_of(key, bits), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = private if issuer is None else issuer.key
    usage = x509.KeyUsage(True, True, True, True, False, is_authority, is_authority, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.parsed.subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    names = [x509.UniformResourceIdentifier(uri)] if uri else []
    names += [_host(host) for host in hosts]
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    certificate = builder.sign(signer, hashes.SHA256())
    files = folder / f"{name}.pem", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(PEM))
    files[1].write_bytes(private.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return Pair(*files, certificate, private)


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
