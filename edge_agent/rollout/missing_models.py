"""Models that sources ask for and that could not be used at the start: tried again when their files or the keys change.

Proving a model costs tens of seconds on a small box, so what has not changed is not tried again.
"""

from __future__ import annotations

import asyncio
import glob
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from edge_agent.bundles.store import bundle_store
from edge_agent.core.clock import Clock
from edge_agent.errors import BundleError
from edge_agent.pipeline.model import ScoringModel
from edge_agent.rollout.startup import load_model, refusal
from edge_agent.settings import Settings

LOOK_EVERY_S: Final = 2.0

_Fingerprint = tuple[tuple[str, int, int], ...]


class MissingModels:
    """`errors` is the agent's own table: it says of each what is wrong now. `adopt` takes one that can be used."""

    def __init__(
        self,
        settings: Settings,
        errors: dict[str, BundleError],
        *,
        adopt: Callable[[ScoringModel], Awaitable[None]],
        clock: Clock,
        log: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._errors = errors
        self._adopt = adopt
        self._clock = clock
        self._log = log
        self._tried = {name: self._fingerprint(name) for name in errors}

    async def run(self) -> None:
        """Run until every model is there, or cancelled."""
        while self._errors:
            await self._clock.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Try each that has changed since it was last tried."""
        for name in list(self._errors):
            found = await asyncio.to_thread(self._fingerprint, name)
            if found == self._tried.get(name):
                continue
            self._tried[name] = found
            try:
                model = await asyncio.to_thread(load_model, self._settings, name)
                await self._adopt(model)
            except BundleError as exc:
                if exc.message != self._errors[name].message:
                    self._log("error", refusal(name, exc))
                self._errors[name] = exc
            else:
                del self._errors[name]
                self._log(
                    "info", f"model {name} {model.version} is here now, verified and proven on this box; it scores"
                )

    def _fingerprint(self, name: str) -> _Fingerprint:
        """Return name, size and time of change of everything that decides whether this model can be used."""
        models = self._settings.models
        folder, keys = models.dir / name, bundle_store(models).keys
        inside = [*_below(folder, "*"), *_below(folder, "*/*"), *_below(keys, "*")]
        return tuple(sorted(filter(None, map(_stat, [models.dir, folder, keys, *inside]))))


def _below(folder: Path, pattern: str) -> list[Path]:
    """Find files without Path.glob: up to Python 3.12 that fails at a folder that is closed to us."""
    return [Path(file) for file in glob.iglob(f"{glob.escape(str(folder))}/{pattern}")]  # noqa: PTH207 (see above)


def _stat(file: Path) -> tuple[str, int, int] | None:
    try:
        found = file.lstat()
    except OSError:  # taken away meanwhile, or closed: another look will tell
        return None
    return str(file), found.st_size, found.st_ctime_ns  # which a new owner or mode changes as well
