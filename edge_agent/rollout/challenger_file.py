"""challenger.json: how far the newest version has come on its way to being champion.

Constraints
- Its loss costs no more than another shadow run: a file that cannot be read counts as none.
- Only the newest version can be in a shadow run, and never one that was champion before: going back is final until
  something newer comes or a person decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloud_sync.host.fsync import replace_file
from edge_agent.bundles.atomic_files import locked, remove_file
from edge_agent.bundles.champion_file import Pointer
from edge_agent.bundles.manifest import BundleVersion, version_key
from edge_agent.errors import BundleError
from edge_agent.rollout.shadow_gates import AlarmWindows

CHALLENGER_FILE: Final = "challenger.json"
MAX_SHADOW_STARTS: Final = 5
"""ShadowRuns that may break off. A model that takes the process down must not do so for ever."""


class ChallengerState(StrEnum):
    SHADOW = "shadow"  # scores beside the champion; nobody acts on its scores
    READY = "ready"  # the gates held; a person, or the setting, may promote it
    REFUSED = "refused"


class Challenger(BaseModel):
    """challenger.json. `reason` says why it is ready or refused, in figures.

    `alarms` outlive a restart: what a version missed is not forgotten with the rest of a shadow run that broke off.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: BundleVersion
    state: ChallengerState
    since: str
    reason: str = ""
    starts: int = Field(default=1, ge=0, description="How often its shadow run has begun and not ended, but by a stop.")
    alarms: dict[str, tuple[int, int]] = Field(
        default_factory=dict, description="By channel: windows in alarm, and of them those it missed."
    )
    is_judged_on_alarms: bool = Field(default=False, description="Of one that is ready.")

    @property
    def missed(self) -> int:
        """Return the number of windows in alarm that it missed, over all channels."""
        return sum(missed for _, missed in self.alarms.values())

    def seen(self, alarms: Mapping[str, AlarmWindows], starts: int) -> Challenger:
        """Return it with what its shadow run has seen so far."""
        counted = {channel: (seen.champion, seen.missed) for channel, seen in alarms.items() if seen.champion}
        return self.model_copy(update={"starts": starts, "alarms": counted})


def read_challenger(folder: Path) -> Challenger | None:
    """Read the file; None when there is none, or none that can be read."""
    try:
        return Challenger.model_validate_json((folder / CHALLENGER_FILE).read_bytes())
    except (OSError, ValidationError):
        return None


def write_challenger(folder: Path, challenger: Challenger) -> None:
    """Write the file. Raises BundleError when the folder cannot be written."""
    try:
        with locked(folder):
            replace_file(folder / CHALLENGER_FILE, challenger.model_dump_json() + "\n")
    except OSError as exc:
        raise BundleError(
            f"{folder / CHALLENGER_FILE} cannot be written: {exc.strerror}",
            hint="models.dir must be a folder the agent may write to, such as /var/lib/edge-agent/models",
        ) from exc


def forget_challenger(folder: Path) -> None:
    """Remove the file. Raises BundleError when the folder cannot be written."""
    try:
        with locked(folder):
            remove_file(folder / CHALLENGER_FILE)
    except OSError as exc:
        raise BundleError(f"{folder / CHALLENGER_FILE} cannot be removed: {exc.strerror}") from exc


def candidate(versions: Sequence[str], pointer: Pointer | None, known: Challenger | None) -> str | None:
    """Return the version that should be in a shadow run now, or None. `versions` are those that are installed."""
    if pointer is None or not versions:
        return None
    newest = max(versions, key=version_key)
    if version_key(newest) <= version_key(pointer.version) or newest in pointer.was_champion:
        return None
    if known is not None and known.version == newest and known.state is not ChallengerState.SHADOW:
        return None
    return newest
