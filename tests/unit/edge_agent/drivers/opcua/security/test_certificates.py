"""Certificates read, and one of the gateway's own."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from edge_agent.drivers.opcua.security.certificates import (
    OWN_DAYS,
    CertificateError,
    make_own_pair,
    own_pair,
    read_certificates,
    read_key_pair,
    read_own_pair,
)
from tests.support.opcua_pki import make_pair

NOW = datetime.now(UTC)


def test_a_pair_of_our_own_is_made_once_and_kept_private(tmp_path):
    folder = tmp_path / "opcua" / "own"
    with ThreadPoolExecutor(4) as pool:  # sources that open at the same time
        pairs = list(pool.map(lambda _: own_pair(folder, now=NOW), range(4)))
    assert len({pair.certificate.fingerprint for pair in pairs}) == 1
    assert own_pair(folder, now=NOW).certificate.fingerprint == pairs[0].certificate.fingerprint
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    certificate = pairs[0].certificate
    assert certificate.application_uri is not None
    assert certificate.key == "RSA 2048"
    assert certificate.not_after - NOW > timedelta(days=OWN_DAYS - 1)
    assert (folder / "certificate.der").read_bytes() == certificate.der


def test_a_new_pair_replaces_the_old_one(tmp_path):
    old = make_own_pair(tmp_path / "own", now=NOW)
    new = make_own_pair(tmp_path / "own", now=NOW)
    assert old.certificate.fingerprint != new.certificate.fingerprint
    assert read_own_pair(tmp_path / "own").certificate.fingerprint == new.certificate.fingerprint


@pytest.mark.parametrize("is_pem", [True, False])
def test_pem_and_der_are_read(tmp_path, is_pem):
    pair = make_pair(tmp_path, "gateway", key=1)
    key = pair.key_file.read_bytes()
    if not is_pem:
        der = (serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        key = pair.key.private_bytes(*der)
    content = pair.certificate_file.read_bytes() if is_pem else pair.der
    assert read_key_pair(content, key, pair.certificate_file).certificate.fingerprint == pair.fingerprint
    assert [one.fingerprint for one in read_certificates(content + content)] == [pair.fingerprint] * 2


def test_a_key_of_another_certificate_is_refused(tmp_path):
    one, other = make_pair(tmp_path, "one", key=1), make_pair(tmp_path, "other", key=2)
    with pytest.raises(CertificateError, match="another certificate"):
        read_key_pair(one.der, other.key_file.read_bytes(), one.certificate_file)


@pytest.mark.parametrize(
    "content", [b"", b"nothing", b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----", b"\x30" * 9]
)
def test_what_is_no_certificate_is_refused(tmp_path, content):
    with pytest.raises(CertificateError):
        read_key_pair(content, content, tmp_path)
