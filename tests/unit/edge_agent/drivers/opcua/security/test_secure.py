"""What is looked at between a session's making and the sign-in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import Client, Server, ua
from asyncua.crypto import security_policies
from asyncua.server.user_managers import UserManager

from edge_agent.core.clock import SystemClock
from edge_agent.drivers.opcua import session
from edge_agent.drivers.opcua.driver import OpcUaDriver
from edge_agent.drivers.opcua.security.secure import _check_sign_in, _keep_keys_longer
from edge_agent.drivers.opcua.settings import OpcUaSettings
from edge_agent.errors import DeviceRejectedError, DriverError
from tests.support.opcua_pki import make_pair

NONE = security_policies.SecurityPolicyNone.URI
STRONG = security_policies.SecurityPolicyBasic256Sha256.URI
NODES = [{"name": "p.flow", "unit": "", "node_id": "i=2258"}]


def settings_of(endpoint: str = "opc.tcp://plc:4840", **more: object) -> OpcUaSettings:
    base = {"type": "opcua", "name": "pump", "endpoint": endpoint, "security": "basic256sha256", "nodes": NODES}
    return OpcUaSettings.model_validate({**base, **more})


def client_with(mode: Any, channel: str, *policies: tuple[Any, str]) -> Client:
    """A client whose session has been made: the ways of signing in that the server offers, as (kind, policy)."""
    client = Client("opc.tcp://plc:4840")
    client.security_policy = SimpleNamespace(Mode=mode, URI=channel)
    client._policy_ids = [ua.UserTokenPolicy(TokenType=kind, SecurityPolicyUri=uri) for kind, uri in policies]
    return client


USER = ua.UserTokenType.UserName
SIGN, ENCRYPT = ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt


def test_a_password_is_not_sent_unencrypted_over_a_channel_that_others_can_read():
    client = client_with(SIGN, STRONG, (USER, NONE))
    with pytest.raises(DeviceRejectedError, match="it was not sent"):
        _check_sign_in(client, settings_of(username="op"), must_encrypt=True)
    _check_sign_in(client, settings_of(username="op", allow_plaintext=True), must_encrypt=False)


@pytest.mark.parametrize("mode", [SIGN, ENCRYPT])
def test_a_password_goes_encrypted_or_through_an_encrypted_channel(mode):
    _check_sign_in(client_with(mode, STRONG, (USER, "")), settings_of(username="op"), must_encrypt=True)
    _check_sign_in(client_with(ENCRYPT, STRONG, (USER, NONE)), settings_of(username="op"), must_encrypt=True)


def test_the_strongest_way_of_signing_in_is_chosen():
    client = client_with(SIGN, STRONG, (USER, NONE), (USER, "http://other/policy"), (USER, STRONG))
    _check_sign_in(client, settings_of(username="op"), must_encrypt=True)
    assert client.server_policy(USER).SecurityPolicyUri == STRONG


def test_what_a_server_does_not_take_is_said_in_words():
    client = client_with(ENCRYPT, STRONG, (USER, STRONG), (ua.UserTokenType.Certificate, STRONG))
    with pytest.raises(DeviceRejectedError, match=r"an anonymous user.*it takes user certificates, user names"):
        _check_sign_in(client, settings_of(), must_encrypt=True)


def test_keys_outlive_their_token_by_a_quarter():
    """A server answers a waiting Publish under the token it came with, after that has expired."""
    kept = []
    policy = SimpleNamespace(make_remote_symmetric_key=lambda secret, seed, lifetime: kept.append(lifetime))
    _keep_keys_longer(policy)
    policy.make_remote_symmetric_key(b"secret", b"seed", 3_600_000)
    assert kept == [4_500_000]


class Curious(UserManager):
    """Keeps what it is told at sign-ins."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def get_user(self, iserver, username=None, password=None, certificate=None):
        self.told.append((username, password))


async def test_a_server_without_its_pinned_certificate_gets_no_password_without_security_either(tmp_path):
    """Somebody in between who takes security away, and shows no certificate at all."""
    (tmp_path / "password").write_text("s3cret")
    curious = Curious()
    server = Server(user_manager=curious)
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/t")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    async with server:
        plain = {"security": "none", "allow_plaintext": True, "username": "op", "password_file": tmp_path / "password"}
        endpoint = f"opc.tcp://127.0.0.1:{server.bserver.port}/t"
        pinned = OpcUaDriver(settings_of(endpoint, **plain, server_fingerprint="0" * 64), SystemClock())
        with pytest.raises(DeviceRejectedError, match="cannot be read"):
            await pinned.open()
    assert curious.told == []


async def test_a_server_that_has_its_certificate_and_not_the_key_gets_nothing(tmp_path, monkeypatch):
    """A copy of the true server's certificate is public: without its key no channel is opened."""
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_S", 1.0)
    (tmp_path / "password").write_text("s3cret")
    copied, other = make_pair(tmp_path, "pump", key=1), make_pair(tmp_path, "other", key=2)
    curious = Curious()
    server = Server(user_manager=curious)
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/t")
    server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
    await server.load_certificate(copied.certificate_file)
    await server.load_private_key(other.key_file, format="pem")
    async with server:
        endpoint = f"opc.tcp://127.0.0.1:{server.bserver.port}/t"
        user = {"username": "op", "password_file": tmp_path / "password", "trust_dir": tmp_path / "opcua"}
        driver = OpcUaDriver(settings_of(endpoint, **user, server_fingerprint=copied.fingerprint), SystemClock())
        with pytest.raises(DriverError, match="does not hold the key of its own"):
            await driver.open()
    assert curious.told == []
