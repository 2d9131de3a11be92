"""No line of the drivers can write to a device."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

import edge_agent.drivers.modbus.connection as connection
from edge_agent.drivers.modbus.connection import FUNCTION_CODES, TRANSLATION

FOLDER = Path(connection.__file__).parent
READS = {"read_coils", "read_discrete_inputs", "read_holding_registers", "read_input_registers"}


def names_used(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return names | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def modules_imported(path: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(path.read_text())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names}


def client_requests() -> set[str]:
    """Every request the library's client can send: the public functions of its mixin."""
    mixin = next(cls for cls in AsyncModbusTcpClient.__mro__ if cls.__name__ == "ModbusClientMixin")
    return {name for name, member in vars(mixin).items() if callable(member) and not name.startswith("_")}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_no_request_but_the_four_reads_is_named(path):
    assert client_requests() & names_used(path) <= READS


def test_the_check_above_knows_the_write_functions():
    assert {"write_coil", "write_registers", "mask_write_register", "execute"} <= client_requests()
    assert client_requests() & names_used(FOLDER / "connection.py") == READS


def test_only_the_connection_imports_the_library():
    importers = {path.name for path in FOLDER.glob("*.py") if "pymodbus" in modules_imported(path)}
    assert importers == {"connection.py"}


def test_the_function_codes_are_the_reads_of_the_specification():
    assert FUNCTION_CODES == {"coil": 1, "discrete": 2, "holding": 3, "input": 4}


def test_every_library_error_is_translated():
    unmapped = set(ModbusException.__subclasses__()) - set(TRANSLATION)
    assert not unmapped, f"new library errors: {unmapped}"
