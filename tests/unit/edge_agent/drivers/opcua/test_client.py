"""No line of the OPC UA driver can write to a server, and every error of the library has a translation."""

from __future__ import annotations

import ast
import struct
from pathlib import Path

import pytest
from asyncua import ua

import edge_agent.drivers.opcua.driver as opcua_driver
from edge_agent.drivers.opcua.client import REJECTIONS, TRANSLATION, translated
from edge_agent.errors import DeviceRejectedError, EdgeError, TransientDriverError

FOLDER = Path(opcua_driver.__file__).parent
SESSION_SERVICES = {"create_subscription", "create_monitored_items"}


def attributes(path: Path) -> set[str]:
    return {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_service_that_changes_a_server_is_named(path):
    changing = ("write", "call", "set_value", "set_attr", "add_", "delete_", "history_update", "get_node")
    assert [name for name in attributes(path) if name.startswith(changing)] == []


def test_the_session_is_used_for_subscribing_only():
    used = {
        node.attr
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute) and node.value.attr == "session"
    }
    assert used == SESSION_SERVICES


def test_every_library_error_is_translated():
    unmapped = {error for error in ua.UaError.__subclasses__() if error not in TRANSLATION}
    of_the_client = {error for error in unmapped if not error.__module__.startswith("asyncua.server")}
    assert not of_the_client, f"new library errors: {of_the_client}"


@pytest.mark.parametrize("code", sorted(REJECTIONS))
def test_a_refusal_tells_the_operator_what_to_do(code):
    with pytest.raises(DeviceRejectedError) as caught, translated("press", "opc.tcp://h:1"):
        raise ua.UaStatusCodeError(code)
    assert caught.value.hint == REJECTIONS[code]


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


def test_an_untrusted_certificate_is_said_in_words():
    with pytest.raises(DeviceRejectedError, match="does not trust this gateway's certificate"), translated("p", "e"):
        raise AssertionError


def test_what_is_pure_does_not_import_the_library():
    importers = {
        path.name
        for path in FOLDER.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "asyncua"
    }
    assert not importers & {"mapping.py", "settings.py"}
