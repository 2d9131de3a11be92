"""Transports of other installed packages, found by their entry points: docs/how-to/add-a-transport.md.

Constraints
- An entry point is loaded when batches are to go over its transport, in a thread: a package that is broken or slow to
  import is a failure of the link, tried again, and costs no reading.
- Its code is somebody else's. Whatever it raises is one failure of the link that names the package; only the errors
  that `cloud_sync.transports.base` lists pass as they are.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from cloud_sync.errors import SyncError, TransientSyncError
from cloud_sync.host.printable import quoted
from cloud_sync.records import Refusal, Settlement
from cloud_sync.transports.base import Guarantee, Resting, Route, Transport
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.lazy import LazyTransport
from edge_agent.core.cancellation import check_cancelled
from edge_agent.core.installed_parts import foreign_code, import_foreign, package_of
from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import mistakes_of

logger = logging.getLogger(__name__)

GROUP: Final = "smart_maintenance_edge.transports"
"""An entry point has the name that `central.transport` gives, and leads to a `TransportKind`."""

_MEND: Final = "repair or uninstall the package; no restart is needed"


@dataclass(frozen=True, slots=True)
class TransportContext:
    """What a transport may need of the agent beside its own options."""

    gateway_id: str
    connection: ConnectionOptions
    """Time limits, CA, proxy, and the link's end and meter, as for the built-in transports."""


@dataclass(frozen=True, slots=True)
class TransportKind:
    """One kind of transport: the model of its table [central.options], and what makes it of that."""

    options: type[BaseModel]
    make: Callable[[Any, TransportContext], Transport]
    """Called in the event loop, and again after it raised; it must not block."""


def installed_names() -> list[str]:
    """Return the names of the transports that other packages offer here, without loading any."""
    return sorted({entry.name for entry in entry_points(group=GROUP)})


def load_kind(name: str) -> TransportKind:
    """Return the installed kind of this name. Raises TransientSyncError for none, two, or a broken one."""
    found = tuple(entry_points(group=GROUP, name=name))
    if not found:
        offered = ", ".join(installed_names()) or "none"
        raise _unusable(
            f"central.transport: no installed package offers a transport {name!r}; installed: {offered}",
            hint="install its package into the agent's environment; no restart is needed",
        )
    if len(found) > 1:
        packages = " and ".join(sorted(package_of(one) for one in found))
        raise _unusable(f"the transport {name!r} is offered by {packages}", hint="uninstall all but one of them")
    (entry,) = found
    with _failing_as(f"{_who(entry)} cannot be loaded"):
        kind = import_foreign(entry.value, entry.load)
    if not isinstance(kind, TransportKind):
        raise _unusable(f"{_who(entry)}: {entry.value} is a {type(kind).__name__}, not a TransportKind", hint=_MEND)
    if not (isinstance(kind.options, type) and issubclass(kind.options, BaseModel)) or not callable(kind.make):
        raise _unusable(f"{_who(entry)}: `options` must be a pydantic model and `make` a function", hint=_MEND)
    return kind


def checked_options(name: str, kind: TransportKind, given: Mapping[str, Any]) -> BaseModel:
    """Return the table [central.options] as the kind's own model. Raises ConfigurationError listing every mistake, and
    TransientSyncError when the model itself fails.
    """
    try:
        with foreign_code(
            lambda text: _unusable(f"the options of the transport {name!r}: {text}", hint=_MEND),
            passes=(ValidationError,),
        ):
            return kind.options.model_validate(given)
    except ValidationError as exc:
        raise ConfigurationError(
            "\n".join(mistakes_of(exc, "central.options")), hint=f"these are settings of the transport {name!r}"
        ) from exc


def add_options(schema: dict[str, Any], name: str) -> None:
    """Add to the JSON schema of the settings what [central.options] holds for this kind. Raises TransientSyncError."""
    kind = load_kind(name)
    with _failing_as(f"the options of the transport {name!r} have no JSON schema"):
        options = kind.options.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
    parts = options.pop("$defs", {})
    schema["$defs"] |= {f"{name}.{part}": of_part for part, of_part in parts.items()}
    schema["$defs"]["CentralSettings"].setdefault("allOf", []).append({
        "if": {"properties": {"transport": {"const": name}}, "required": ["transport"]},
        "then": {"properties": {"options": options}},
    })  # fmt: skip


