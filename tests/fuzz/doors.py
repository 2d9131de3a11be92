"""Every door there is, by name. A new way in from outside gets a line here."""

from __future__ import annotations

from tests.fuzz import answers, files, opcua, opcua_certificates, recordings, status, wires

DOORS = {
    door.name: door
    for module in (answers, files, status, wires, opcua, opcua_certificates, recordings)
    for door in module.DOORS
}
