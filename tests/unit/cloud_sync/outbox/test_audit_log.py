"""Every key that became durable is in the audit log, whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloud_sync.columns import RowColumns
from cloud_sync.errors import OutboxError
from cloud_sync.outbox.audit_log import AuditLog, read_audit_log
from cloud_sync.records import Row
from tests.support.blocks import START_US, fresh_rows, series


def test_torn_last_line_of_an_audit_log_is_no_key_and_spoils_no_other(tmp_path: Path):
    path, rows = tmp_path / "keys", fresh_rows(4)
    AuditLog(path).record(RowColumns.of(rows[:2]))
    path.write_bytes(path.read_bytes()[:-3])
    assert list(read_audit_log(path)) == [rows[0].key]
    again = AuditLog(path)
    again.record(RowColumns.of(rows[2:3]))
    again.record(RowColumns.of(rows[3:]))
    assert list(read_audit_log(path)) == [rows[0].key, rows[2].key, rows[3].key]


def test_audit_log_keeps_sensor_names_with_spaces_and_signs(tmp_path: Path):
    row = Row(series("Presse 3 µm °C"), START_US, 1.0, 1.0)
    AuditLog(tmp_path / "keys").record(RowColumns.of([row]))
    assert list(read_audit_log(tmp_path / "keys")) == [row.key]


def test_audit_log_error_is_one_of_ours(tmp_path: Path):
    with pytest.raises(OutboxError, match="cannot be written"):
        AuditLog(tmp_path).record(RowColumns.of(fresh_rows(1)))


def test_audit_log_that_was_never_written_is_empty(tmp_path: Path):
    assert list(read_audit_log(tmp_path / "keys")) == []
