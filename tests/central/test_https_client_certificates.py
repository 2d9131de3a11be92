"""A central, or a proxy before it, that demands a client certificate: what each side's mistake is called."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.digest import HOUR_US, encode_digests
from cloud_sync.errors import CredentialsError, TransientSyncError
from cloud_sync.outbox.store import Outbox
from cloud_sync.reconcile.compare import HourSpan, ask_central
from cloud_sync.transports.auto import Api, transport_for
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.https import HttpsTransport
from cloud_sync.transports.tls import ClientCertificate, ClientTls
from cloud_sync.uplink.sender import LinkState, Uplink
from edge_agent.delivery.client_certificate import WARN_BEFORE, certificate_problem, check_client_certificate
from edge_agent.errors import ConfigurationError
from edge_agent.settings import CentralSettings
from tests.contract.check_transport import GATEWAY, batch
from tests.support.authority import Authority
from tests.support.blocks import block_of, rows
from tests.support.sockets import listening
from tests.support.writing import until

NOW = datetime.now(UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "ours").mkdir()
    return Authority(tmp_path / "ours")


@pytest.fixture
def stranger(tmp_path: Path) -> Authority:
    (tmp_path / "theirs").mkdir()
    return Authority(tmp_path / "theirs")


@contextlib.contextmanager
def demanding(
    server: Authority, clients: Authority | None, *, page: bytes | None = None, **issued: object
) -> Iterator[tuple[str, list[str]]]:
    """A TLS server that lets in whom `clients` signed, and settles what it is sent. Hands out the names it saw."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._say(encode_digests(GATEWAY, {}))

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path.endswith("/batch"):
                batch_id = self.headers["Idempotency-Key"].split(":")[1]
                said = {"batch_id": batch_id, "committed": True, "duplicates": 0, "rejected": []}
                self._say(json.dumps({**said, "accepted": len(wire.decode(body))}).encode())
            else:
                said = {"status": "event_published", "sensor_id": json.loads(body)["sensor_id"]}
                self._say(json.dumps(said).encode())

        def _say(self, said: bytes) -> None:
            shown = self.connection.getpeercert() or {}
            seen.extend(value for entry in shown.get("subject", ()) for _, value in entry)
            said = page or said
            self.send_response(400 if page else 200)
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None: ...

    context = tls_of(server, clients, **issued)

    class Server(ThreadingHTTPServer):
        def get_request(self) -> tuple[socket.socket, object]:
            link, address = super().get_request()
            link = context.wrap_socket(link, server_side=True, do_handshake_on_connect=False)
            try:
                link.do_handshake()
            except OSError:
                with contextlib.suppress(OSError):
                    link.shutdown(socket.SHUT_WR)  # so that the reason arrives: bytes left unread would reset the link
                    while link.recv(4_096):
                        pass
                link.close()
                raise
            return link, address

    with Server(("127.0.0.1", 0), Handler) as http:
        serving = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        try:
            yield f"https://127.0.0.1:{http.server_port}", seen
        finally:
            http.shutdown()
            serving.join()


def tls_of(server: Authority, clients: Authority | None, **issued: object) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*server.issue(**issued))
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(clients.ca_file)
    return context


async def never_asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    raise AssertionError("the handshake must not succeed")


def own(issued: tuple[Path, Path]) -> ClientCertificate:
    return ClientCertificate(*issued)


async def send(url: str, ca: Authority, certificate: ClientCertificate | None, api: Api = "batch") -> int:
    transport = transport_for(
        api, url, gateway_id=GATEWAY, api_key="key", connection=ConnectionOptions(ca.ca_file, certificate)
    )
    try:
        body = wire.encode(type(batch())(GATEWAY, batch().rows))
        return (await transport.send(body, batch_id="b1")).accepted
    finally:
        await transport.close()


@pytest.mark.parametrize("api", ["batch", "single", "auto"])
async def test_a_certificate_of_the_expected_ca_lets_every_way_in(authority: Authority, api: Api):
    with demanding(authority, authority) as (url, seen):
        accepted = await send(url, authority, own(authority.issue(name=GATEWAY)), api)
    assert accepted == len(batch().rows)
    assert set(seen) == {GATEWAY}


async def test_the_question_for_digests_shows_the_certificate(authority: Authority):
    with demanding(authority, authority) as (url, seen):
        connection = ConnectionOptions(authority.ca_file, own(authority.issue(name=GATEWAY)))
        asked = ask_central(url, HourSpan(0, HOUR_US), gateway_id=GATEWAY, api_key="key", connection=connection)
        assert await asked == {}
    assert seen == [GATEWAY]


