"""What every probe has in common: its one JSON object, also when it fails, and lines for the site's file."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from edge_agent.errors import ConfigurationError, EdgeError

Model = TypeVar("Model", bound=BaseModel)

EXIT_NOT_PROBED = 1


def answer(probe: Callable[[], dict[str, Any]], show: Callable[[dict[str, Any]], str], *, as_json: bool) -> None:
    """Print what the probe found, as one JSON object or by `show`; in JSON a failure is `error` and `hint`, exit 1.

    Without JSON a failure passes: the root of the command says it.
    """
    if not as_json:
        print(show(probe()))
        return
    try:
        document = probe()
    except EdgeError as exc:
        print(json.dumps({"error": exc.message, "hint": exc.hint}))
        raise typer.Exit(EXIT_NOT_PROBED) from exc
    print(json.dumps(document))


def site_lines(source: Mapping[str, Any], list_name: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return a `[[sources]]` table with its list (`tags`, `nodes`, `poll_groups.tags`) as TOML for a site's file."""
    return "\n\n".join(
        [table_lines("[[sources]]", source), *(table_lines(f"[[sources.{list_name}]]", entry) for entry in entries)]
    )


def table_lines(header: str, fields: Mapping[str, Any]) -> str:
    """Return one table as TOML under its header; what is None is left out."""
    return "\n".join([header, *(f"{name} = {_value(value)}" for name, value in fields.items() if value is not None)])


def checked(kind: type[Model], document: Mapping[str, Any]) -> Model:
    """Return the settings that a probe's options make. Raises ConfigurationError for a value that no device has."""
    try:
        return kind.model_validate(document)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{where or 'the options'}: {first['msg']}", hint="see --help") from exc


def progress(words: str) -> None:
    """Say on standard error what is being done, so that nobody waits in front of an empty screen."""
    print(words, file=sys.stderr, flush=True)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{json.dumps(str(name))} = {_value(each)}' for name, each in value.items())} }}"
    # What JSON escapes in a string is what TOML's basic strings escape, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f") if isinstance(value, str) else repr(value)
