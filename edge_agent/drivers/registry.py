"""The driver of a source. A protocol's library is imported when a source needs it, not before."""

from __future__ import annotations

import pkgutil
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Final

from edge_agent.core.clock import Clock
from edge_agent.core.installed_parts import import_foreign
from edge_agent.drivers.base import Driver, Item
from edge_agent.drivers.checked import CheckedDriver
from edge_agent.drivers.report import SourceReport
from edge_agent.errors import ConfigurationError, DeviceRejectedError, DriverError
from edge_agent.settings import SourceSettings, UnusableSource
from edge_agent.settings.source_kinds import built_in_kinds, driver_code

_PROMISED: Final = ("open", "stream", "close")
_HINT: Final = "update the package it comes from; docs/how-to/add-a-driver.md says what a driver must have"


def build_driver(settings: SourceSettings, clock: Clock) -> Driver:
    """Return the driver for this source, not opened yet; one that cannot be made costs this source only.

    Raise ConfigurationError when the driver finds a mistake in the settings.
    """
    try:
        return _made(settings, clock)
    except DriverError as exc:
        source = UnusableSource(type=settings.type, name=settings.name, reason=exc.message, hint=exc.hint or _HINT)
        return UnusableDriver(source, clock)


def driver_class(settings: SourceSettings) -> Any:
    """Return the class of this source's driver. Raise DriverError when it is not there, or lacks what it promises."""
    with driver_code(f"{_driver_of(settings)} cannot be used: importing it"):
        load = partial(pkgutil.resolve_name, settings.driver)
        found = load() if settings.type in built_in_kinds() else import_foreign(settings.driver, load)
    missing = [name for name in _PROMISED if not callable(getattr(found, name, None))]
    if missing:
        raise DriverError(f"{_driver_of(settings)} cannot be used: it has no {' and no '.join(missing)}", hint=_HINT)
    return found


class UnusableDriver:
    """In place of a driver that cannot be used: the source is rejected, with the reason, and the others run."""

    def __init__(self, settings: UnusableSource, clock: Clock) -> None:
        self.name = settings.name
        self._settings = settings

    async def open(self) -> None:
        """Raise DeviceRejectedError: a package has to change before this can be read."""
        raise DeviceRejectedError(self._settings.reason, hint=self._settings.hint)

    async def stream(self) -> AsyncIterator[Item]:
        """Yield nothing."""
        items: tuple[Item, ...] = ()
        for item in items:
            yield item

    async def close(self) -> None:
        """Do nothing: nothing is held open."""

    def report(self) -> SourceReport:
        """Return nothing: what is wrong is why it cannot be opened."""
        return SourceReport()


def _made(settings: SourceSettings, clock: Clock) -> Driver:
    kind = driver_class(settings)
    with driver_code(f"{_driver_of(settings)} cannot be used: making it", may_raise=ConfigurationError):
        driver: Driver = kind(settings, clock)
    name = getattr(driver, "name", None)
    if name != settings.name:
        what = f"its `name` is {name!r} and must be the source's, {settings.name!r}"
        raise DriverError(f"{_driver_of(settings)} cannot be used: {what}", hint=_HINT)
    return driver if settings.type in built_in_kinds() else CheckedDriver(driver, settings)


def _driver_of(settings: SourceSettings) -> str:
    return f"driver {settings.type!r} ({settings.driver})"
