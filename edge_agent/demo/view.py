"""The demo's live view: what is measured, scores and alarms, the outbox, what the central has committed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from edge_agent.demo.stack import Snapshot
from edge_agent.status.words import counted

BAR_WIDTH: Final = 24
NARROWEST_BAR: Final = 6


def render(snapshot: Snapshot, elapsed_s: float) -> Group:
    """Return one screen, about 40 lines of 100 characters."""
    gateway = snapshot.gateway
    if gateway is None:
        return Group(Text(f"the gateway is starting ({elapsed_s:.0f} s): models are proven on their golden vectors"))
    parts: list[Any] = [_waveforms(gateway), _tags(gateway), _alarms(gateway), _delivery(gateway, snapshot.central)]
    if gateway["problems"]:
        parts.insert(2, _problems(gateway))
    title = f"Smart Maintenance Edge demo, {elapsed_s:.0f} s   (Ctrl-C stops everything)"
    return Group(Text(title, style="bold"), *parts)


def as_line(snapshot: Snapshot, elapsed_s: float) -> str:
    """Return the same in one line, for logs and pipes."""
    if snapshot.gateway is None:
        return f"{elapsed_s:5.0f} s  the gateway is starting"
    gateway, central = snapshot.gateway, snapshot.central or {}
    raised = Counter(alarm["subject"] for alarm in gateway["alarms"])  # a model and an indicator may both raise one
    alarms = ", ".join(subject + (f" ({n})" if n > 1 else "") for subject, n in raised.items()) or "none"
    return (
        f"{elapsed_s:5.0f} s  {windows_scored(gateway)} windows scored, {gateway['outbox'].get('records', 0)} waiting, "
        f"{central.get('rows', 0)} rows committed, {counted(gateway['gaps']['total'], 'gap')}, alarms: {alarms}"
    )


def windows_scored(gateway: dict[str, Any]) -> int:
    """Count windows and tag snapshots scored since the gateway's start."""
    channels = [channel for source in gateway["sources"] for channel in source.get("channels", [])]
    return sum(item["scored_total"] for item in [*channels, *gateway["tag_models"]])


def _waveforms(gateway: dict[str, Any]) -> Panel:
    table = Table(box=None, expand=True, pad_edge=False)
    for name, justify in (("source", "left"), ("point", "left"), ("windows", "right")):
        table.add_column(name, justify=justify)  # type: ignore[arg-type]
    table.add_column("score", justify="right")
    table.add_column("limit", justify="right")
    table.add_column("")
    table.add_column("verdict")
    for source in gateway["sources"]:
        for channel in source.get("channels", []):
            table.add_row(source["name"], channel["point"], str(channel["windows_total"]), *_score_cells(channel))
    for model in gateway["tag_models"]:
        table.add_row(model["asset"], model["name"], str(model["scored_total"]), *_score_cells(model))
    return Panel(table, title="scored on this box", title_align="left")


def _score_cells(item: dict[str, Any]) -> tuple[str, str, Bar | Text, Text]:
    if item["score"] is None:
        return "-", f"{item['threshold']:.3f}", Text(""), Text("unknown")
    style = "red" if item["is_alarm"] else "yellow" if item["verdict"] == "anomalous" else "green"
    verdict = "ALARM" if item["is_alarm"] else item["verdict"]
    return (
        f"{item['score']:.3f}",
        f"{item['threshold']:.3f}",
        Bar(item["score"], item["threshold"], style),
        Text(verdict, style=style),
    )


@dataclass(frozen=True, slots=True)
class Bar:
    """Filled up to the score; the mark stands at the limit. The scale ends at 1, where all three models do."""

    score: float
    threshold: float
    style: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(NARROWEST_BAR, BAR_WIDTH)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, BAR_WIDTH)
        filled = round(min(max(self.score, 0.0), 1.0) * width)
        mark = min(round(self.threshold * width), width - 1)
        cells = ["█" if i < filled else "·" for i in range(width)]
        cells[mark] = "│"
        yield Text("".join(cells), style=self.style)


def _tags(gateway: dict[str, Any]) -> Panel:
    table = Table(box=None, expand=True, pad_edge=False, show_header=False)
    cells = [
        f"{tag['name']} {'bad' if tag['value'] is None else format(tag['value'], '.5g')} {tag['unit']}"
        + ("" if tag["quality"] == "good" else f" ({tag['quality']})")
        for source in gateway["sources"]
        for tag in source.get("tags", [])
    ]
    for _ in range(2):
        table.add_column(ratio=1)
    for start in range(0, len(cells), 2):
        table.add_row(*cells[start : start + 2])
    return Panel(table, title="tags over Modbus TCP and OPC UA", title_align="left")


def _problems(gateway: dict[str, Any]) -> Panel:
    lines = [
        f"{problem['what']}" + (f"\n  -> {problem['do']}" if problem["do"] else "") for problem in gateway["problems"]
    ]
    return Panel("\n".join(lines), title="problems", title_align="left", border_style="yellow")


def _alarms(gateway: dict[str, Any]) -> Panel:
    lines = []
    for alarm in gateway["alarms"]:
        pushed = ", ".join(f"{p['feature']} {p['value']:.3g} ({p['z']:+.0f} sigma)" for p in alarm["pushed_by"])
        why = alarm["words"] or pushed
        lines.append(f"{alarm['subject']}  since {alarm['since'][11:19]} UTC  {why}")
    style = "red" if lines else "green"
    return Panel("\n".join(lines) or "none", title="alarms", title_align="left", border_style=style)


def _delivery(gateway: dict[str, Any], central: dict[str, Any] | None) -> Panel:
    outbox = gateway["outbox"]
    rows = "no answer" if central is None else f"{central.get('rows', 0)} rows committed"
    gaps = ", ".join(f"{cause} {count}" for cause, count in sorted(gateway["gaps"]["by_cause"].items())) or "none"
    text = (
        f"outbox   {counted(outbox.get('records', 0), 'record')} waiting, {outbox['appended_total']} ever appended, "
        f"{(outbox.get('file_bytes') or 0) / 1e6:.1f} MB on disk\n"
        f"central  {gateway['central']['state']}, {rows}; {outbox['accepted_total']} accepted, "
        f"{outbox['duplicates_total']} duplicates, {outbox['refused_total']} refused\n"
        f"gaps     {gaps}"
    )
    return Panel(text, title="outbox and central", title_align="left")
