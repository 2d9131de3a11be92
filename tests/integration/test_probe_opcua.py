"""`edge-agent probe opcua` against node-opcua and against what is no OPC UA server."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_agent.cli.main import app
from edge_agent.cli.probe_opcua import Request, probe_opcua
from edge_agent.drivers.opcua import session
from tests.peers.opcua_servers import OpcUaServer, opcua_servers
from tests.support.opcua_pki import Pair, make_pair

PAGE = Path(__file__).parents[2] / "docs" / "CLI_OUTPUT.md"
SITE = """
[gateway]
id = "gw-1"
site = "lab"
state_dir = "{state}"

[central]
url = "https://central.example.com"

"""


@pytest.fixture(scope="module")
def genuine(tmp_path_factory) -> Pair:
    return make_pair(tmp_path_factory.mktemp("pki"), "pump", key=1)


@pytest.fixture(scope="module")
def server(request, genuine, tmp_path_factory) -> Iterator[OpcUaServer]:
    options = [f"cert={genuine.certificate_file}", f"key={genuine.key_file}"]
    with opcua_servers(request, tmp_path_factory.mktemp("server"), options) as (running,):
        yield running


@pytest.fixture
def site(tmp_path, monkeypatch) -> Path:
    """A site's file that the command finds."""
    file = tmp_path / "edge.toml"
    file.write_text(SITE.format(state=tmp_path / "state"))
    monkeypatch.setenv("EDGE_CONFIG", str(file))
    return file


@pytest.fixture
def password(tmp_path) -> Path:
    path = tmp_path / "password"
    path.write_text("s3cret\n")
    return path


def probed(*arguments: object) -> tuple[int, dict[str, object]]:
    """The exit code, and the one JSON object on standard output."""
    done = CliRunner().invoke(app, ["probe", "opcua", *map(str, arguments), "--json"])
    return done.exit_code, json.loads(done.stdout)


def test_a_server_is_shown_and_its_lines_are_a_valid_site(server, site):
    code, document = probed(server.endpoint)
    assert (code, document["error"], document["security"]) == (0, None, "none")
    assert {"none", "basic256sha256", "aes128_sha256_rsaoaep"} <= {one["security"] for one in document["endpoints"]}
    assert document["certificate"]["fingerprint"] == server.fingerprint
    assert document["certificate"]["is_trusted"] is False
    assert "nobody has confirmed" in document["certificate"]["verdicts"][0]["what"]
    assert abs(document["time_skew_s"]) < 60
    assert document["limits"]["max_monitored_items_per_call"] > 0
    assert document["namespaces"][0] == "http://opcfoundation.org/UA/"
    nodes = {node["path"]: node for node in document["nodes"]}
    assert nodes["Flow"]["type"] == "Double"
    assert nodes["Flow"]["status_code"] == "0x00000000 Good"
    assert nodes["Failed"]["value"] is None
    assert "BadSensorFailure" in nodes["Failed"]["status_code"]
    assert "nsu=" in document["toml"]
    site.write_text(site.read_text() + document["toml"])
    assert CliRunner().invoke(app, ["validate", str(site)]).exit_code == 0


def test_each_field_is_explained(server, site):
    _, document = probed(server.endpoint)
    section = PAGE.read_text().partition("## `edge-agent probe opcua --json`")[2].partition("\n## ")[0]
    lists = {name: document[name][0] for name in ("endpoints", "nodes")}
    inside = {"certificate": document["certificate"], **lists, "verdicts": document["certificate"]["verdicts"][0]}
    names = {*document, *(name for fields in inside.values() for name in fields)}
    assert [name for name in sorted(names) if f"{name}`" not in section and f"{name}[]" not in section] == []


