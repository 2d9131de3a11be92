"""The sources of a status document as a table: what is not good by name, and a screenful of the rest.

Imports nothing heavy, and takes a document that an older agent has left: what is not in it is not shown.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from edge_agent.cli.machine_text import answer_lines, indicator_lines

MOST_ALIKE: Final = 12
"""So many tags of a source that need no look are shown; a table of all is thousands of lines at some plants."""
_COMMON: Final = frozenset({"good", "waiting"})
_KNOWN_ALREADY: Final = re.compile(r'^("[^"]*": )?(the value is )?(0x[0-9A-F]{8} )?(Good(?:, but the value is|;) )?')
"""How a reason begins that has no place here: the node's address, a StatusCode's digits. `--json` has all of it."""
_DETAIL: Final = 33
"""What is left of 100 columns behind a tag's value."""


def source_lines(
    sources: Sequence[dict[str, Any]], tag_models: Sequence[dict[str, Any]], *, shows_all: bool
) -> list[str]:
    """Return the table. `shows_all`: every tag, also where thousands are good."""
    lines = [f"{'SOURCE':30} {'STATE':9} {'LAST DATA':>10} {'VALUE':>12}"]
    for source in sources:
        age = "-" if source["last_data_age_s"] is None else f"{source['last_data_age_s']:.1f} s ago"
        rate = "" if source.get("sample_rate_hz") is None else f"{source['sample_rate_hz']:g} Hz"
        lines.append(f"{source['name']:30} {source['state']:9} {age:>10} {rate:>12}  {source['type']}")
        lines += answer_lines(source)
        lines += [_scored(f"  {channel['point']}", channel) for channel in source.get("channels", [])]
        scored = {channel["point"] for channel in source.get("channels", [])}
        lines += [_sensor(sensor) for sensor in source.get("sensors", []) if _is_told(sensor, scored)]
        lines += indicator_lines(source.get("indicators", []))
        lines += _tags(source, shows_all=shows_all)
    lines += [_scored(f"{model['asset']}.{model['name']}", model) for model in tag_models]
    return lines


def _tags(source: Mapping[str, Any], *, shows_all: bool) -> list[str]:
    """Return the tags, those that stand out first; of the others a few, and how many there are of each state."""
    tags = source.get("tags", [])
    common = _COMMON if source["state"] == "running" else _COMMON | {"stale"}
    outstanding = [tag for tag in tags if _state(tag) not in common]
    others = [tag for tag in tags if _state(tag) in common]
    shown = others if shows_all or len(others) <= MOST_ALIKE + 1 else others[:MOST_ALIKE]
    lines = [_tag(tag) for tag in outstanding + shown]
    if len(others) > len(shown):
        counts = Counter(_state(tag) for tag in others[len(shown) :])
        lines.append(f"  and {', '.join(f'{n} more {state}' for state, n in counts.items())}: status --all lists them")
    return lines


def _state(tag: Mapping[str, Any]) -> str:
    """Return the tag's state in a word; a value that never came cannot be stale. Older agents say quality only."""
    return "stale" if tag["is_stale"] and tag.get("state") != "waiting" else str(tag.get("state") or tag["quality"])


def _tag(tag: Mapping[str, Any]) -> str:
    value = "-" if tag["value"] is None else f"{tag['value']:.6g}"
    text = "" if tag.get("text") is None else f'  "{tag["text"]}"'
    detail = "" if _state(tag) in _COMMON else _shortened(_KNOWN_ALREADY.sub("", tag.get("status") or ""))
    behind = f"{tag['unit']}{text}  {detail}".strip()
    return f"  {tag['name']:28} {_state(tag):9} {'':>10} {value:>12}  {behind}".rstrip()


def _shortened(detail: str) -> str:
    return detail if len(detail) <= _DETAIL else f"{detail[: _DETAIL - 3]}..."


def _is_told(sensor: dict[str, Any], scored: Set[str]) -> bool:
    return sensor["point"] not in scored and sensor["health"]["state"] not in ("ok", "waiting", "lost")


def _sensor(sensor: dict[str, Any]) -> str:
    health = sensor["health"]
    return f"{'  ' + sensor['point']:30} {health['state']:9} {'':>10} {'':>12}  {health['ne107']}"


def _scored(name: str, state: dict[str, Any]) -> str:
    score = "-" if state["score"] is None else f"{state['score']:.3f}"
    alarm = "  ALARM" if state["is_alarm"] else ""
    health = state.get("health") or {}
    if health.get("state") not in (None, "ok", "waiting", "lost"):
        alarm += f"  sensor {health['ne107']}: {health['state']}"
    return (
        f"{name:30} {state['verdict']:9} {'':>10} {score:>12}  limit {state['threshold']:.3f}, "
        f"{state['scored_total']} scored{alarm}"
    )
