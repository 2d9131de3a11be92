"""What every probe has in common: its one JSON object, also when it fails, and lines for the site's file."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import typer
from pydantic import BaseModel, ValidationError

from edge_agent.errors import ConfigurationError, EdgeError
from edge_agent.settings.load import mistakes_of

Model = TypeVar("Model", bound=BaseModel)

EXIT_NOT_PROBED = 1
PROBED = "probe"
"""The name of a source that is only looked at: no message begins with it."""


def answer(probe: Callable[[], dict[str, Any]], show: Callable[[dict[str, Any]], str], *, as_json: bool) -> None:
    """Print what the probe found, as one JSON object or by `show`. A failure, of the options too, exits with 1.

    In JSON a failure is `error` and `hint`; without, the root of the command says the EdgeError that is raised.
    """
    try:
        document = probe()
    except EdgeError as exc:
        what = exc.message.removeprefix(f"{PROBED}: ")
        if not as_json:
            raise EdgeError(what, hint=exc.hint) from exc
        print(json.dumps({"error": what, "hint": exc.hint}))
        raise typer.Exit(EXIT_NOT_PROBED) from exc
    print(json.dumps(document) if as_json else show(document))


def for_the_file(toml: str, to_do: str) -> list[str]:
    """Return the end of what a probe shows: the lines for the site's file, and what a person has `to_do` with them."""
    return ["", f"# for the site's file: {to_do}", toml]


def site_lines(source: Mapping[str, Any], list_name: str, entries: Sequence[Mapping[str, Any]]) -> str:
    """Return a `[[sources]]` table with its list (`tags`, `nodes`, `poll_groups.tags`) as TOML for a site's file."""
    return "\n\n".join(
        [table_lines("[[sources]]", source), *(table_lines(f"[[sources.{list_name}]]", entry) for entry in entries)]
    )


def table_lines(header: str, fields: Mapping[str, Any]) -> str:
    """Return one table as TOML under its header; what is None is left out."""
    return "\n".join([header, *(f"{name} = {_value(value)}" for name, value in fields.items() if value is not None)])


def checked(kind: type[Model], document: Mapping[str, Any], *, hint: str = "see --help") -> Model:
    """Return the settings that a probe's options make. Raises ConfigurationError for a value that no device has."""
    with options_in_words(hint):
        return kind.model_validate(document)


@contextlib.contextmanager
def options_in_words(hint: str | None) -> Iterator[None]:
    """Say what is wrong with the options as `validate` says it of a file. Raises ConfigurationError."""
    try:
        yield
    except ValidationError as exc:
        mistakes = [each.removeprefix(f"{PROBED}.").removeprefix(f"{PROBED}: ") for each in mistakes_of(exc, PROBED)]
        raise ConfigurationError("; ".join(mistakes), hint=hint) from exc


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
