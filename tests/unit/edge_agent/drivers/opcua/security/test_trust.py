"""Which certificate is taken for a server's, and in which words another one is refused."""

from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta

import pytest

from edge_agent.drivers.opcua.security.certificates import read_certificate
from edge_agent.drivers.opcua.security.trust import (
    TrustRules,
    check_server,
    confirm,
    confirmed_by,
    findings,
    host_and_port,
)
from edge_agent.errors import DeviceRejectedError
from tests.support.opcua_pki import make_pair

ENDPOINT = "opc.tcp://plc.example:4841/ua"
NOW = datetime.now(UTC)


def pair_of(tmp_path, name="plc", **made):
    return make_pair(tmp_path, name, key=1, **{"hosts": ("plc.example",), **made})


def what(chain: bytes, rules: TrustRules, now: datetime = NOW) -> list[str]:
    return [finding.what for finding in findings(chain, rules, now)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ({"days": (-30, -1)}, "expired on"),
        ({"days": (1, 30)}, "valid only from"),
        ({"hosts": ("other.example", "192.0.2.7")}, "made out to other.example, 192.0.2.7, not to plc.example"),
        ({"hosts": ()}, "made out to no host"),
        ({"hosts": ("*.other.example",)}, "made out to *.other.example"),
        ({"bits": 1_024, "key": 9}, "too weak: RSA 1024"),
    ],
)
def test_a_pinned_certificate_has_to_be_good_too(tmp_path, made, said):
    pair = make_pair(tmp_path, "plc", **{"key": 1, "hosts": ("plc.example",), **made})
    (found,) = what(pair.der, TrustRules(ENDPOINT, fingerprint=pair.fingerprint))
    assert said in found


@pytest.mark.parametrize("host", ["plc.example", "PLC.Example", "*.example"])
def test_names_of_the_host(tmp_path, host):
    pair = pair_of(tmp_path, hosts=(host,))
    assert what(pair.der, TrustRules(ENDPOINT, fingerprint=pair.fingerprint)) == []


def test_another_host_is_allowed_by_the_file_or_by_who_confirms(tmp_path):
    pair = pair_of(tmp_path, hosts=("other.example",))
    assert what(pair.der, TrustRules(ENDPOINT, fingerprint=pair.fingerprint, allow_other_host=True)) == []
    rules = TrustRules(ENDPOINT, folder=tmp_path / "opcua")
    confirm(read_certificate(pair.der), rules, by="anna", now=NOW)
    assert what(pair.der, rules) == []


def test_what_is_confirmed_is_a_private_file_of_one_server(tmp_path):
    pair, rules = pair_of(tmp_path), TrustRules(ENDPOINT, folder=tmp_path / "opcua")
    assert not rules.names_somebody
    file = confirm(read_certificate(pair.der), rules, by="anna", now=NOW)
    assert file.name == "plc.example_4841.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "opcua").stat().st_mode) == 0o700
    assert rules.names_somebody
    assert check_server("press", pair.der, rules, NOW).fingerprint == pair.fingerprint
    assert confirmed_by(read_certificate(pair.der), rules).endswith("by anna")
    other = TrustRules("opc.tcp://plc.example:4842", folder=tmp_path / "opcua")
    assert "nobody has confirmed" in what(pair.der, other)[0]


def test_a_changed_certificate_names_both_and_the_command(tmp_path):
    old, new = pair_of(tmp_path), make_pair(tmp_path, "new", key=2, hosts=("plc.example",))
    rules = TrustRules(ENDPOINT, folder=tmp_path / "opcua")
    confirm(read_certificate(old.der), rules, by="anna", now=NOW)
    with pytest.raises(DeviceRejectedError) as caught:
        check_server("press", new.der, rules, NOW)
    assert old.fingerprint in caught.value.message
    assert new.fingerprint in caught.value.message
    assert f"edge-agent probe opcua {ENDPOINT} --trust" in (caught.value.hint or "")


def test_the_file_wins_over_what_was_confirmed(tmp_path):
    pair, folder = pair_of(tmp_path), tmp_path / "opcua"
    confirm(read_certificate(pair.der), TrustRules(ENDPOINT, folder=folder), by="anna", now=NOW)
    assert "another one" in what(pair.der, TrustRules(ENDPOINT, fingerprint="0" * 64, folder=folder))[0]


def test_an_authority_signs_over_an_intermediate_that_the_server_sends(tmp_path):
    root = make_pair(tmp_path, "root", key=4, is_authority=True, hosts=(), uri=None)
    middle = make_pair(tmp_path, "middle", key=5, is_authority=True, hosts=(), uri=None, issuer=root)
    leaf = pair_of(tmp_path, issuer=middle)
    rules = TrustRules(ENDPOINT, ca_file=root.certificate_file)
    assert what(leaf.der + middle.der, rules) == []
    assert "by nobody in" in what(leaf.der, rules)[0]


def test_a_certificate_that_is_no_authoritys_signs_nothing(tmp_path):
    root = make_pair(tmp_path, "root", key=4, is_authority=True, hosts=(), uri=None)
    server = make_pair(tmp_path, "server", key=5, hosts=("other.example",), issuer=root)
    forged = pair_of(tmp_path, issuer=server)
    assert "by nobody in" in what(forged.der + server.der, TrustRules(ENDPOINT, ca_file=root.certificate_file))[0]


def test_an_expired_authority_vouches_for_nobody(tmp_path):
    root = make_pair(tmp_path, "root", key=4, is_authority=True, hosts=(), uri=None, days=(-30, 10))
    leaf = pair_of(tmp_path, issuer=root)
    rules = TrustRules(ENDPOINT, ca_file=root.certificate_file)
    assert what(leaf.der, rules) == []
    assert "by nobody in" in what(leaf.der, rules, NOW + timedelta(days=11))[0]


@pytest.mark.parametrize("chain", [b"", b"\x30", b"\x30\x82\xff\xff" + b"\0" * 20, b"garbage" * 9, b"\x30\x80" * 40])
def test_bytes_that_are_no_certificate_are_nobodys(tmp_path, chain):
    (found,) = findings(chain, TrustRules(ENDPOINT, fingerprint="0" * 64), NOW)
    assert "cannot be read" in found.what
    assert found.is_identity


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_record_is_named_and_vouches_for_nobody(tmp_path, content):
    pair, rules = pair_of(tmp_path), TrustRules(ENDPOINT, folder=tmp_path / "opcua")
    file = confirm(read_certificate(pair.der), rules, by="anna", now=NOW)
    file.write_bytes(content)
    with pytest.raises(DeviceRejectedError, match="cannot be read") as caught:
        findings(pair.der, rules, NOW)
    assert "--trust" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        ("opc.tcp://PLC:4840/a/b", ("plc", 4840)),
        ("opc.tcp://plc", ("plc", 4840)),
        ("opc.tcp://[::1]:48010", ("::1", 48010)),
    ],
)
def test_host_and_port(endpoint, found):
    assert host_and_port(endpoint) == found
