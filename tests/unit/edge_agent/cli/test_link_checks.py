"""`edge-agent check` on the way to the central: who answers there, over each link, through the proxy that is meant."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from edge_agent.cli.host_checks import Check, Result
from edge_agent.cli.link_checks import check_central
from edge_agent.settings.load import load_settings

GATEWAY = """\
[gateway]
id = "gw-1"
site = "test"
"""
SOURCE = """
[[sources]]
type = "synthetic"
name = "shaft"
asset = "rig-1"
sample_rate_hz = 2048
channels = [{ point = "de" }]
indicators = [{ family = "velocity" }]
"""


@contextmanager
def somebody(status: int, headers: dict[str, str]) -> Iterator[int]:
    """Somebody who gives every request this answer."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def checks(folder: Path, central: str) -> list[Check]:
    path = folder / "edge.toml"
    path.write_text(f"{GATEWAY}[central]\n{central}{SOURCE}", encoding="utf-8")
    return check_central(load_settings(path))


def at(port: int) -> str:
    return f'url = "http://127.0.0.1:{port}"\nallow_plaintext = true\n'


def test_a_central_that_says_so_is_told_from_whoever_else_answers(tmp_path: Path) -> None:
    with somebody(404, {"X-Edge-Central": "1"}) as port:
        (found,) = checks(tmp_path, at(port))
    assert found.result is Result.OK
    assert "is a central" in found.what
    with somebody(404, {}) as port:
        (found,) = checks(tmp_path, at(port))
    assert found.result is Result.OK
    assert "without saying that it is a central" in found.what


@pytest.mark.parametrize(
    ("status", "headers", "word"),
    [
        (302, {"Location": "http://portal.example/login"}, "it redirects to http://portal.example/login"),
        (511, {}, "wants a log-in"),
        (502, {}, "does not get through to the central"),
    ],
)
def test_a_portal_or_proxy_in_the_centrals_place_is_to_be_mended(
    tmp_path: Path, status: int, headers: dict[str, str], word: str
) -> None:
    with somebody(status, headers) as port:
        (found,) = checks(tmp_path, at(port))
    assert found.result is Result.WARNING
    assert word in found.what
    assert found.do


def test_each_link_is_checked_by_itself(tmp_path: Path) -> None:
    with somebody(404, {"X-Edge-Central": "1"}) as port:
        links = (
            '[[central.links]]\nname = "ethernet"\nsource_address = "127.0.0.2"\n'
            '[[central.links]]\nname = "lte"\ninterface = "wwan-absent"\n'
        )
        ethernet, lte = checks(tmp_path, at(port) + links)
    assert ethernet.result is Result.OK
    assert ethernet.what.startswith("over ethernet: ")
    assert lte.result is Result.WARNING
    assert lte.what.startswith("over lte: ")
    assert "no network interface wwan-absent" in lte.what


def test_a_password_of_the_proxy_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    proxy = '[central.proxy]\nurl = "http://127.0.0.1:9"\nusername = "gw"\npassword_file = "absent"\n'
    (found,) = checks(tmp_path, at(9) + proxy)
    assert found.result is Result.BAD
    assert "absent" in found.what


def test_a_broker_is_asked_for_a_connection_only(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        broker = f'[central.mqtt]\nhost = "127.0.0.1"\nport = {listener.getsockname()[1]}\nallow_plaintext = true\n'
        (found,) = checks(tmp_path, broker)
        assert found.result is Result.OK
    (found,) = checks(tmp_path, broker)
    assert found.result is Result.WARNING
    assert "connection refused" in found.what


def test_a_broker_is_reached_through_the_proxy_that_is_meant(tmp_path: Path) -> None:
    broker = '[central.mqtt]\nhost = "127.0.0.1"\nport = 1883\nallow_plaintext = true\n'
    (found,) = checks(tmp_path, broker + '[central.proxy]\nurl = "http://127.0.0.1:9"\n')
    assert found.result is Result.WARNING
    assert "proxy" in found.what
    assert found.do
