"""`edge-agent outbox`: what waits, what was refused, and carrying it away by hand; the daemon may be dead or alive."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cloud_sync import wire
from cloud_sync.errors import OutboxUnavailableError, SyncError, WireFormatError
from cloud_sync.outbox.clock_tables import depth_in_utc, epoch_span_of, held_records, read_epoch_spans
from cloud_sync.outbox.disk_floor import DiskFloor, floor_bytes
from cloud_sync.outbox.export_file import PUBLIC_KEY_FILE, gateway_key, public_key, read_blocks, write_blocks
from cloud_sync.outbox.fill_rate import days_left, rate_of_backlog
from cloud_sync.outbox.offline import add_blocks, check_space, open_read_only, query, requeue
from cloud_sync.outbox.quarantine import quarantined
from cloud_sync.outbox.recover import recover
from cloud_sync.outbox.retention_policy import Bounds
from cloud_sync.outbox.tables import NewBlock, iterate_blocks, iterate_letters, newest_id, read_counters, read_depth
from cloud_sync.records import Batch, RecordClass
from edge_agent.core.clock import instant
from edge_agent.errors import EdgeError
from edge_agent.settings import Settings
from edge_agent.settings.load import load_settings
from edge_agent.settings.toml_file import find_settings_file
from edge_agent.status.outbox import describe_bounds, describe_outbox, describe_put_aside
from edge_agent.status.words import counted


def show_stats(config: Path | None, *, as_json: bool) -> None:
    settings = _settings(config)
    with _errors(), open_read_only(_file(settings)) as db:
        depth, counters = depth_in_utc(db), read_counters(db)
    floor = DiskFloor(_file(settings), _floor(settings))
    bounds = floor.within(Bounds(settings.outbox.max_bytes), used_bytes=depth.used_bytes)
    days = days_left(bounds, depth.used_bytes, rate_of_backlog(depth))
    document = {
        "path": str(_file(settings)),
        "records": depth.records,
        "blocks": depth.blocks,
        "file_bytes": depth.file_bytes,
        "max_bytes": settings.outbox.max_bytes,
        "oldest": _time(depth.oldest_time_us),
        "newest": _time(depth.newest_time_us),
        "dead_letters": depth.dead_letters,
        "room_days": None if days is None else round(days, 1),
        **describe_bounds(bounds, floor.min_free_bytes),
        **describe_outbox(depth, counters, None),
        **describe_put_aside(quarantined(_file(settings))),
    }
    if as_json:
        print(json.dumps(document))
        return
    names = ("quarantined", "unsalvaged")
    _print({name: value for name, value in document.items() if name not in names}, as_json)
    for file in document["quarantined"]:
        waits = " (the agent goes on reading it in)" if file in document["unsalvaged"] else ""
        print(f"{'put aside':22} {file}{waits or f'; read it in: edge-agent outbox recover {file}'}")


def show_waiting(config: Path | None, *, limit: int, as_json: bool) -> None:
    with _errors(), open_read_only(_file(_settings(config))) as db:
        left = limit
        for block in iterate_blocks(db):
            if left <= 0:
                return
            try:
                records = _records(wire.decode(block.body))
            except WireFormatError as exc:
                records = [{"unreadable": exc.message}]
            for record in records[:left]:
                _line({"block": block.id, **record}, as_json)
            left -= len(records)


def show_dead_letters(config: Path | None, *, limit: int, as_json: bool) -> None:
    with _errors(), open_read_only(_file(_settings(config))) as db:
        for letter in iterate_letters(db, limit=limit):
            try:
                record = (_records(wire.decode(letter.content)) or [{}])[0]
            except WireFormatError as exc:
                record = {"unreadable": exc.message}
            head = {
                "id": letter.id,
                "code": letter.code,
                "detail": letter.detail,
                "refused": _time(letter.refused_at_us),
            }
            _line({**head, **record}, as_json)
        if not as_json and next(iterate_letters(db, limit=1), None) is None:
            print("there are no dead letters: the central has refused nothing")


def show_query(config: Path | None, sql: str | None, *, limit: int, as_json: bool) -> None:
    with _errors():
        found = query(_file(_settings(config)), sql, limit=limit)
    for row in found:
        _line({name: _jsonable(value) for name, value in row.items()}, as_json)


def put_back(config: Path | None, ids: list[int], *, everything: bool, as_json: bool) -> None:
    if bool(ids) == everything:
        raise typer.BadParameter("give the ids of dead letters, or --all")
    settings = _settings(config)
    file = _file(settings)
    with _errors():
        with open_read_only(file) as db:  # a missing file is said, not made
            no_place = read_depth(db).no_place
        done = requeue(file, None if everything else ids, **_bounds(settings))
    _print({"requeued": done.records, "unreadable": done.unreadable}, as_json)
    if everything and no_place:
        print(
            f"{no_place} of them are events that found no place: they come back unless the central takes batches now; "
            "`edge-agent status` says what it takes",
            file=sys.stderr,
        )


def export_file(config: Path | None, target: Path, *, as_json: bool) -> None:
    settings = _settings(config)
    with _errors(), open_read_only(_file(settings)) as db:
        key = gateway_key(settings.gateway.state_dir)
        spans, held = read_epoch_spans(db), held_records(db)
        blocks = (
            NewBlock(b.batch_id, RecordClass(b.record_class), b.first_time_us, b.last_time_us, b.count, b.body)
            for b in iterate_blocks(db, up_to_id=newest_id(db))
            if b.is_whole and epoch_span_of(spans, b.id) is None
        )
        written = write_blocks(target, blocks, gateway_id=settings.gateway.id, key=key)
    public = str(settings.gateway.state_dir / PUBLIC_KEY_FILE)
    _print({"file": str(target), **dataclasses.asdict(written), "held": held, "public_key": public}, as_json)
    if held:
        print(f"{held} records were left out: they wait for the clock, and their times will change", file=sys.stderr)


def import_file(config: Path | None, source: Path, *, key: Path | None, as_json: bool) -> None:
    settings = _settings(config)
    with _errors():
        trusted = public_key(key) if key else gateway_key(settings.gateway.state_dir).public_key()
        gateway_id, blocks = read_blocks(source, [trusted])
        if gateway_id != settings.gateway.id:
            raise EdgeError(
                f"{source} is from gateway {gateway_id!r}, this is {settings.gateway.id!r}",
                hint="the central would refuse it; import it there with `edge-central import`",
            )
        check_space(_file(settings), read_blocks(source, [trusted])[1], **_bounds(settings))
        records = add_blocks(_file(settings), blocks, **_bounds(settings))
    _print({"file": str(source), "records": records}, as_json)


def recover_file(config: Path | None, source: Path, *, as_json: bool) -> None:
    settings = _settings(config)
    with _errors():
        done = recover(source, _file(settings), gateway_id=settings.gateway.id, **_bounds(settings))
    if as_json:
        print(json.dumps({"file": str(source), **dataclasses.asdict(done)}))
        return
    kept = f"; {counted(done.dead_letters, 'dead letter')} and {counted(done.gaps, 'gap')} besides"
    besides = kept if done.dead_letters + done.gaps else ""
    print(
        f"{counted(done.blocks, 'block')} ({counted(done.records, 'record')}) recovered from {source.name}, "
        f"{counted(done.already_there, 'block')} already there, {done.unreadable} unreadable{besides}"
    )


def _settings(config: Path | None) -> Settings:
    return load_settings(find_settings_file(config))


def _bounds(settings: Settings) -> dict[str, int]:
    return {"max_bytes": settings.outbox.max_bytes, "min_free_bytes": _floor(settings)}


def _file(settings: Settings) -> Path:
    return settings.gateway.state_dir / "outbox.db"


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OutboxUnavailableError as exc:
        hint = "the agent is writing; try again in a moment" if exc.reason == "busy" else exc.hint
        raise EdgeError(exc.message, hint=hint) from exc
    except SyncError as exc:
        raise EdgeError(exc.message, hint=exc.hint) from exc


def _records(batch: Batch) -> list[dict[str, Any]]:
    rows = [
        {"sensor_id": r.series.sensor_id, "time": _time(r.time_us), "value": r.value, "unit": r.series.unit,
         "quality": r.quality}
        for r in batch.rows
    ]  # fmt: skip
    events = [
        {"kind": e.kind.value, "subject": e.subject, "time": _time(e.time_us), "body": e.body} for e in batch.events
    ]
    return [*rows, *events]


def _time(time_us: int | None) -> str | None:
    return None if time_us is None else instant(time_us)


def _jsonable(value: object) -> object:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _print(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(document))
        return
    for name, value in document.items():
        print(f"{name:22} {'-' if value is None else value}")


def _line(record: dict[str, Any], as_json: bool) -> None:
    print(json.dumps(record) if as_json else "  ".join(f"{name}={value}" for name, value in record.items()))


def _floor(settings: Settings) -> int:
    return floor_bytes(settings.gateway.state_dir, settings.outbox.min_free_bytes)