@pytest.mark.parametrize("api", ["batch", "single", "auto"])
async def test_a_missing_certificate_is_said_with_the_settings_to_make(authority: Authority, api: Api):
    with (
        demanding(authority, authority) as (url, _),
        pytest.raises(CredentialsError, match="asks for a client certificate") as caught,
    ):
        await send(url, authority, None, api)
    assert "central.client_certificate_file" in str(caught.value.hint)


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_hangs_up_without_a_word_is_asked_about_certificates(authority: Authority, most):
    """As asyncio's does, and so uvicorn."""
    tls = tls_of(authority, authority)
    tls.maximum_version = most
    async with listening(never_asked, tls=tls) as port:
        with pytest.raises(TransientSyncError) as caught:
            await send(f"https://127.0.0.1:{port}", authority, None)
        assert "client certificate" in str(caught.value.hint)
        with pytest.raises(CredentialsError, match="has expired on"):
            await send(f"https://127.0.0.1:{port}", authority, own(authority.issue(name=GATEWAY, days=(-10, -1))))


async def test_a_certificate_of_another_ca_is_said(authority: Authority, stranger: Authority):
    with (
        demanding(authority, authority) as (url, _),
        pytest.raises(CredentialsError, match=r"does not take our client certificate .*gw") as caught,
    ):
        await send(url, authority, own(stranger.issue(name=GATEWAY)))
    assert "signed by the CA" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("days", "words"), [((-10, -1), "has expired on"), ((1, 10), "is not valid before")], ids=["expired", "not yet"]
)
async def test_our_certificate_that_is_out_of_date_is_said(authority: Authority, days: tuple[int, int], words: str):
    with demanding(authority, authority) as (url, _), pytest.raises(CredentialsError, match=words) as caught:
        await send(url, authority, own(authority.issue(name=GATEWAY, days=days)))
    assert "renewed" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"days": (-10, -1)}, "has expired"), ({"days": (1, 10)}, "is not valid yet"),
     ({"address": "192.0.2.1"}, "is for another address")],
)  # fmt: skip
async def test_the_centrals_mistakes_are_not_called_ours(authority: Authority, options, words: str):
    with (
        demanding(authority, authority, **options) as (url, _),
        pytest.raises(TransientSyncError, match=f"the central's certificate {words}") as caught,
    ):
        await send(url, authority, own(authority.issue(name=GATEWAY)))
    assert caught.value.hint


async def test_a_central_of_another_ca_is_said(authority: Authority, stranger: Authority):
    with demanding(stranger, authority) as (url, _), pytest.raises(TransientSyncError, match="unknown CA") as caught:
        await send(url, authority, own(authority.issue(name=GATEWAY)))
    assert "central.ca_file" in str(caught.value.hint)


@pytest.mark.parametrize("title", [b"400 No required SSL certificate was sent", b"400 The SSL certificate error"])
@pytest.mark.parametrize("api", ["batch", "single", "auto"])
async def test_a_proxy_that_says_so_in_a_page_is_understood(authority: Authority, title: bytes, api: Api):
    page = b"<html><head><title>" + title + b"</title></head></html>"
    with demanding(authority, None, page=page) as (url, _), pytest.raises(CredentialsError, match="client certificate"):
        await send(url, authority, None, api)


async def test_what_waits_stays_until_the_renewed_certificate_is_in_place_and_no_restart_is_needed(
    authority: Authority, tmp_path: Path
):
    old = own(authority.issue(name=GATEWAY, days=(-10, -1)))
    with Outbox(tmp_path / "outbox.db", max_bytes=10_000_000) as outbox:
        outbox.append([block_of(rows(30))])
        with demanding(authority, authority) as (url, _):
            transport = HttpsTransport(
                url, gateway_id=GATEWAY, api_key="key", connection=ConnectionOptions(authority.ca_file, old)
            )
            uplink = Uplink(outbox, transport, backoff_max_s=0.02)
            task = asyncio.create_task(uplink.run())
            await until(lambda: uplink.state.link is LinkState.REFUSED)
            assert "has expired on" in str(uplink.state.error)
            assert outbox.depth().records == 30
            authority.issue(name=GATEWAY)
            await until(lambda: uplink.state.link is LinkState.ONLINE)
            await until(lambda: outbox.depth().records == 0)
            task.cancel()
            await asyncio.wait([task])
            await transport.close()
        assert (outbox.counters()["accepted"], outbox.depth().dead_letters) == (30, 0)


