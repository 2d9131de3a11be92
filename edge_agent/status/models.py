"""What `status` says of models: who counts since when, which challenger is in its shadow run, and what was refused.

Its fields are a contract (docs/CLI_OUTPUT.md). Pure. A refused bundle is no problem of this box: the champion scores
on; a folder that cannot be used is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from edge_agent.errors import BundleError
from edge_agent.rollout.alarm_record import VersionAlarms
from edge_agent.rollout.challenger_file import ChallengerState
from edge_agent.rollout.hot_swap import alarms_standing
from edge_agent.rollout.index_client import ModelPull
from edge_agent.rollout.lifecycle import ModelLifecycle
from edge_agent.rollout.rollout import Rollout

DAY_S: Final = 86_400.0
ENOUGH_S: Final = 3_600.0
NO_MODEL: Final = "name a model at this source, or an indicator that needs none (docs/CONDITION.md)"


@dataclass(frozen=True, slots=True)
class Unscored:
    """Why a source or a tag model is not scored, and what to do; `model` is the name that is asked for."""

    reason: str
    do: str
    model: str | None = None


def unscored_by(error: BundleError | None, model: str | None) -> Unscored:
    """Return what a refused model means for whoever asks for it; without one, that no model was named."""
    if error is None:
        return Unscored("no model is configured", NO_MODEL, model)
    return Unscored(error.message, error.hint or f"see: edge-agent models verify {model}", model)


def describe_updates(lifecycle: ModelLifecycle, pull: ModelPull) -> dict[str, Any]:
    """Return the field `model_updates`."""
    refused = lifecycle.inbox.refused
    return {
        "inbox_error": lifecycle.inbox.error,
        "pull_error": pull.error,
        "champions": [_champion(each) for each in lifecycle.rollouts.values()],
        "unnamed": [f"{name} {version}" for name, version in sorted(lifecycle.unnamed.items())],
        "refused": [{"entry": r.entry, "reason": r.reason, "time": r.time, "do": r.do} for r in refused],
    }


def update_problems(updates: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with the folders, and what to do."""
    out = []
    if updates.get("inbox_error"):
        out.append((updates["inbox_error"], "models.inbox must be a folder the agent may write to"))
    if updates.get("pull_error"):
        out.append((f"no new models: {updates['pull_error']}", "the champions score on; check models.pull_url"))
    for champion in updates.get("champions", ()):
        if champion["cannot_alarm"]:
            why = f"; promoted by {champion['by']} although that was known" if champion["despite"] else ""
            what = f"model {champion['name']} {champion['version']} watches nothing: {champion['cannot_alarm']}{why}"
            out.append((what, _instead(champion)))
        if champion["error"]:
            what = f"model {champion['name']}: {champion['error']}; version {champion['version']} scores on"
            out.append((what, f"see: edge-agent models verify {champion['name']}"))
    return out


def _instead(champion: Mapping[str, Any]) -> str:
    if champion["previous"]:
        return f"edge-agent models rollback {champion['name']}"
    return "build the model again with a threshold inside of its own scores, and promote that"


def _champion(rollout: Rollout) -> dict[str, Any]:
    pointer = rollout.pointer
    return {
        "name": rollout.name,
        "version": rollout.model.version,
        "since": pointer.since if pointer else None,
        "by": pointer.by if pointer else None,
        "why": pointer.why if pointer else None,
        "despite": pointer.despite if pointer else None,
        "previous": rollout.previous,
        "is_on_probation": rollout.probation is not None,
        "probation_windows": rollout.seen.scored if rollout.seen else None,
        "unwatched": rollout.probation.why_unwatched if rollout.probation else None,
        "cannot_alarm": rollout.model.cannot_alarm,
        "alarms_standing": alarms_standing(rollout.lines),
        "alarms": _alarms(rollout.alarms.now),
        "alarms_before": _alarms(rollout.alarms.before),
        "error": rollout.error,
        "challenger": _challenger(rollout),
    }


def _alarms(seen: VersionAlarms | None) -> dict[str, Any] | None:
    """Return the counts; `per_day` is None within the first hour: it would be a guess."""
    if seen is None:
        return None
    per_day = seen.alarms * DAY_S / seen.watched_s if seen.watched_s >= ENOUGH_S else None
    return {
        "version": seen.version,
        "since": seen.since,
        "total": seen.alarms,
        "watched_s": round(seen.watched_s),
        "per_day": None if per_day is None else round(per_day, 2),
        "windows": seen.windows,
        "anomalous_fraction": round(seen.anomalous / seen.windows, 4) if seen.windows else None,
    }


def _challenger(rollout: Rollout) -> dict[str, Any] | None:
    challenger = rollout.challenger
    if challenger is None:
        return None
    tally = rollout.shadow.tally if rollout.shadow else None
    is_ready = challenger.state is ChallengerState.READY
    return {
        "version": challenger.version,
        "state": challenger.state.value,
        "since": challenger.since,
        "reason": challenger.reason or None,
        "windows": tally.windows_total if tally else None,
        "skipped": rollout.shadow.skipped_total if rollout.shadow else None,
        "more_fraction": tally.more_fraction if tally else None,
        "alarm_windows": tally.alarm_windows if tally else None,
        "missed_windows": tally.missed_windows if tally else None,
        "latency_ms": tally.latency_ms if tally else None,
        "waits": tally.waits if tally else rollout.waits,
        "do": f"edge-agent models promote {rollout.name} {challenger.version}" if is_ready else None,
    }
