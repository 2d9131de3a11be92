"""How a connection to an OPC UA server is configured, and what is refused before anybody is asked."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from edge_agent.drivers.opcua.settings import OpcUaSettings

FINGERPRINT = "2d77f35749ec2f63729b333de1a963bdc8f51697e3adee4fb09d3612bfa52528"


def settings(**more: object) -> OpcUaSettings:
    node = {"name": "p.flow", "unit": "", "node_id": "i=2258"}
    base = {"type": "opcua", "name": "pump", "endpoint": "opc.tcp://plc:4840", "security": "basic256sha256"}
    return OpcUaSettings.model_validate({**base, "nodes": [node], **more})


@pytest.mark.parametrize(
    ("written", "policy"),
    [
        ("basic256sha256", "basic256sha256"),
        ("aes256_sha256_rsapss", "aes256_sha256_rsapss"),
        ("Basic256Sha256", "basic256sha256"),
        ("Aes128_Sha256_RsaOaep", "aes128_sha256_rsaoaep"),
    ],
)
def test_policies_are_written_as_before_and_as_tools_do(written, policy):
    assert settings(security=written).security == policy
    assert settings(security=written).security_mode == "sign_and_encrypt"


@pytest.mark.parametrize(
    "written", [FINGERPRINT, FINGERPRINT.upper(), ":".join(FINGERPRINT[i : i + 2] for i in range(0, 64, 2))]
)
def test_a_fingerprint_is_taken_as_tools_print_it(written):
    assert settings(server_fingerprint=written).server_fingerprint == FINGERPRINT


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"security": "none"}, "allow_plaintext"),
        ({"security": "none", "allow_plaintext": True, "security_mode": "sign"}, "needs a security policy"),
        ({"security": "basic128rsa15"}, "basic256sha256"),
        ({"server_fingerprint": "ab:cd"}, "64 hexadecimal digits"),
        ({"server_fingerprint": "z" * 64}, "64 hexadecimal digits"),
        ({"certificate_file": "c.pem"}, "belong together"),
        ({"user_private_key_file": "c.pem"}, "belong together"),
        ({"password_file": "p"}, "username"),
        ({"username": "op", "user_certificate_file": "c", "user_private_key_file": "k"}, "keep one"),
        ({"endpoint": "opc.tcp://op:s3cret@plc:4840"}, "password_file"),
        ({"endpoint": "opc.tcp://plc:70000"}, "is no address"),
        ({"endpoint": "opc.tcp://:4840"}, "needs a host"),
        ({"endpoint": "opc.tcp://[::1:4840"}, "is no address"),
    ],
)
def test_a_mistake_is_said_in_words(given, said):
    with pytest.raises(ValidationError) as caught:
        settings(**given)
    assert said in str(caught.value)


def test_the_folder_of_trust_is_below_the_state_folder_unless_the_file_says_another():
    assert settings().placed_in(Path("/s")).trust_dir == Path("/s/opcua")
    assert settings(trust_dir="/other").placed_in(Path("/s")).trust_dir == Path("/other")


def test_only_a_password_that_goes_unencrypted_is_warned_of():
    user = {"username": "op", "password_file": Path("p")}
    assert settings(**user).warnings == ()
    plain = {"security": "none", "allow_plaintext": True}
    assert settings(**plain).warnings == ()
    ((what, do),) = settings(**plain, **user).warnings
    assert "the password of op" in what
    assert "security" in do
