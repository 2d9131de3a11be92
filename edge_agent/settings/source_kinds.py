"""Which kinds of sources there are: ours, and those that other packages bring by an entry point.

A kind is its settings class, which says the rest: `type`, `driver`, its tags or channels. One of ours is one line in
`BUILT_IN`; one of another package is an entry point (docs/how-to/add-a-driver.md). Classes are named by text, and
imported when the first settings are checked; drivers only when a source needs them.

An entry point that cannot be used costs its own sources only.
"""

from __future__ import annotations

import operator
import pkgutil
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache, reduce
from importlib.metadata import EntryPoint, entry_points
from inspect import isabstract
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationError
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from edge_agent.core.installed_parts import foreign_code, import_foreign, package_of
from edge_agent.errors import DriverError, EdgeError
from edge_agent.settings.sources import SourceSettings, TagSettings, TagSourceSettings, UnusableSource, WaveformSettings

ENTRY_POINTS: Final = "smart_maintenance_edge.drivers"
BUILT_IN: Final = (
    "edge_agent.drivers.sound.settings:MicrophoneSettings",
    "edge_agent.drivers.accelerometer.settings:AccelerometerSettings",
    "edge_agent.drivers.iio.settings:IioSettings",
    "edge_agent.drivers.replay.settings:ReplaySettings",
    "edge_agent.drivers.synthetic.settings:SyntheticSettings",
    "edge_agent.drivers.modbus.settings:ModbusSettings",
    "edge_agent.drivers.opcua.settings:OpcUaSettings",
    "edge_agent.drivers.mqtt.settings:MqttSettings",
)
_PROMISES: Final = "docs/how-to/add-a-driver.md says what a driver's package must have"


@dataclass(frozen=True, slots=True)
class SourceKinds:
    """`classes` by their `type`, `external` those of other packages; `unusable` by the entry point's name, and why."""

    classes: Mapping[str, type[SourceSettings]]
    external: frozenset[str]
    unusable: Mapping[str, DriverError]
    one_of: TypeAdapter[SourceSettings]


@cache
def built_in_kinds() -> Mapping[str, type[SourceSettings]]:
    """Return our own kinds by their `type`."""
    found: list[type[SourceSettings]] = [pkgutil.resolve_name(path) for path in BUILT_IN]
    return {type_of(kind): kind for kind in found}


@cache
def source_kinds() -> SourceKinds:
    """Return the kinds of this installation, looked up once: this imports what other packages bring."""
    classes = dict(built_in_kinds())
    unusable: dict[str, DriverError] = {}
    for entry in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: (entry.name, entry.value)):
        try:
            classes[entry.name] = _load(entry, taken=classes)
        except DriverError as exc:
            package = package_of(entry)
            hint = f"{exc.hint or _PROMISES}; or update or remove {package}"
            unusable[entry.name] = DriverError(
                f"driver {entry.name!r} of {package} cannot be used: {exc.message}", hint=hint
            )
    return SourceKinds(classes, frozenset(classes) - frozenset(built_in_kinds()), unusable, _one_of(classes))


def installed_types() -> list[str]:
    """Return every `type` that a source may have here, without importing what other packages bring."""
    return list(dict.fromkeys([*built_in_kinds(), *sorted(entry_points(group=ENTRY_POINTS).names)]))


def known_kinds() -> Mapping[str, type[SourceSettings]]:
    """Return the kinds that are imported already: ours, and all of them once any setting has asked for another."""
    return source_kinds().classes if source_kinds.cache_info().currsize else built_in_kinds()


@cache
def _one_of_ours() -> TypeAdapter[SourceSettings]:
    return _one_of(built_in_kinds())


def _one_of(classes: Mapping[str, type[SourceSettings]]) -> TypeAdapter[SourceSettings]:
    union: Any = reduce(operator.or_, classes.values())
    return TypeAdapter(Annotated[union, Field(discriminator="type")])


def driver_code(
    what: str, *, may_raise: type[EdgeError | ValidationError] = DriverError
) -> AbstractContextManager[None]:
    """Let only DriverError and `may_raise` out of this block, whatever the code of another package raises in it."""
    return foreign_code(lambda text: DriverError(f"{what} raises {text}"), passes=(DriverError, may_raise))


def type_of(kind: type[SourceSettings]) -> str:
    """Return the text that chooses this kind. Raises DriverError when its `type` is not one text."""
    annotation = kind.model_fields["type"].annotation
    texts = get_args(annotation) if get_origin(annotation) is Literal else ()
    if len(texts) != 1 or not isinstance(texts[0], str):
        raise DriverError(f'{kind.__name__} has no `type`: type: Literal["..."] = Field(...)')
    return texts[0]


def path_fields(table: type[BaseModel]) -> tuple[str, ...]:
    """Return the settings of this table that are paths; in a file they are relative to it."""
    annotations = {name: field.annotation for name, field in table.model_fields.items()}
    return tuple(name for name, annotation in annotations.items() if Path in (annotation, *get_args(annotation)))


