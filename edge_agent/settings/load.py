"""A site's file as checked settings: every complaint names the file, the line and what to do."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_settings import SettingsError

from edge_agent import settings as settings_module
from edge_agent.errors import ConfigurationError
from edge_agent.settings import Settings
from edge_agent.settings.source_kinds import (
    NotAsked,
    built_in_kinds,
    installed_types,
    known_kinds,
    path_fields,
    source_kinds,
    tables_below,
)
from edge_agent.settings.toml_file import absolute, line_of, parse, read_text, resolve_paths

_ENVIRONMENT_HINT: Final = "a whole table or list in the environment is JSON; single settings are EDGE_TABLE__SETTING"

RENAMED: Final = {
    "central.in_flight": "it is called single_in_flight (readings) or batches_in_flight (requests) now",
}
"""What settings that had another name are called now, by their path without numbers."""

_SMALL: Final = "small letters, digits, _ and -, beginning with a letter or digit"

PATTERNS_IN_WORDS: Final = {
    r"^[a-z0-9][a-z0-9_-]*$": f"a name of {_SMALL}",
    r"^[a-z0-9][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)+$": f"two names or more with dots between, each of {_SMALL}",
    r"^[A-Za-z0-9][A-Za-z0-9_-]*$": "a name of letters, digits, _ and -, beginning with a letter or digit",
    r"^[a-z][a-z0-9_]*$": "a name of small letters, digits and _, beginning with a letter",
    r"^[a-z0-9][a-z0-9_]*$": "a name of small letters, digits and _, beginning with a letter or digit",
    r"^opc\.tcp://[^\s]+$": "an address that begins with opc.tcp://",
    r"^https?://[^\s/]+(/.*)?$": "an address that begins with https://",
    r"^https://[^\s/]+/[^\s]*$": "an address that begins with https:// and has a path behind the host",
    r"^[!-~]+$": "letters, digits and marks of ASCII, without blanks",
    r"^/[!-~]*$": "a path that begins with /, without blanks",
    r"^([01][0-9]|2[0-3]):[0-5][0-9]$": "a time of day, like 22:00 or 06:30",
    r"^[^\s/:]{1,15}$": "the name of a network interface, like eth0 or wwan0 (ip link)",
    r"^[^/+#]+/[^/+#]+(/[^/+#]+)?$": "group/edge node or group/edge node/device, without + and #",
    r"^[^\s/]+$": "a host's name or address alone, without // and path",
}
"""Every pattern in the schema of the settings: a regular expression helps nobody who fills in a site's file."""

_WITH_UNIT: Final = re.compile(r"\s*[-+]?[\d._]+\s*[A-Za-z%/]+\s*")


def load_settings(path: Path, *, imports_packages: bool = True) -> Settings:
    """Parse and check one file. Raises ConfigurationError listing every mistake, each with its line.

    Without `imports_packages` the sources that other packages read are not looked into, and are unusable in the result.
    """
    text = read_text(path)
    document = parse(path, text)
    _refuse_secrets(path, text, document)
    document = resolve_paths(document, path.parent)
    try:
        settings = Settings(**(_with_source_paths(document, path.parent) if imports_packages else _unasked(document)))
        return _placed(settings)
    except ValidationError as exc:
        raise _explain(path, text, exc) from exc
    except RecursionError as exc:  # a file that does is refused before: this is a list or table in the environment
        raise ConfigurationError(
            "an EDGE_ environment variable cannot be read: its JSON is nested too deep", hint=_ENVIRONMENT_HINT
        ) from exc
    except SettingsError as exc:
        raise ConfigurationError(
            f"an EDGE_ environment variable cannot be read: {exc}",
            hint=_ENVIRONMENT_HINT,
        ) from exc


def _placed(settings: Settings) -> Settings:
    """Return the settings with each source's own folder in the state folder."""
    state_dir = settings.gateway.state_dir
    return settings.model_copy(update={"sources": tuple(source.placed_in(state_dir) for source in settings.sources)})


