"""Several stored blocks as one request, and one answer as several settlements: pure.

A request costs the central a transaction and the link a round trip whatever its size, so a backlog of small blocks
leaves faster in few large requests.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from cloud_sync import wire
from cloud_sync.columns import ColumnBatch, RowColumns
from cloud_sync.outbox.store import Block
from cloud_sync.records import Settlement


def coalesce(blocks: Sequence[Block]) -> bytes:
    """Return one body with the records of blocks of one class, in order. Raises WireFormatError."""
    parts = [wire.decode_columns(block.body) for block in blocks]
    rows = RowColumns.joined([part.rows for part in parts])
    events = tuple(event for part in parts for event in part.events)
    return wire.encode_columns(ColumnBatch(parts[0].gateway_id, rows, events))


def coalesced_id(blocks: Sequence[Block]) -> str:
    """Return the request's id: the same blocks have the same id again."""
    return f"{blocks[0].batch_id}+{len(blocks) - 1}"


def part_of(settlement: Settlement, blocks: Sequence[Block]) -> list[Settlement]:
    """Return what the answer to a coalesced request says of each block.

    Refusals name their position. Of the others the answer has only sums: repeats are counted to the oldest blocks
    first, since a send whose answer was lost began there.
    """
    parts = []
    duplicates = settlement.duplicates
    ends = list(accumulate(block.count for block in blocks))
    for block, end in zip(blocks, ends, strict=True):
        start = end - block.count
        refused = tuple(replace(r, index=r.index - start) for r in settlement.refused if start <= r.index < end)
        taken = block.count - len(refused)
        repeats = min(taken, duplicates)
        duplicates -= repeats
        parts.append(Settlement(taken - repeats, repeats, refused))
    return parts