def installed_transport(name: str, given: Mapping[str, Any], context: TransportContext) -> Transport:
    """Return the installed transport of this name; it is loaded and made at the first `send`, until that succeeds."""

    async def make() -> Transport:
        kind = await asyncio.to_thread(load_kind, name)
        try:
            options = checked_options(name, kind, given)
        except ConfigurationError as exc:
            raise _unusable(exc.message.replace("\n", "; "), hint=exc.hint) from exc
        with _failing_as(f"the transport {name!r} cannot be made"):
            made = kind.make(options, context)
        if wrong := _broken_promises(made):
            raise _unusable(f"the transport {name!r} does not keep to the protocol: {'; '.join(wrong)}", hint=_MEND)
        return GuardedTransport(name, made)

    return LazyTransport(make, name=name)


class GuardedTransport:
    """A transport of another package, whose failures are failures of the link."""

    def __init__(self, name: str, inner: Transport) -> None:
        self._name = name
        self._inner = inner

    def __repr__(self) -> str:
        return f"GuardedTransport({self._name!r})"

    @property
    def route(self) -> Route:
        """Return the route that it names."""
        return self._inner.route

    @property
    def guarantee(self) -> Guarantee:
        """Return the guarantee that it gives."""
        return self._inner.guarantee

    @property
    def takes_events(self) -> bool | None:
        """Return whether it has a place for events; None while it does not know."""
        return self._inner.takes_events

    @property
    def takes_digests(self) -> bool:
        """Return whether its other end can be asked for digests."""
        return self._inner.takes_digests

    async def send(self, body: bytes, *, batch_id: str) -> Settlement:
        """Deliver one encoded batch. Raises as promised in `transports.base`, whatever the other package raises."""
        try:
            with _failing_as(f"the transport {self._name!r} failed"):
                answer: object = await self._inner.send(body, batch_id=batch_id)
        except asyncio.CancelledError as exc:
            check_cancelled()  # ours passes; its own would end delivery for good
            raise _unusable(f"the transport {self._name!r} cancelled its own send", hint=_MEND) from exc
        if not isinstance(answer, Settlement):
            raise _unusable(
                f"the transport {self._name!r} returned a {type(answer).__name__} in place of a Settlement", hint=_MEND
            )
        if not _is_settlement(answer):
            raise _unusable(f"the transport {self._name!r} returned {quoted(answer)}, which counts nothing", hint=_MEND)
        return answer

    async def rest(self) -> None:
        """Release connections, where it can."""
        if isinstance(self._inner, Resting):
            with _failing_as(f"the transport {self._name!r} failed to rest"):
                await self._inner.rest()

    async def close(self) -> None:
        """Close it; a failure of that is logged, since what follows must be closed as well."""
        try:
            with _failing_as(f"the transport {self._name!r} failed to close"):
                await self._inner.close()
        except SyncError as exc:
            logger.warning("%s", exc.message)


def _is_settlement(answer: Settlement) -> bool:
    """Return whether its counts are counts. Whether they are those of the batch, the uplink sees."""
    counts: tuple[object, ...] = (answer.accepted, answer.duplicates)
    refused: object = answer.refused
    return (
        all(isinstance(count, int) and count >= 0 for count in counts)
        and isinstance(refused, tuple)
        and all(isinstance(one, Refusal) for one in refused)
    )


def _broken_promises(made: object) -> list[str]:
    """Return what it lacks of `cloud_sync.transports.base.Transport`."""
    wrong = []
    for name, kinds in _PROMISED.items():
        with _failing_as(f"its {name} cannot be read"):
            value = getattr(made, name, _MISSING)
        if not isinstance(value, kinds):
            wanted = " or ".join("None" if kind is type(None) else kind.__name__ for kind in kinds)
            wrong.append(f"{name} must be a {wanted}")
    wrong += [
        f"it has no `async def {name}`"
        for name in ("send", "close")
        if not inspect.iscoroutinefunction(getattr(made, name, None))
    ]
    return wrong


_MISSING: Final = object()
_PROMISED: Final[Mapping[str, tuple[type, ...]]] = {
    "route": (Route,), "guarantee": (Guarantee,), "takes_events": (bool, type(None)), "takes_digests": (bool,),
}  # fmt: skip


def _failing_as(what: str) -> AbstractContextManager[None]:
    """Raise whatever somebody else's code raises as one failure of the link; the errors of delivery pass."""
    return foreign_code(lambda text: _unusable(f"{what}: {text}", hint=_MEND), passes=(SyncError,))


def _unusable(message: str, *, hint: str | None) -> TransientSyncError:
    return TransientSyncError(message, hint=hint, is_centrals=False)


def _who(entry: EntryPoint) -> str:
    return f"the transport {entry.name!r} of the package {package_of(entry)}"
