"""The status document as text for a person at the machine: problems first, words instead of colours."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from edge_agent.cli.machine_text import alarms_text
from edge_agent.cli.model_text import model_lines
from edge_agent.cli.source_text import source_lines
from edge_agent.status.words import ago, bytes_in_words, counted

_DELIVERS: Final = ("online", "refuses_all")
_HOUR_S: Final = 3_600.0
_NEARLY: Final = 0.95
_SHARES: Final = {"payload_share": "payload", "headers_share": "headers", "tls_share": "TLS"}
_LEAD: Final = re.compile(r"([A-Z]+ {2,}| *-> | *)")
"""A label, an arrow or an indent, behind which a folded line goes on."""
_MISSHAPEN: Final = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)
"""What reading a document raises that has not the fields, types or numbers of a status."""


def can_show(show: Callable[[dict[str, Any]], object], document: dict[str, Any]) -> bool:
    """Return whether this document has the shape that `show` reads: another version, or another program, may say it."""
    try:
        show(document)
    except _MISSHAPEN:
        return False
    return True


def as_text(document: dict[str, Any], now: datetime | None = None, *, shows_all: bool = False) -> str:
    """Return one line for each thing, for pipes and scripts too; `shows_all`: every tag, not only a screenful."""
    now = now or datetime.now(UTC)
    lines = _head(document, now)
    lines += _problems(document.get("problems", []), now)
    lines += _alarms(document.get("alarms", []), now)
    if document.get("sources"):
        lines += ["", *source_lines(document["sources"], document.get("tag_models", []), shows_all=shows_all)]
        lines += [_machine(state, now) for state in document.get("operating_states", [])]
    if news := model_lines(document.get("model_updates") or {}):
        lines += ["", "MODELS", *(f"  {line}" for line in news)]
    lines += ["", *_delivery(document, now)]
    if last := document.get("last_status"):
        lines += ["", f"Last status, {ago(last['time'], now)}: {last['summary']}"]
    return "\n".join(lines).rstrip()


def folded(text: str, width: int) -> str:
    """Return the text with lines of at most `width` characters, broken between words and indented as they began.

    A word that is longer, like an address or a path, stays whole: it is there to be copied.
    """
    return "\n".join(part for line in text.splitlines() for part in _folded(line, width))


def _folded(line: str, width: int) -> list[str]:
    if len(line) <= width:
        return [line]
    (lead,) = _LEAD.match(line).groups()  # type: ignore[union-attr] # it matches every line
    indent = " " * (len(lead) if lead.strip() else len(lead) + 2)
    return textwrap.wrap(
        line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, replace_whitespace=False
    )


def _head(document: dict[str, Any], now: datetime) -> list[str]:
    gateway = document.get("gateway") or {}
    version = f" {gateway['version']}" if gateway.get("version") else ""
    who = f"  {gateway['id']} at {gateway['site']}" if gateway.get("id") else ""
    return [
        f"edge-agent{version}{who}  {now:%Y-%m-%d %H:%M:%S} UTC",
        f"{document['state'].upper()}: {document['summary']}",
    ]


def _problems(problems: list[dict[str, Any]], now: datetime) -> list[str]:
    lines = ["", "PROBLEMS"] if problems else []
    for problem in problems:
        since = f"  since {ago(problem['since'], now)}" if problem.get("since") else ""
        lines.append(f"  {problem['what']}{since}")
        if problem.get("do"):
            lines.append(f"    -> {problem['do']}")
    return lines


def _alarms(alarms: list[dict[str, Any]], now: datetime) -> list[str]:
    lines = ["", "ALARMS"] if alarms else []
    return lines + alarms_text(alarms, now)


def _machine(state: dict[str, Any], now: datetime) -> str:
    return f"{state['asset']:30} {state['state']:9} since {ago(state['since'], now)}: {state['detail']}"


def _delivery(document: dict[str, Any], now: datetime) -> list[str]:
    lines = []
    if outbox := document.get("outbox"):
        lines.append(f"OUTBOX   {_outbox(outbox, now)}")
        lines += [f"         {words}" for words in _free_space(outbox) + _given_up(outbox) + _file(outbox)]
    if central := document.get("central"):
        error = f": {central['error']}" if central["error"] else ""
        if central["state"] == "starting" and not error:
            error = ": the first answer is awaited"
        settled = f"; last answer {ago(central['last_settled'], now)}" if central["last_settled"] else ""
        lines.append(f"CENTRAL  {central['state']} since {ago(central['since'], now)}{error}{settled}")
        if outbox and outbox.get("appended_total") is not None:
            lines.append(
                f"         {outbox['accepted_total']} accepted, {outbox['duplicates_total']} duplicates, "
                f"{outbox['refused_total']} refused of {outbox['appended_total']} ever appended"
            )
        lines += [f"         {words}" for words in link_lines(central)]
        lines += [
            f"         {words}" for words in _proxy(central) + _route(central, now) + _no_place(central, outbox or {})
        ]
        lines += _took_over(central.get("took_over"), now)
        lines += _reconciled(central.get("reconcile") or {}, now)
    if gaps := document.get("gaps"):
        causes = ", ".join(f"{cause} {count}" for cause, count in sorted(gaps["by_cause"].items()))
        lines.append(f"GAPS     {gaps['total']} in this run{': ' + causes if causes else ''}")
        lines += _lost_in_the_outbox(gaps.get("outbox_records") or {})
    if names := (document.get("box") or {}).get("unexpected_files"):
        lines.append(f"STATE    files that are not the agent's, left alone: {', '.join(names)}")
    if (clock := document.get("clock")) is not None and clock["message"]:
        lines.append(f"CLOCK    {clock['message']}")
        lines += [f"         {clock['do']}"] if clock["do"] else []
    return lines


def link_lines(central: Mapping[str, Any]) -> list[str]:
    """Return what delivery costs and what is held back for it; nothing of an idle ordinary link."""
    link = central.get("link") or {}
    lines = [spent] if (spent := _spent_bytes((central.get("traffic") or {}).get("last_hour") or {})) else []
    if link.get("next_reading_s"):
        lines.append(f"readings are collected; the next go in {link['next_reading_s'] / 60:.0f} min")
    if link.get("is_quiet"):
        lines.append("quiet hours: readings wait")
    lines += [_budget(one) for one in link.get("budgets", [])]
    return lines


def _spent_bytes(hour: Mapping[str, Any]) -> str | None:
    if not hour.get("bytes"):
        return None
    each = f", {hour['bytes_per_record']:.0f} bytes a record" if hour.get("bytes_per_record") is not None else ""
    shares = ", ".join(f"{words} {hour[name]:.0%}" for name, words in _SHARES.items())
    is_whole = hour["seconds"] >= _NEARLY * _HOUR_S
    when = "in the last hour" if is_whole else f"in {hour['seconds'] / 60:.0f} min"
    return f"{bytes_in_words(hour['bytes'])} {when}{each}; {shares}"


def _budget(one: Mapping[str, Any]) -> str:
    used, limit, forecast = (bytes_in_words(one[name]) for name in ("used_bytes", "limit_bytes", "forecast_bytes"))
    until = one["period_end"][:16].replace("T", " ")
    return f"budget: {used} of {limit} used this {one['period']}, forecast {forecast}, until {until} UTC"


def _lost_in_the_outbox(records: dict[str, int | None]) -> list[str]:
    told = [f"{cause} {'unknown' if number is None else number}" for cause, number in sorted(records.items())]
    return [f"         records the outbox gave up or lost: {', '.join(told)}"] if told else []


def _proxy(central: dict[str, Any]) -> list[str]:
    proxy = central.get("proxy")
    return [f"through the proxy at {proxy['url']} ({proxy['from']})"] if proxy else []


def _route(central: dict[str, Any], now: datetime) -> list[str]:
    """Return the route in use, unless the configured address shows it by itself."""
    route, preferred = central.get("way"), central.get("way_instead_of")
    scheme, has_scheme, _ = (central.get("url") or "").partition("://")
    if route is None or (preferred is None and has_scheme and scheme.startswith(route.removesuffix("s"))):
        return []
    instead = f" instead of {preferred}" if preferred else ""
    since = f" since {ago(central['way_since'], now)}" if central.get("way_since") else ""
    verb = "delivers" if central["state"] in _DELIVERS else "tries it"
    return [f"{verb} over {route}{instead}{since}"]


def _no_place(central: dict[str, Any], outbox: dict[str, Any]) -> list[str]:
    """Events that wait for another central, and those that were given up for want of one."""
    waiting = outbox.get("event_records") if central.get("takes_events") is False else 0
    kept = (outbox.get("no_place") or 0) + (waiting or 0)
    if not kept or central.get("takes_events"):
        return []
    return [
        f"kept here: {counted(kept, 'event')} with no place at this central, which takes readings only",
        "with a central that takes events: they are sent by themselves (docs/PLATFORM.md)",
    ]


def _took_over(told: dict[str, Any] | None, now: datetime) -> list[str]:
    """Whose gateway id this box has now."""
    if not told:
        return []
    box = told["box"]
    where = f" at {box['site']}" if box["site"] else ""
    return [f"         took over {ago(told['since'], now)} from instance {box['instance'][:8]}{where} ({told['kind']})"]


def _reconciled(reconcile: dict[str, Any], now: datetime) -> list[str]:
    lines = []
    if reconcile.get("checked_at"):
        differing = counted(reconcile["differences"], "sensor hour")
        found = f"differences in {differing}" if reconcile["differences"] else "no difference"
        span = f"{counted(reconcile['hours'], 'hour')} of {counted(reconcile['sensors'], 'sensor')}"
        lines.append(f"         compared {ago(reconcile['checked_at'], now)}, {span}: {found}")
    if reconcile.get("error"):
        lines.append(f"         not compared: {reconcile['error']}")
    return lines


def _outbox(outbox: dict[str, Any], now: datetime) -> str:
    if "records" not in outbox:
        return f"cannot be read: {outbox.get('error') or 'the disk does not answer'}"
    oldest = f"; oldest from {ago(outbox['oldest'], now)}" if outbox.get("oldest") else ""
    limit = f" of {outbox['max_bytes'] / 1e6:.0f} MB" if outbox.get("max_bytes") else ""
    letters = f"; {counted(outbox['dead_letters'], 'dead letter')}" if outbox.get("dead_letters") else ""
    return (
        f"{counted(outbox['records'], 'record')} waiting, {outbox['file_bytes'] / 1e6:.1f} MB{limit}{oldest}{letters}"
    )


def _free_space(outbox: dict[str, Any]) -> list[str]:
    lines = []
    if outbox.get("room_days") is not None:
        lines.append(
            f"space for {outbox['room_days']} days at the present rate; "
            "then every second reading of the oldest is given up"
        )
    if outbox.get("limited_by") == "min_free_bytes":
        floor = f"{outbox['min_free_bytes'] / 1e6:.3g} MB stay free for others"
        lines.append(f"the disk ends it at {outbox['room_bytes'] / 1e6:.1f} MB: {floor} (outbox.min_free_bytes)")
    return lines


def _given_up(outbox: dict[str, Any]) -> list[str]:
    lines = []
    given_up = (outbox.get("thinned_total") or 0) + (outbox.get("evicted_total") or 0)
    if given_up:
        lines.append(
            f"{counted(given_up, 'reading')} given up for space, each reported to the central as part of a gap"
        )
    if outbox.get("has_ballast") is False:
        lines.append("no disk reserve: the disk has no space for the file that would pay for emptying the outbox")
    return lines


def _file(outbox: dict[str, Any]) -> list[str]:
    """What the file costs the flash, and what happened to it."""
    lines = []
    if (cost := outbox.get("written_bytes_per_record")) is not None:
        lines.append(f"{cost:.0f} bytes reach the disk per record (wear of a flash card)")
    if rescued := outbox.get("rescued_total"):
        lines.append(f"the file was removed or replaced {rescued} times while in use, and written again without loss")
    if removed := outbox.get("quarantine_removed_total"):
        lines.append(f"{removed} old files that had been put aside were removed for room")
    return lines
