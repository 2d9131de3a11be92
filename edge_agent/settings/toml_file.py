"""A site's TOML file as plain tables: found, read, parsed; nothing is checked and nothing heavy imported.

TOML because the standard library reads it, a value's type is what it looks like (YAML turns `no` into false
and 12:30 into 750), and a repeated table is how a list of sources reads naturally.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from edge_agent.errors import ConfigurationError

MAX_BYTES: Final = 4_000_000
"""Some thousand sources; a file that is larger is another one."""

DEFAULT_PATHS: Final = (Path("edge.toml"), Path("/etc/edge-agent/edge.toml"))


def find_settings_file(given: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Return the file to use: the one given, $EDGE_CONFIG, ./edge.toml, or /etc/edge-agent/edge.toml."""
    if given is not None:
        return given
    if named := environment.get("EDGE_CONFIG"):
        return Path(named)
    closed = None
    for path in DEFAULT_PATHS:
        try:
            if path.exists():
                return path
        except OSError:
            closed = path
    if closed is not None:
        return closed  # perhaps it is there: reading it says why we cannot know
    raise ConfigurationError(
        "no configuration found: looked for " + " and ".join(str(path) for path in DEFAULT_PATHS),
        hint="name one with --config FILE, or copy an example from the config folder",
    )


def read_document(path: Path) -> dict[str, Any]:
    """Return the file as plain tables, unchecked: for `status`, which must answer also when the file is wrong."""
    return parse(path, read_text(path))


def resolve_paths(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the document with the paths of all tables but the sources' made absolute.

    Relative paths in a file are relative to that file, wherever the agent is started from.
    """
    out = dict(document)
    for table, keys in {
        "gateway": ("state_dir", "runtime_dir"),
        "central": ("ca_file", "client_certificate_file", "client_key_file", "api_key_file"),
        "outbox": ("key_journal",), "models": ("dir", "keys_dir", "inbox"),
        "tables": ("bearings_file", "zones_file"),
    }.items():  # fmt: skip
        if isinstance(out.get(table), dict):
            out[table] = absolute(out[table], keys, folder)
    nested_keys = ("ca_file", "certificate_file", "private_key_file", "password_file")
    for name in ("mqtt", "proxy"):
        if isinstance(out.get("central"), dict) and isinstance(nested := out["central"].get(name), dict):
            out["central"] = {**out["central"], name: absolute(nested, nested_keys, folder)}
    return out


def absolute(table: dict[str, Any], keys: Iterable[str], folder: Path) -> dict[str, Any]:
    """Return the table with the texts under `keys` as absolute paths."""
    # Not Path.resolve: up to Python 3.12 it fails at a link that leads to itself. Whoever opens it says so.
    return {
        key: os.path.realpath(folder / value) if key in keys and isinstance(value, str) else value
        for key, value in table.items()
    }


def read_text(path: Path) -> str:
    """Return the file's text. Raise ConfigurationError that names it when it cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise ConfigurationError(f"{path} is larger than {MAX_BYTES} bytes", hint="is it the right file?")
        text = content.decode("utf-8-sig")  # editors on Windows put a mark in front
        return text.replace("\r\n", "\n").replace("\r", "\n")
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{path} does not exist", hint="name the file with --config FILE") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path} is not UTF-8 text (byte {exc.start})") from exc
    except PermissionError as exc:
        raise ConfigurationError(
            f"{path} cannot be read: {exc.strerror}",
            hint="ask as root (sudo), or let your group read the file",
        ) from exc
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read: {exc.strerror}") from exc


def parse(path: Path, text: str) -> dict[str, Any]:
    """Return the text as plain tables. Raise ConfigurationError with the line that is no TOML."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        found = re.search(r"\(at line (\d+), column (\d+)\)", str(exc))
        where = f"{path}:{found[1]}" if found else str(path)
        raise ConfigurationError(
            f"{where}: not valid TOML: {re.sub(r' *[(]at .*[)]$', '', str(exc))}",
            where=where,
            hint='texts need quotes ("pump-7"), tables stand in brackets ([central])',
        ) from exc
    except ValueError as exc:  # the library lets through what Python says of a number of 4,301 digits
        raise ConfigurationError(f"{path}: not valid TOML: a number has too many digits") from exc
    except RecursionError as exc:
        raise ConfigurationError(f"{path}: not valid TOML: lists or tables are nested too deep") from exc
    if any("\0" in each for each in _texts(document)):  # no name, path or address has one, and no system takes it
        raise ConfigurationError(f"{path}: a text in it holds a NUL character", hint=r"look for \u0000")
    return document


def _texts(document: dict[str, Any]) -> Iterator[str]:
    """Yield every text in it. Without recursion: dotted keys nest as deep as they are long."""
    left: list[Any] = [document]
    while left:
        value = left.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            left += value.values() if isinstance(value, dict) else value


def line_of(text: str, location: tuple[int | str, ...]) -> int:
    """Return the line of this setting, or the nearest table that holds it; 1 when there is none.

    tomllib keeps no positions, so this follows table headers and keys through the text.
    """
    best, depth = 1, 0
    counts: dict[tuple[str, ...], int] = {}
    here: tuple[int | str, ...] = ()
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if header := re.match(r"^(\[\[?)\s*([A-Za-z0-9_.\"-]+)\s*\]\]?", line):
            here = _indexed(tuple(header[2].split(".")), header[1] == "[[", counts)
            place = here
        elif key := re.match(r"^([A-Za-z0-9_\"-]+)\s*=", line):
            place = (*here, key[1].strip('"'))
        else:
            continue
        shared = _shared(place, location)
        if shared == len(place) and shared > depth:
            best, depth = number, shared
    return best


def _indexed(names: tuple[str, ...], is_array: bool, counts: dict[tuple[str, ...], int]) -> tuple[int | str, ...]:
    out: list[int | str] = []
    for end in range(1, len(names) + 1):
        prefix = names[:end]
        out.append(names[end - 1])
        if end == len(names) and is_array:
            counts[prefix] = counts.get(prefix, -1) + 1
            for other in [p for p in counts if len(p) > end and p[:end] == prefix]:
                del counts[other]
        if prefix in counts:
            out.append(counts[prefix])
    return tuple(out)


def _shared(place: tuple[int | str, ...], location: tuple[int | str, ...]) -> int:
    count = 0
    for mine, theirs in zip(place, location, strict=False):
        if mine != theirs:
            break
        count += 1
    return count