# ---- files that cannot be used


def broken(authority: Authority, folder: Path, how: str) -> ClientCertificate:
    certificate, key = authority.issue(name=GATEWAY)
    match how:
        case "no certificate":
            certificate.unlink()
        case "no key":
            key.unlink()
        case "odd certificate":
            certificate.write_text("not a certificate")
        case "odd key":
            key.write_text("not a key")
        case "another's key":
            key = authority.issue(name="another")[1]
        case "a folder":
            certificate = folder
    return ClientCertificate(certificate, key)


WRONG_FILES = {
    "no certificate": "certificate .*gw-1.pem cannot be read: No such file",
    "no key": "key .*gw-1.key cannot be read: No such file",
    "odd certificate": "gw-1.pem cannot be used: it holds no PEM certificate",
    "odd key": "gw-1.key cannot be used: it holds no PEM private key",
    "another's key": "another.key does not belong to the certificate .*gw-1.pem",
    "a folder": "cannot be read: Is a directory",
}


@pytest.mark.parametrize(("how", "words"), WRONG_FILES.items(), ids=WRONG_FILES.keys())
def test_a_file_that_cannot_be_used_is_named_before_anything_is_sent(
    authority: Authority, tmp_path: Path, how: str, words: str
):
    wrong = broken(authority, tmp_path, how)
    with pytest.raises(CredentialsError, match=words) as caught:
        HttpsTransport(
            "https://127.0.0.1:9",
            gateway_id=GATEWAY,
            api_key="key",
            connection=ConnectionOptions(client_certificate=wrong),
        )
    assert caught.value.hint
    with pytest.raises(ConfigurationError, match=words):
        check_client_certificate(central(wrong))


def test_a_key_with_a_password_is_refused_and_nobody_is_asked(authority: Authority):
    from cryptography.hazmat.primitives import serialization

    certificate, key = authority.issue(name=GATEWAY)
    plain = serialization.load_pem_private_key(key.read_bytes(), password=None)
    locked = serialization.BestAvailableEncryption(b"secret")
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, locked)
    key.write_bytes(plain.private_bytes(*pem))
    with pytest.raises(CredentialsError, match="has a password"):
        ClientTls(None, ClientCertificate(certificate, key))


async def test_a_half_written_renewal_is_said_and_the_former_pair_stays_in_use(
    authority: Authority, caplog: pytest.LogCaptureFixture
):
    pair = own(authority.issue(name=GATEWAY))
    with demanding(authority, authority) as (url, seen):
        transport = HttpsTransport(
            url, gateway_id=GATEWAY, api_key="key", connection=ConnectionOptions(authority.ca_file, pair)
        )
        for content in (b"half", authority.issue(name="another")[1].read_bytes()):
            pair.private_key_file.write_bytes(content)
            assert certificate_problem(central(pair)) is not None
            await transport.send(wire.encode(batch()), batch_id="b1")
        await transport.close()
    assert seen == [GATEWAY, GATEWAY]
    assert "holds no PEM private key" in caplog.text
    assert "does not belong to the certificate" in caplog.text


# ---- dates, for people


def central(certificate: ClientCertificate) -> CentralSettings:
    return CentralSettings(
        url="https://central.example",
        client_certificate_file=certificate.certificate_file,
        client_key_file=certificate.private_key_file,
    )


def test_validate_refuses_a_certificate_that_is_not_valid_today(authority: Authority):
    settings = central(own(authority.issue(name=GATEWAY, days=(-1, 30))))
    check_client_certificate(settings)
    with pytest.raises(ConfigurationError, match="has expired on"):
        check_client_certificate(settings, now=NOW + timedelta(days=31))
    with pytest.raises(ConfigurationError, match="is not valid before"):
        check_client_certificate(settings, now=NOW - timedelta(days=2))


def test_a_certificate_is_a_problem_from_two_weeks_before_its_end(authority: Authority):
    settings = central(own(authority.issue(name=GATEWAY, days=(-1, 30))))
    assert certificate_problem(settings) is None
    late = certificate_problem(settings, now=NOW + timedelta(days=31) - WARN_BEFORE)
    assert late is not None
    assert "expires within 14 days" in late[0]
    over = certificate_problem(settings, now=NOW + timedelta(days=31))
    assert over is not None
    assert "has expired on" in over[0]
    assert "no restart" in over[1]