def _with_source_paths(document: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the document with the paths of sources made absolute: which settings are paths, their kinds say."""
    return _each_source(document, lambda source: _with_paths(source, folder))


def _with_paths(source: dict[str, Any], folder: Path) -> dict[str, Any]:
    kind = str(source.get("type"))
    is_foreign = kind not in built_in_kinds() and kind in installed_types()
    found = (source_kinds().classes if is_foreign else built_in_kinds()).get(kind)
    if found is None:
        return source
    out = absolute(source, path_fields(found), folder)
    for below, table in tables_below(found):
        if keys := path_fields(table):
            out = _absolute_below(out, below.split("."), keys, folder)
    return out


def _absolute_below(table: dict[str, Any], below: list[str], keys: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Return the table with the paths in the tables, or lists of tables, under the names `below` made absolute."""
    if not below:
        return absolute(table, keys, folder)
    inner = table.get(below[0])
    if isinstance(inner, dict):
        return {**table, below[0]: _absolute_below(inner, below[1:], keys, folder)}
    if not isinstance(inner, list):
        return table
    changed = [_absolute_below(one, below[1:], keys, folder) if isinstance(one, dict) else one for one in inner]
    return {**table, below[0]: changed}


def _unasked(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document with the sources that other packages read marked, so that no package is imported."""
    foreign = set(installed_types()) - set(built_in_kinds())
    return _each_source(document, lambda source: NotAsked(source) if source.get("type") in foreign else source)


def _each_source(document: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    sources = document.get("sources")
    if not isinstance(sources, list):
        return document
    return {**document, "sources": [change(source) if isinstance(source, dict) else source for source in sources]}


def mistakes_of(exc: ValidationError, table: str) -> list[str]:
    """Return each mistake in a table that another package's model checks, without the values: they may be secrets."""
    mistakes = []
    for error in exc.errors(include_url=False, include_input=False):
        field = ".".join([table, *map(str, error["loc"])])
        mistakes.append(f"{field}: {_complaint({**error, 'input': {}}, error['loc'])}")
    return mistakes


def _refuse_secrets(path: Path, text: str, document: Mapping[str, Any]) -> None:
    central = document.get("central")
    if isinstance(central, dict) and "api_key" in central:
        where = f"{path}:{line_of(text, ('central', 'api_key'))}"
        raise ConfigurationError(
            f"{where}: a secret does not belong in this file",
            where=where,
            hint="move it to a file of its own (central.api_key_file) or a systemd credential, and change the key",
        )


def _explain(path: Path, text: str, exc: ValidationError) -> ConfigurationError:
    lines = []
    errors = exc.errors(include_url=False)
    for error in errors:
        if error["type"] == "too_short" and any(_is_below(other["loc"], error["loc"]) for other in errors):
            continue  # pydantic counts only the items without mistakes
        location = tuple(part for part in error["loc"] if not _is_union_label(part, error["loc"]))
        field = ".".join(str(part) for part in location) or "the whole file"
        lines.append(f"{_where(path, text, location)}: {field}: {_complaint(error, location)}")
    hint = None if len(lines) == 1 else f"{len(lines)} mistakes; every one must go"
    return ConfigurationError("\n".join(lines), where=lines[0].split(": ")[0], hint=hint)


def _where(path: Path, text: str, location: tuple[int | str, ...]) -> str:
    """Return the environment variable that set this, since it wins; else file, line, and what the environment adds."""
    place = f"{path}:{line_of(text, location)}"
    if not location:
        return place
    name = f"EDGE_{'__'.join(str(part) for part in location)}".upper()
    given = {variable.upper() for variable in os.environ}
    if name in given:
        return f"environment variable {name}"
    added = sorted(variable for variable in given if variable.startswith(f"{name}__"))
    return f"{place} with {' and '.join(added)}" if added else place


def _is_below(location: tuple[int | str, ...], parent: tuple[int | str, ...]) -> bool:
    return len(location) > len(parent) and location[: len(parent)] == parent


def _is_union_label(part: int | str, location: tuple[int | str, ...]) -> bool:
    # pydantic puts the discriminator ("modbus") between the index and the field: no such key in the file.
    at = location.index(part)
    return isinstance(part, str) and at == 2 and location[0] == "sources" and isinstance(location[1], int)


def _complaint(error: Any, location: tuple[int | str, ...]) -> str:
    match error["type"]:
        case "extra_forbidden":
            name = str(location[-1])  # which may be a setting elsewhere
            if (renamed := RENAMED.get(".".join(part for part in location if isinstance(part, str)))) is not None:
                return f"there is no such setting any more: {renamed}"
            guess = get_close_matches(name, sorted(_all_field_names() - {name}), n=1)
            return "there is no such setting" + (f"; did you mean {guess[0]}?" if guess else "")
        case "missing":
            return "is missing and has no default"
        case "union_tag_invalid" | "union_tag_not_found":
            return f"type must be one of {', '.join(installed_types())}"
        case "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        case "string_pattern_mismatch":
            return f"should be {_pattern_in_words(error['ctx']['pattern'])}{_shown(error)}"
        case "path_type":
            return f"should be a path, in quotes{_shown(error)}"
        case "int_parsing" | "float_parsing" if _is_with_unit(error["input"]):
            return f"should be a number alone, without quotes; the setting's name has its unit{_shown(error)}"
        case _:
            return f"{error['msg'][0].lower()}{error['msg'][1:]}{_shown(error)}"


def _pattern_in_words(pattern: str) -> str:
    return PATTERNS_IN_WORDS.get(pattern, f"a text like {pattern}")


def _is_with_unit(given: object) -> bool:
    """Return whether this is a number with its unit in one text, like "30 s" or "1 GB"."""
    return isinstance(given, str) and _WITH_UNIT.fullmatch(given) is not None


def _shown(error: Any) -> str:
    given = error.get("input")
    return "" if isinstance(given, dict | list | tuple) else f" (it is {given!r})"


def _all_field_names() -> set[str]:
    """Return every setting's name, for a suggestion when one is misspelt."""
    kinds = known_kinds().values()
    models = [*kinds, *(table for kind in kinds for _, table in tables_below(kind))]
    models += [value for value in vars(settings_module).values() if _is_model(value)]
    return {name for model in models for name in model.model_fields}


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)
