"""A register map's file is read in the encodings and with the delimiters spreadsheets write."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_agent.drivers.modbus.register_map.table import MAX_BYTES, MapError, read_table

ROWS = "Name;Address;Unit\nFlow;1;m³/h\nTemp;2;°C\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [";", ",", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_encoding_delimiter_and_line_end(tmp_path: Path, encoding: str, delimiter: str, end: str) -> None:
    path = tmp_path / "map.csv"
    path.write_bytes(ROWS.replace(";", delimiter).replace("\n", end).encode(encoding))
    table = read_table(path)
    assert [(row.line, row.get("name"), row.get("unit")) for row in table.rows] == [
        (2, "Flow", "m³/h"),
        (3, "Temp", "°C"),
    ]


def test_titles_comments_empty_lines_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "map.csv"
    path.write_text('Meter, all registers\n\nAddress,Name\n1,"Flow, total"\n# later\n,\n2,"Line\nbreak"\n')
    table = read_table(path)
    assert [row.get("name") for row in table.rows] == ["Flow, total", "Line\nbreak"]
    assert table.where(table.rows[0], "address") == f"{path}:4, column 'Address'"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no header in its first 30 lines"),
        (b"a;b\n1;2\n", "it needs a column for the address"),
        (b"PK\x03\x04\0\0", "it is no text; save a spreadsheet as CSV"),
        (b"Name;Address\n" + b"x" * MAX_BYTES, "larger than"),
        (b'Name;Address\n"' + b"x" * 200_000, "it is no CSV"),
    ],
)
def test_what_is_no_map_is_said(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "map.csv"
    path.write_bytes(content)
    with pytest.raises(MapError, match=why):
        read_table(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MapError, match="cannot be read: No such file"):
        read_table(tmp_path / "map.csv")
