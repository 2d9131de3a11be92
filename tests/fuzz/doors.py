"""Every door there is, by name. A new way in from outside gets a line here."""

from __future__ import annotations

from tests.fuzz import answers, files, opcua, recordings, status, wires

DOORS = {
    door.name: door
    for door in (*answers.DOORS, *files.DOORS, *status.DOORS, *wires.DOORS, *opcua.DOORS, *recordings.DOORS)
}
