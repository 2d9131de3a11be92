"""What `status` says of models, as text: only what is under way or was refused. A champion in service is no news."""

from __future__ import annotations

from typing import Any, Final

from edge_agent.status.words import counted

REFUSED_SHOWN: Final = 3


def model_lines(updates: dict[str, Any]) -> list[str]:
    """Return the lines of the section, without its head; none when there is nothing to say."""
    lines = [line for champion in updates.get("champions", ()) for line in _champion(champion)]
    refused = updates.get("refused", ())
    for entry in refused[:REFUSED_SHOWN]:
        lines += [f"{entry['entry']} was refused: {entry['reason']}"]
        lines += [f"  -> {entry['do']}"] if entry.get("do") else []
    for unnamed in updates.get("unnamed", ()):
        name, _, version = unnamed.partition(" ")
        lines += [
            f"{unnamed} is installed, and nothing scores with it",
            f'  -> name it at a source: model = "{name}"; then edge-agent models promote {name} {version}, and restart',
        ]
    if len(refused) > REFUSED_SHOWN:
        lines.append(f"{len(refused) - REFUSED_SHOWN} more in the inbox's folder `refused`")
    return lines


def _champion(champion: dict[str, Any]) -> list[str]:
    lines = []
    label = f"{champion['name']} {champion['version']}"
    if champion["since"]:
        lines += _judges(label, champion)
    if champion["is_on_probation"]:
        unwatched = f"; its silence is not watched: {champion['unwatched']}" if champion["unwatched"] else ""
        lines.append(
            f"{label} is on probation, {counted(champion['probation_windows'] or 0, 'window')} so far{unwatched}"
        )
    challenger = champion["challenger"]
    if challenger is not None:
        lines += _challenger(champion["name"], challenger)
    return lines


def _judges(label: str, champion: dict[str, Any]) -> list[str]:
    lines = [f"{label} judges since {champion['since']}, promoted by {champion['by'] or 'unknown'}"]
    if champion["despite"]:
        lines.append(f"  although {champion['despite']}")
    if champion["alarms"]:
        before = champion["alarms_before"]
        stands = f", and {champion['alarms_standing']} stands now" if champion["alarms_standing"] else ""
        lines.append(f"  alarms raised since: {_alarmed(champion['alarms'])}{stands}")
        if before:
            lines.append(f"  before it, version {before['version']}: {_alarmed(before)}")
    return lines


def _alarmed(seen: dict[str, Any]) -> str:
    per_day = f", {seen['per_day']:g} a day" if seen["per_day"] is not None else ""
    share = f"; {seen['anomalous_fraction']:.1%} of windows anomalous" if seen["anomalous_fraction"] is not None else ""
    return f"{seen['total']} in {_time(seen['watched_s'])} of scoring{per_day}{share}"


def _time(seconds: float) -> str:
    if seconds < 7_200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _challenger(name: str, challenger: dict[str, Any]) -> list[str]:
    label = f"{name} {challenger['version']}"
    if challenger["state"] == "shadow":
        skipped = f", {challenger['skipped']} passed over" if challenger["skipped"] else ""
        lines = [f"{label} scores beside the champion, {counted(challenger['windows'] or 0, 'window')} so far{skipped}"]
        return lines + ([f"  waits: {challenger['waits']}"] if challenger["waits"] else [])
    if challenger["state"] == "ready":
        waits = [f"  waits: {challenger['waits']}"] if challenger["waits"] else []
        return [f"{label} is ready: {challenger['reason']}", *waits, f"  -> {challenger['do']}"]
    return [f"{label} was refused: {challenger['reason']}"]