def tables_below(
    model: type[BaseModel], *, above: tuple[type[BaseModel], ...] = ()
) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield the tables inside this one, ("poll_groups", PollGroupSettings), ("poll_groups.tags", ...) and so on.

    A table that is inside itself is not entered again.
    """
    for name, field in model.model_fields.items():
        for table in _models_in(field.annotation):
            yield name, table
            if table not in (model, *above):
                inside = tables_below(table, above=(model, *above))
                yield from ((f"{name}.{below}", inner) for below, inner in inside)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and not get_args(annotation):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    if get_origin(annotation) in (tuple, list, Annotated, UnionType):
        for part in get_args(annotation):
            yield from _models_in(part)


def _load(entry: EntryPoint, *, taken: Mapping[str, type[SourceSettings]]) -> type[SourceSettings]:
    if entry.name in taken:
        raise DriverError(f"there is another driver of type {entry.name!r} already: {taken[entry.name].driver}")
    with driver_code(f"importing {entry.value}"):
        found = import_foreign(entry.value, entry.load)
    if not (isinstance(found, type) and issubclass(found, TagSourceSettings | WaveformSettings)):
        raise DriverError(f"{entry.value} is no class derived from TagSourceSettings or WaveformSettings")
    with driver_code(f"completing {found.__name__}"):  # pydantic puts off what it cannot resolve yet
        found.model_rebuild()
    if (said := type_of(found)) != entry.name:
        raise DriverError(f"the `type` of {found.__name__} is {said!r}; it must be the entry point's name")
    if isabstract(found):
        raise DriverError(f"{found.__name__} has no {' and no '.join(sorted(found.__abstractmethods__))}")
    if not isinstance(getattr(found, "driver", None), str):
        raise DriverError(f'{found.__name__} names no `driver`: driver: ClassVar[str] = "package.module:Class"')
    with driver_code(f"putting {found.__name__} beside the other kinds"):
        _one_of({**taken, entry.name: found})
    with driver_code(f"the JSON schema of {found.__name__}"):
        found.model_json_schema()
    return found


class NotAsked(dict[str, Any]):
    """A source in a document whose driver's package is not to be imported: `status` must answer at once."""


class AnyKind:
    """Annotate a SourceSettings with it: a value of any kind there is, told apart by `type`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return a schema that asks for the kinds when a value is checked, not when a class is made."""
        return core_schema.no_info_plain_validator_function(_checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Return the schemas of all kinds."""
        return handler(source_kinds().one_of.core_schema)


def _checked(value: object) -> SourceSettings:
    kind = value.get("type") if isinstance(value, dict) else None
    if isinstance(value, UnusableSource):
        return value
    if not isinstance(value, dict) or not isinstance(kind, str) or kind in built_in_kinds():
        return _one_of_ours().validate_python(value)
    if isinstance(value, NotAsked):
        return UnusableSource.model_validate({**value, "reason": "its driver's package was not asked", "hint": ""})
    kinds = source_kinds()
    try:
        if kind in kinds.unusable and kind not in kinds.classes:
            raise kinds.unusable[kind]
        if kind in kinds.classes:
            return _checked_foreign(value, kinds.classes[kind], kinds.one_of)
    except DriverError as exc:
        return UnusableSource.model_validate({**value, "reason": exc.message, "hint": exc.hint or _PROMISES})
    return kinds.one_of.validate_python(value)


def _checked_foreign(
    value: Mapping[str, Any], kind: type[SourceSettings], one_of: TypeAdapter[SourceSettings]
) -> SourceSettings:
    """Return the settings, once what the agent asks them for is there. Raises ValidationError, DriverError."""
    who = f"driver {value['type']!r} cannot be used: {kind.__name__}"
    with driver_code(f"{who}, checking a source,", may_raise=ValidationError):
        checked = one_of.validate_python(value)
    for name, promised in _ASKED_FOR.items():
        if hasattr(kind, name):
            with driver_code(f"{who}.{name}"):
                given = getattr(checked, name)
            if not isinstance(given, tuple if isinstance(promised, tuple) else promised):
                raise DriverError(f"{who}.{name} is a {type(given).__name__}, not a {_name_of(promised)}")
            if isinstance(promised, tuple) and not all(isinstance(one, promised) for one in given):
                raise DriverError(f"{who}.{name} holds other things than {promised[0].__name__}")
    return checked


def _name_of(promised: Any) -> str:
    return f"tuple of {promised[0].__name__}" if isinstance(promised, tuple) else str(promised.__name__)


_ASKED_FOR: Final[Mapping[str, Any]] = {
    "all_tags": (TagSettings,), "row_prefixes": (str,), "warnings": (tuple,), "signal_unit": str,
    "is_sound": bool, "is_recording": bool,
}  # fmt: skip
"""What the agent reads of any source's settings; (kind,) is a tuple of those."""
