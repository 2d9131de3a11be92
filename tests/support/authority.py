"""A private CA that issues certificates, good and bad ones."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class Authority:
    """A private CA that issues certificates, good and bad ones."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "plant CA")])
        self.ca_file = folder / "ca.pem"
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        certificate = (
            self._builder(self._name, self._key.public_key(), days=(-1, 10))
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        self.ca_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *,
        days: tuple[int, int] = (-1, 10),
        address: str = "127.0.0.1",
        name: str = "server",
        dns: str | None = None,
        with_names: bool = True,
    ) -> tuple[Path, Path]:
        """A certificate and its key; `name` is its common name and its files', `dns` or `address` its subject."""
        key = ec.generate_private_key(ec.SECP256R1())
        one = x509.IPAddress(ipaddress.ip_address(address)) if dns is None else x509.DNSName(dns)
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = self._builder(subject, key.public_key(), days=days).add_extension(issuer, critical=False)
        if with_names:
            builder = builder.add_extension(x509.SubjectAlternativeName([one]), critical=True)
        certificate = builder.sign(self._key, hashes.SHA256())
        chain, private = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        chain.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        private.write_bytes(key.private_bytes(*pem))
        return chain, private

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, *, days: tuple[int, int]):
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder(self._name, subject, key, x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
        )
