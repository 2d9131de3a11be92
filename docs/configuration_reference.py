"""Write docs/CONFIGURATION.md from the settings' own classes.

`python -m docs.configuration_reference > docs/CONFIGURATION.md`.

Knows pydantic's field descriptions; a setting without a description is a mistake, said by name.
"""

from __future__ import annotations

import sys
from typing import Any, Final, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from edge_agent import settings as s
from edge_agent.settings.source_kinds import source_kinds, tables_below

BEFORE_SOURCES: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("[gateway]", s.GatewaySettings),
    ("[central]", s.CentralSettings),
    ("[central.proxy]", s.CentralProxySettings),
    ("[central.mqtt]", s.CentralMqttSettings),
    ("[central.metered]", s.MeteredSettings),
    ("[central.budget]", s.BudgetSettings),
    ("[[central.quiet_hours]]", s.QuietHoursSettings),
    ("[[central.links]]", s.LinkSettings),
    ("[outbox]", s.OutboxSettings),
    ("[report]", s.ReportSettings),
    ("[models]", s.ModelSettings),
)
AFTER_SOURCES: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("[tables]", s.TableSettings),
    ("[[tag_models]]", s.TagModelSettings),
    ("[[operating_states]]", s.OperatingStateSettings),
)
SHARED_BY_WAVEFORMS: Final[tuple[tuple[str, type[BaseModel]], ...]] = (
    ("channels of every source above", s.ChannelSettings),
    ("[[sources.indicators]] of every source above", s.IndicatorSettings),
    ("alarm of every source above, and of tag_models", s.AlarmSettings),
)
UNITS: Final = {
    "_kbit_s": "kbit/s",
    "_per_s": "1/s",
    "_s": "s",
    "_ms": "ms",
    "_hz": "Hz",
    "_bytes": "bytes",
    "_days": "days",
}
HEAD: Final = """\
# Configuration

One TOML file per gateway. Written by `python -m docs.configuration_reference`; a test holds it to the code.
Examples that load: `config/*/edge.toml`. Check a file without asking a device or the network: `edge-agent validate
FILE`. Editors that know TOML schemas complete and check while you type (`config/edge.schema.json`).

The file is the one given with `--config`, else `$EDGE_CONFIG`, `./edge.toml`, `/etc/edge-agent/edge.toml`. Relative
paths in it are relative to it. An unknown setting is a mistake, not ignored. The environment wins over the file:
`EDGE_CENTRAL__URL` is `url` in `[central]`. Paths given there are relative to the working folder.

**The API key** of the central never stands in the file. It is taken from the first of: `EDGE_CENTRAL__API_KEY`, the
file `central.api_key_file`, the systemd credential `central-api-key`. It appears in no log and no error.
The broker's password comes from the file `central.mqtt.password_file`, else the systemd credential
`central-mqtt-password`, that of a proxy from `central.proxy.password_file`, else `central-proxy-password`. What the
broker must permit is in `docs/MQTT.md`, how a proxy is chosen in `docs/DELIVERY.md`.

**Row names** are `<asset>.<point>.<feature>` for waveforms, the tag's own name for tags, and `<asset>.<name>.score` for
tag models. Two writers of one row are refused.

"Needed" means there is no default.
"""


def render() -> str:
    """Return the whole page, with every kind of source that is installed."""
    tables = (*BEFORE_SOURCES, *_sources(), *AFTER_SOURCES)
    return HEAD + "".join(_table(title, model) for title, model in tables)


def _sources() -> list[tuple[str, type[BaseModel]]]:
    """Waveforms first, then what they share, then tags; each with the tables that only it has."""
    kinds = source_kinds().classes
    waveforms = [name for name, kind in kinds.items() if issubclass(kind, s.WaveformSettings)]
    tags = [name for name in kinds if name not in waveforms]
    of_waveforms, of_tags = (
        [table for name in names for table in _kind(name, kinds[name])] for names in (waveforms, tags)
    )
    return [*of_waveforms, *SHARED_BY_WAVEFORMS, *of_tags]


def _kind(name: str, kind: type[BaseModel]) -> list[tuple[str, type[BaseModel]]]:
    shared = [model for _, model in SHARED_BY_WAVEFORMS]
    below = [(f"[[sources.{path}]]", table) for path, table in tables_below(kind) if table not in shared]
    return [(f'[[sources]] type = "{name}"', kind), *below]


def _table(title: str, model: type[BaseModel]) -> str:
    about = " ".join((model.__doc__ or "").split())
    lines = [f"\n## {title}\n", f"\n{about}\n", "\n| setting | unit | default | meaning |\n|---|---|---|---|\n"]
    for name, field in sorted(model.model_fields.items(), key=lambda item: item[0] != "type"):
        cells = (f"`{name}`", _unit(name), _default(field), _meaning(title, name, field))
        lines.append("| " + " | ".join(_escaped(cell) for cell in cells) + " |\n")
    return "".join(lines)


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|").replace("<", "&lt;")


def _unit(name: str) -> str:
    return next((unit for end, unit in sorted(UNITS.items()) if name.endswith(end)), "")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    match value:
        case None:
            return "none"
        case bool():
            return f"`{str(value).lower()}`"
        case BaseModel():
            changed = ", ".join(f"{name} = {getattr(value, name)}" for name in sorted(value.model_fields_set))
            return f"see alarm; {changed}" if changed else "see alarm"
        case dict() | tuple() | list() | str() if not value:
            return "empty"
        case int() if value >= 10_000:
            return f"`{value:_}`"
        case float() if value.is_integer():
            return f"`{value:g}`"
        case _:
            return f"`{value}`"


def _meaning(title: str, name: str, field: FieldInfo) -> str:
    if name == "alarm":
        return "When anomalous windows become an alarm."
    if field.description is None:
        raise LookupError(f"{title}: {name} has no description")
    choices = _choices(field.annotation)
    limits = _limits(field)
    notes = [f"One of {choices}." if choices else "", f"{limits}." if limits else ""]
    description = field.description if field.description[-1] in ".)" else f"{field.description}."
    return " ".join([description, *[note for note in notes if note]])


def _choices(annotation: Any) -> str:
    if getattr(get_origin(annotation), "__name__", "") == "Literal" or "Literal" in str(get_origin(annotation)):
        values = get_args(annotation)
        return ", ".join(f"`{value}`" for value in values) if len(values) > 1 else ""
    return ""


def _limits(field: FieldInfo) -> str:
    said = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    words = []
    for entry in field.metadata:
        for key, word in said.items():
            if (bound := getattr(entry, key, PydanticUndefined)) is not PydanticUndefined and bound is not None:
                words.append(f"{word} {bound:_}" if isinstance(bound, int) and bound >= 10_000 else f"{word} {bound:g}")
    text = ", ".join(words)
    return text[:1].upper() + text[1:]


if __name__ == "__main__":
    sys.stdout.write(render())
