"""Which installation this is and how often it was started, kept in the state folder: `identity.json`.

Constraints
- The number rises before anything is sent, and is on the disk when it does: no two starts have the same one.
- A state folder that comes from another machine is another installation from then on; its outbox is kept.
- A file that cannot be read or written never keeps the agent from recording.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.fsync import replace_file
from cloud_sync.strict_json import parse_json
from edge_agent.health.machine import Machine

IDENTITY_FILE: Final = "identity.json"
_SCHEMA: Final = 1
_INSTANCE_BYTES: Final = 8
_RUN_BYTES: Final = 5
_MAX_FILE_BYTES: Final = 10_000
_MISREAD: Final = (OSError, ValueError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, slots=True)
class InstallationIdentity:
    """`instance` is drawn once for an installation, `incarnation` counts its starts, `run` is drawn at each."""

    instance: str
    incarnation: int
    run: str
    machine: Machine
    moved_at_ns: int | None = None
    """When this state folder was first found on another machine than the one it was made on."""


def next_start(
    state_dir: Path, gateway_id: str, machine: Machine, *, now_ns: int, log: Callable[[str, str], None]
) -> InstallationIdentity:
    """Return who starts now, written down. The caller holds the state folder's lock."""
    path = state_dir / IDENTITY_FILE
    before = _read(path, gateway_id, log=log)
    if before is None:
        started = InstallationIdentity(secrets.token_hex(_INSTANCE_BYTES), 1, _run(), machine)
    elif machine.is_another_than(before.machine):
        log("warning", f"{state_dir} comes from another machine; here it is an installation of its own")
        started = InstallationIdentity(secrets.token_hex(_INSTANCE_BYTES), 1, _run(), machine, moved_at_ns=now_ns)
    else:
        started = replace(before, incarnation=before.incarnation + 1, run=_run(), machine=_known(before, machine))
    _write(path, gateway_id, started, log=log)
    return started


def _known(before: InstallationIdentity, machine: Machine) -> Machine:
    """What the machine shows now, and of the rest what it showed before: this start may not be allowed to read it."""
    return Machine(machine.board or before.machine.board, machine.cards or before.machine.cards, machine.os)


def _run() -> str:
    return secrets.token_hex(_RUN_BYTES)


def _read(path: Path, gateway_id: str, *, log: Callable[[str, str], None]) -> InstallationIdentity | None:
    """The last start; None when there was none, or when it was another gateway's."""
    if not path.exists():
        return None
    try:
        fields = parse_json(path.read_bytes(), max_bytes=_MAX_FILE_BYTES)
        if fields["gateway_id"] != gateway_id:
            return None
        return _of_fields(fields)
    except _MISREAD as exc:
        log("warning", f"{path} cannot be read ({exc}); from now on this is another installation")
        return None


def _of_fields(fields: Any) -> InstallationIdentity:
    instance, incarnation, moved_at_ns = str(fields["instance"]), int(fields["incarnation"]), fields["moved_at_ns"]
    if len(bytes.fromhex(instance)) != _INSTANCE_BYTES or incarnation < 1:
        raise ValueError("no installation is named there")
    return InstallationIdentity(
        instance,
        incarnation,
        "",
        Machine.from_fields(fields["machine"]),
        None if moved_at_ns is None else int(moved_at_ns),
    )


def _write(path: Path, gateway_id: str, started: InstallationIdentity, *, log: Callable[[str, str], None]) -> None:
    text = json.dumps(
        {
            "schema": _SCHEMA,
            "gateway_id": gateway_id,
            "instance": started.instance,
            "incarnation": started.incarnation,
            "machine": started.machine.as_fields(),
            "moved_at_ns": started.moved_at_ns,
        }
    )
    try:
        replace_file(path, text + "\n")
    except OSError as full:
        try:
            _overwrite(path, text + "\n")
        except OSError:
            log(
                "warning",
                f"this start could not be recorded in {path}: {full.strerror}; the central may hold the next one back",
            )


def _overwrite(path: Path, text: str) -> None:
    """On a full disk the place that the file has already is left. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        room = os.fstat(descriptor).st_size
        os.pwrite(descriptor, text.encode().ljust(room), 0)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