def test_a_password_waits_until_the_server_is_confirmed(server, site, password):
    before = len(server.logins)
    user = ("--user", "op", "--password-file", password)
    code, document = probed(server.endpoint, *user)
    assert code == 1
    assert "nobody has confirmed" in document["error"]
    assert document["endpoints"]
    assert len(server.logins) == before
    code, document = probed(server.endpoint, *user, "--trust", "--fingerprint", "0" * 64)
    assert code == 1
    assert "not confirmed" in document["error"]
    code, document = probed(server.endpoint, *user, "--trust", "--fingerprint", server.fingerprint)
    assert (code, document["error"], document["security"]) == (0, None, "aes256_sha256_rsapss")
    assert document["certificate"]["is_trusted"] is True
    file = Path(str(document["trusted_file"]))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.is_relative_to(site.parent / "state" / "opcua")
    code, document = probed(server.endpoint, *user)  # and from now on
    assert (code, document["error"]) == (0, None)
    assert len(server.logins) > before


def test_a_person_confirms_in_a_terminal(server, site):
    for said, stored in (("no\n", False), ("yes\n", True)):
        controller, terminal = os.openpty()
        os.write(controller, said.encode())
        with os.fdopen(terminal) as standard_input, pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", standard_input)
            ended = contextlib.nullcontext() if stored else pytest.raises(BaseException)
            with ended:
                probe_opcua(Request(server.endpoint, {}, is_trusting=True), as_json=False)
        os.close(controller)
        assert (site.parent / "state" / "opcua" / "servers").exists() is stored


def test_nobody_confirms_without_a_terminal(server, site):
    code, document = probed(server.endpoint, "--trust")
    assert code == 1
    assert "no terminal" in document["error"]
    assert not (site.parent / "state").exists()


def test_the_probe_reads_and_browses_and_nothing_else(server, site):
    probed(server.endpoint)
    assert server.requests
    assert not [
        name for name in server.requests if name.startswith(("Write", "Call", "HistoryUpdate", "Add", "Delete"))
    ]


def test_a_certificate_of_the_gateway_is_made_on_request(site):
    done = CliRunner().invoke(app, ["probe", "opcua", "--make-certificate", "--json"])
    document = json.loads(done.stdout)
    assert done.exit_code == 0
    assert Path(document["file"]).is_relative_to(site.parent / "state" / "opcua" / "own")
    assert len(document["fingerprint"]) == 64


def test_text_fits_a_screen_of_a_hundred_columns(server, site):
    done = CliRunner().invoke(app, ["probe", "opcua", server.endpoint])
    assert done.exit_code == 0
    shown = done.stdout.partition("# for the site's file")[0]
    assert [line for line in shown.splitlines() if len(line) > 100] == []
    assert "ENDPOINTS" in shown


@contextlib.contextmanager
def answering(said: bytes | None) -> Iterator[int]:
    """The port of a listener that says these bytes to whoever greets it, and closes; None: it says nothing at all."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    held.append(connection)
                    if said is not None:
                        connection.recv(1_000)
                        connection.sendall(said)
                        connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0" * 64, None], ids=["closes", "http", "zeros", "silent"]
)
def test_what_is_no_opc_ua_server_is_one_sentence(said, site, monkeypatch):
    monkeypatch.setattr(session, "ANSWER_TIMEOUT_S", 0.5)
    with answering(said) as port:
        code, document = probed(f"opc.tcp://127.0.0.1:{port}")
    assert code == 1
    assert document.keys() == {"error", "hint"}
    assert f"127.0.0.1:{port}" in document["error"]


def test_a_server_that_is_away_and_wrong_options_are_one_sentence(site):
    for arguments, said in (
        (("opc.tcp://127.0.0.1:1",), "no connection"),
        (("http://plc",), "opc.tcp://"),
        (("opc.tcp://127.0.0.1:1", "--security", "rot13"), "security"),
        (("opc.tcp://127.0.0.1:1", "--fingerprint", "ab:cd"), "64 hexadecimal digits"),
    ):
        code, document = probed(*arguments)
        assert code == 1
        assert said in document["error"]
