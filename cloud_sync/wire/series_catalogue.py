"""The series of a batch, written once: ids, types, units and metadata as columns, different ones only once.

A plant sends the same series with every batch, so the last few catalogues are kept as they were compressed; they
are found again by the identity of their Series objects. A Series is a value: whoever changes its metadata makes
a new one.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import is_
from typing import Any, Final

import numpy as np
import zstandard
from numpy.typing import NDArray

from cloud_sync.columns import RowColumns
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Series
from cloud_sync.wire.byte_planes import Reader, planes_of
from cloud_sync.wire.json_form import malformed, mapping_of, parsed, text_of

_encoder: Final = json.JSONEncoder(separators=(",", ":"), allow_nan=False)  # json.dumps makes one for each call

Positions = NDArray[np.int64]

CACHED: Final = 8
"""Catalogues kept: those of a flush, of the larger flush at the full minute, and of what is halved meanwhile."""

_LEVEL: Final = 9  # 20 % smaller than level 3; paid once for a plant


@dataclass(frozen=True, slots=True)
class Catalogue:
    """`position` in `series` is by id() of every Series object met; `objects` keeps those alive."""

    series: tuple[Series, ...]
    position: Mapping[int, int]
    objects: tuple[Series, ...]
    document: bytes
    compressed: bytes


EMPTY: Final = Catalogue((), {}, (), b"", b"")


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """A table of series of which some are used, their catalogue, and the position in it of each that is used."""

    table: tuple[Series, ...]
    is_used: NDArray[np.bool_]
    catalogue: Catalogue
    position: Positions


class CatalogueCache:
    """Least recently used first. Threads may share it."""

    def __init__(self, size: int = CACHED) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._known: OrderedDict[frozenset[int], Catalogue] = OrderedDict()
        self._latest = _Placed((), np.empty(0, np.bool_), EMPTY, np.empty(0, np.int64))

    def place(self, rows: RowColumns) -> tuple[Catalogue, Positions]:
        """Return the catalogue of rows, of which there are some, and the position in it of each."""
        is_used = np.bincount(rows.of_row, minlength=len(rows.series)) > 0
        latest = self._latest  # a recorder keeps its table, and most flushes hold all of it
        if not (_are_the_same(latest.table, rows.series) and np.array_equal(latest.is_used, is_used)):
            self._latest = latest = self._placed(rows.series, is_used)
        return latest.catalogue, latest.position[rows.of_row]

    def _placed(self, table: tuple[Series, ...], is_used: NDArray[np.bool_]) -> _Placed:
        used = np.flatnonzero(is_used)
        objects = [table[place] for place in used.tolist()]
        catalogue = self._of(objects)
        position = np.zeros(len(table), np.int64)
        position[used] = [catalogue.position[id(one)] for one in objects]
        return _Placed(table, is_used, catalogue, position)

    def _of(self, objects: Sequence[Series]) -> Catalogue:
        key = frozenset(map(id, objects))
        with self._lock:
            found = self._known.get(key)
            if found is not None:
                self._known.move_to_end(key)
                return found
        made = _make({id(one): one for one in objects}.values())
        with self._lock:
            self._known[key] = made
            if len(self._known) > self._size:
                self._known.popitem(last=False)
        return made


def _are_the_same(some: tuple[Series, ...], others: tuple[Series, ...]) -> bool:
    """Return whether they are the same objects: equal ones may have metadata that differs in JSON (1 and True)."""
    return some is others or (len(some) == len(others) and all(map(is_, some, others)))


def read_catalogue(text: bytes, reader: Reader, count: int) -> list[Series]:
    """Read the series of a batch. Raises WireFormatError."""
    document = parsed(text)
    try:
        columns = [document[name] for name in ("id", "type", "unit", "meta")]
        if not all(isinstance(column, list) for column in columns) or len(columns[0]) != count:
            raise WireFormatError(f"the catalogue does not list {count} series")
        ids, types, units = ([text_of(one) for one in column] for column in columns[:3])
        metas = [mapping_of(one) for one in columns[3]]
    except (KeyError, TypeError, ValueError, RecursionError) as exc:
        raise malformed("the catalogue", exc) from exc
    places = [_places(reader, count, len(choice)) for choice in (types, units, metas)]
    return [Series(i, types[t], units[u], metas[m]) for i, t, u, m in zip(ids, *places, strict=True)]


def _places(reader: Reader, count: int, choice: int) -> list[int]:
    places = reader.column(count)
    if count and int(places.max()) >= choice:
        raise WireFormatError("the catalogue points past its own end")
    return [int(place) for place in places]


def _make(objects: Iterable[Series]) -> Catalogue:
    """Raises WireFormatError for metadata that is not JSON."""
    kept = tuple(objects)
    try:
        keys = {id(one): (one.sensor_id, one.sensor_type, one.unit, _json(one.metadata)) for one in kept}
        series = {key: one for one in kept for key in [keys[id(one)]]}
        order = sorted(series)
        document = _written(order)
    except (TypeError, ValueError, RecursionError) as exc:
        raise WireFormatError(f"the series cannot be written: {exc}") from exc
    place = {key: number for number, key in enumerate(order)}
    return Catalogue(
        series=tuple(series[key] for key in order),
        position={object_id: place[key] for object_id, key in keys.items()},
        objects=kept,
        document=document,
        compressed=zstandard.ZstdCompressor(level=_LEVEL).compress(document),
    )


def _written(keys: Sequence[tuple[str, str, str, str]]) -> bytes:
    """A u32 size and as much JSON, then where each series finds its type, unit and metadata."""
    ids, *columns = zip(*keys, strict=True)
    choices = [list(dict.fromkeys(column)) for column in columns]
    types, units, metas = choices
    text = f'{{"id":{_json(ids)},"type":{_json(types)},"unit":{_json(units)},"meta":[{",".join(metas)}]}}'.encode()
    pieces = [len(text).to_bytes(4, "little"), text]
    for column, choice in zip(columns, choices, strict=True):
        place = {one: number for number, one in enumerate(choice)}
        pieces += planes_of(np.array([place[one] for one in column], np.uint64))
    return b"".join(pieces)


def _json(value: Any) -> str:
    value = dict(value) if isinstance(value, Mapping) else value
    return _encoder.encode(value)
