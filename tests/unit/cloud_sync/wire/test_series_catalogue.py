"""A catalogue that was read before is the same table again, and never another one's."""

from __future__ import annotations

import threading

import pytest

from cloud_sync import wire
from cloud_sync.errors import WireFormatError
from cloud_sync.records import Batch, Row, Series
from cloud_sync.wire.binary_reader import KnownCatalogues
from cloud_sync.wire.byte_planes import Reader

TEXT = b'{"id":["a","b"],"type":["pump","audio"],"unit":["g"],"meta":[{},{"n":1}]}'


def column(*places: int) -> bytes:
    return bytes([1, *places])


def reader(text: bytes, *columns: bytes, rest: bytes = b"") -> Reader:
    document = len(text).to_bytes(4, "little") + text + b"".join(columns) + rest
    return Reader(document, start=0, stop=len(document) - len(rest))


SOUND = (column(0, 1), column(0, 0), column(0, 1))


def test_the_same_bytes_give_the_same_table():
    known = KnownCatalogues()
    first = known.read(reader(TEXT, *SOUND), 2)
    second = reader(TEXT, *SOUND)
    assert known.read(second, 2) is first
    second.end()
    assert first == (Series("a", "pump", "g", {}), Series("b", "audio", "g", {"n": 1}))


def test_the_same_text_with_other_places_is_another_table():
    known = KnownCatalogues()
    first = known.read(reader(TEXT, *SOUND), 2)
    swapped = known.read(reader(TEXT, column(1, 0), *SOUND[1:]), 2)
    assert [one.sensor_type for one in swapped] == ["audio", "pump"]
    assert [one.sensor_type for one in first] == ["pump", "audio"]
    assert known.read(reader(TEXT, *SOUND), 2) == first


@pytest.mark.parametrize("count", [1, 3])
def test_another_number_of_series_is_refused_though_the_text_is_known(count: int):
    known = KnownCatalogues()
    known.read(reader(TEXT, *SOUND), 2)
    with pytest.raises(WireFormatError):
        known.read(reader(TEXT, *SOUND), count)


def test_what_lies_beyond_the_end_is_not_taken_for_a_known_table():
    known = KnownCatalogues()
    known.read(reader(TEXT, *SOUND), 2)
    with pytest.raises(WireFormatError, match="cut short"):
        known.read(reader(TEXT, *SOUND[:2], rest=SOUND[2]), 2)


def test_what_cannot_be_read_is_not_kept():
    known = KnownCatalogues()
    for _ in range(2):
        with pytest.raises(WireFormatError):
            known.read(reader(TEXT, column(0, 9), *SOUND[1:]), 2)


def test_the_least_recently_used_is_forgotten_first():
    texts = [TEXT.replace(b'"a"', f'"{name}"'.encode()) for name in "xyz"]
    known = KnownCatalogues(max_bytes=2 * len(TEXT) + 30)
    x, y = (known.read(reader(text, *SOUND), 2) for text in texts[:2])
    assert known.read(reader(texts[0], *SOUND), 2) is x
    known.read(reader(texts[2], *SOUND), 2)
    assert known.read(reader(texts[0], *SOUND), 2) is x
    assert known.read(reader(texts[1], *SOUND), 2) is not y


def test_a_catalogue_larger_than_the_bound_is_read_and_not_kept():
    known = KnownCatalogues(max_bytes=10)
    assert known.read(reader(TEXT, *SOUND), 2) == known.read(reader(TEXT, *SOUND), 2)


def test_the_bound_can_be_another_for_a_process_that_reads_what_many_send():
    known = KnownCatalogues(max_bytes=10)
    known.keep(4 * len(TEXT))
    assert known.read(reader(TEXT, *SOUND), 2) is known.read(reader(TEXT, *SOUND), 2)


def test_threads_may_read_at_once():
    known = KnownCatalogues(max_bytes=3 * len(TEXT))
    texts = [TEXT.replace(b'"a"', f'"{n}"'.encode()) for n in range(8)]
    found: list[str] = []

    def read() -> None:
        found.extend(known.read(reader(texts[n % 8], *SOUND), 2)[0].sensor_id for n in range(400))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found.count("7") == 4 * 50


def test_blocks_of_one_plant_share_their_table():
    series = [Series(f"pump-{n}.rms", "vibration", "g", {"n": n}) for n in range(5)]
    bodies = [
        wire.encode(Batch("gw-1", tuple(Row(one, minute + n, 1.0, 1.0) for n, one in enumerate(series))))
        for minute in (0, 60_000_000)
    ]
    first, second = (wire.decode_columns(body).rows.series for body in bodies)
    assert first is second
