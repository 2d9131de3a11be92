"""No line of the OPC UA driver can write to a server, and every error of the library has a translation."""

from __future__ import annotations

import ast
import socket
import struct
from pathlib import Path

import pytest
from asyncua import ua

import edge_agent.drivers.opcua.driver as opcua_driver
from edge_agent.drivers.opcua.client import TRANSLATION, refused, translated
from edge_agent.drivers.opcua.refusals import REFUSALS, TRUST_US
from edge_agent.errors import DeviceRejectedError, EdgeError, TransientDriverError

FOLDER = Path(opcua_driver.__file__).parent
PURE = {
    "certificates.py", "identity.py", "mapping.py", "notices.py", "refusals.py", "security_settings.py", "sequence.py",
    "settings.py", "trust.py",
}  # fmt: skip
SESSION_SERVICES = {
    "create_monitored_items", "delete_subscriptions", "publish", "republish", "transfer_subscriptions", "read",
    "browse", "browse_next", "rebind_authentication_token", "reset_authentication_token",
}  # fmt: skip


def attributes(path: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


def importers() -> set[str]:
    return {
        path.name
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "asyncua"
    }


@pytest.mark.parametrize("path", sorted(FOLDER / name for name in importers()), ids=lambda path: path.name)
def test_no_service_that_changes_a_server_is_named(path):
    changing = ("write", "call", "set_value", "set_attr", "add_", "delete_", "history_update", "get_node")
    named = attributes(path) - {"delete_subscriptions"}
    assert [name for name in named if name.startswith(changing)] == []


def test_the_session_is_used_for_reading_and_subscribing_only():
    used = {
        node.attr
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "session"
    }
    assert used <= SESSION_SERVICES


def test_every_library_error_is_translated():
    unmapped = {error for error in ua.UaError.__subclasses__() if error not in TRANSLATION}
    of_the_client = {error for error in unmapped if not error.__module__.startswith("asyncua.server")}
    assert not of_the_client, f"new library errors: {of_the_client}"


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_refusal_tells_the_operator_what_to_do(code):
    with pytest.raises(DeviceRejectedError) as caught, translated("press", "opc.tcp://h:1"):
        raise ua.UaStatusCodeError(code)
    assert caught.value.hint == REFUSALS[code].do
    assert REFUSALS[code].words in caught.value.message
    assert ua.StatusCode(code).name in caught.value.message


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (ua.UaStatusCodeError(ua.StatusCodes.BadTooManySessions), TransientDriverError),
        (TimeoutError(), TransientDriverError),
        (ConnectionRefusedError("refused"), TransientDriverError),
        (struct.error("unpack requires a buffer of 4 bytes"), TransientDriverError),
        (ValueError("99 is not a valid MessageSecurityMode"), TransientDriverError),
        (KeyError(77), TransientDriverError),
        (AttributeError("'NoneType' object has no attribute 'Parameters'"), TransientDriverError),
        (AssertionError(), DeviceRejectedError),
        (ua.UaError("No matching endpoints"), DeviceRejectedError),
    ],
)
def test_foreign_errors_leave_as_ours_naming_source_and_endpoint(theirs, ours):
    with pytest.raises(EdgeError) as caught, translated("press", "opc.tcp://h:1"):
        raise theirs
    assert type(caught.value) is ours
    assert "press" in caught.value.message
    assert "opc.tcp://h:1" in caught.value.message


def test_our_certificate_is_named_where_the_server_has_to_trust_it():
    found = refused(ua.StatusCodes.BadSecurityChecksFailed, "press: opc.tcp://h:1", "ours is /k/c.der, SHA-256 ab")
    assert found.hint == f"{TRUST_US}; ours is /k/c.der, SHA-256 ab"
    assert "ours is" not in (refused(ua.StatusCodes.BadUserAccessDenied, "press", "ours is x").hint or "")


def test_what_is_pure_does_not_import_the_library():
    assert not importers() & PURE


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), "nothing listens there"),
        (socket.gaierror(-2, "Name or service not known"), "its name is not found"),
        (OSError(113, "Connect call failed ('10.9.9.9', 4840)"), "no route to host"),
        (TimeoutError(), "does not answer in time"),
        (PermissionError(13, "Permission denied", "/etc/plc.key"), "/etc/plc.key"),
    ],
)
def test_why_there_is_no_connection_is_said_without_an_errno(error, said):
    with pytest.raises(TransientDriverError, match=said) as caught, translated("plc", "opc.tcp://127.0.0.1:1"):
        raise error
    assert "Connect call" not in caught.value.message
