"""What `status` says of models, as text: only what is under way or was refused. A champion in service is no news."""

from __future__ import annotations

from typing import Any, Final

REFUSED_SHOWN: Final = 3


def model_lines(updates: dict[str, Any]) -> list[str]:
    """Lines of the section, without its head; none when there is nothing to say."""
    lines = [line for champion in updates.get("champions", ()) for line in _champion(champion)]
    refused = updates.get("refused", ())
    lines += [f"{entry['entry']} was refused: {entry['reason']}" for entry in refused[:REFUSED_SHOWN]]
    if len(refused) > REFUSED_SHOWN:
        lines.append(f"{len(refused) - REFUSED_SHOWN} more in the inbox's folder `refused`")
    return lines


def _champion(champion: dict[str, Any]) -> list[str]:
    lines = []
    label = f"{champion['name']} {champion['version']}"
    if champion["is_on_probation"]:
        lines.append(f"{label} is on probation, {champion['probation_windows'] or 0} windows so far")
    challenger = champion["challenger"]
    if challenger is not None:
        lines += _challenger(champion["name"], challenger)
    return lines


def _challenger(name: str, challenger: dict[str, Any]) -> list[str]:
    label = f"{name} {challenger['version']}"
    if challenger["state"] == "shadow":
        skipped = f", {challenger['skipped']} passed over" if challenger["skipped"] else ""
        return [f"{label} scores beside the champion, {challenger['windows'] or 0} windows so far{skipped}"]
    if challenger["state"] == "ready":
        return [f"{label} is ready: {challenger['reason']}", f"  -> {challenger['do']}"]
    return [f"{label} was refused: {challenger['reason']}"]
