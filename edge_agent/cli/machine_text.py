"""What `status` and `models explain` say of machines, as text: explanations of scores, zones of severity, fault lines.

Imports nothing heavy, and takes a document that an older agent has left: its explanations know less.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from edge_agent.status.words import ago, counted

MOST_SIGMAS: Final = 999.0
"""Where an explanation ends: a feature that never varied, and does now."""

WHOSE: Final = {
    "machine": "usual is this machine's own",
    "training": "usual is that of the training data: this machine's own is not learned yet",
}

_NAMED_CODES: Final = 4


def alarms_text(alarms: Sequence[dict[str, Any]], now: datetime) -> list[str]:
    """Return lines for every alarm; a fault line only once, below the model's alarm where it explains one."""
    explained = {alarm["subject"] for alarm in alarms if alarm.get("model") is not None}
    shown = [a for a in alarms if not (a.get("kind") == "fault_line" and a["subject"] in explained)]
    return [line for alarm in shown for line in alarm_lines(alarm, now)]


def alarm_lines(alarm: dict[str, Any], now: datetime) -> list[str]:
    """Return one alarm: where, since when, how far, and why."""
    head = f"  {alarm['subject']}  since {ago(alarm['since'], now)}"
    if words := alarm.get("words"):
        return [f"{head}  {words}"]
    score = "-" if alarm["score"] is None else f"{alarm['score']:.3f}"
    lines = [f"{head}  score {score}, limit {alarm['threshold']:.3f}"]
    for number, reason in enumerate(alarm["pushed_by"]):
        lines.append(f"    {'pushed by' if number == 0 else '         '} {reason_in_words(reason)}")
    return lines + [f"    {fault_line_in_words(line, now)}" for line in alarm.get("fault_lines", ())]


def reason_in_words(reason: dict[str, Any]) -> str:
    """Return 'rms 0.158 (usually 0.077, +4 sigma; 0.09 of the score)'."""
    is_new = abs(reason["z"]) >= MOST_SIGMAS
    far = "never varied before" if is_new else f"{reason['z']:+.0f} sigma"
    usual = "" if reason.get("usual") is None else f"usually {reason['usual']:.4g}, "
    push = reason.get("push")
    part = "" if push is None or push <= 0 else f"; {push:.2g} of the score"
    return f"{reason['feature']} {reason['value']:.4g} ({usual}{far}{part})"


def fault_line_in_words(line: dict[str, Any], now: datetime) -> str:
    """Return 'outer race: BPFO 236 Hz stands 26 dB above its background since 11:59:10 (50 s ago)'."""
    return f"{line['words']} since {ago(line['since'], now)}"


def indicator_lines(indicators: Sequence[dict[str, Any]]) -> list[str]:
    """Return a line for each indicator of each point."""
    return [
        f"{'  ' + indicator['point'] + ' ' + indicator['name']:30} {_state(indicator):9} {_newest(indicator)}".rstrip()
        for indicator in indicators
    ]


def answer_lines(source: dict[str, Any]) -> list[str]:
    """Return a line of how a device answers that is asked; nothing of a source that is not asked, or not yet."""
    requests = source.get("requests_total")
    if not requests:
        return []
    words = [counted(requests, "request")]
    if source["latency_p50_ms"] is not None:
        words.append(f"answers in {_took(source['latency_p50_ms'])}, 99 of 100 in {_took(source['latency_p99_ms'])}")
    codes = _codes(source["exceptions_by_code"])
    longest = ", ".join(f"{table} {count}" for table, count in source["longest_reads_learnt"].items())
    words += [counted(source["timeouts_total"], "time-out")] if source["timeouts_total"] else []
    words += [counted(source["strange_answers_total"], "strange answer")] if source["strange_answers_total"] else []
    words += [f"exceptions {codes}"] if codes else []
    words += [counted(source["slow_scans_total"], "slow scan")] if source["slow_scans_total"] else []
    words += [f"longest read: {longest}"] if longest else []
    return [f"    {'; '.join(words)}"]


def _codes(counts: dict[str, int]) -> str:
    """Return the exceptions by their codes, the most frequent ones; garbage can have any."""
    often = sorted(counts, key=lambda code: -counts[code])[:_NAMED_CODES]
    words = [f"code {code}: {counts[code]}" for code in counts if code in often]
    others = sum(counts.values()) - sum(counts[code] for code in often)
    return ", ".join(words + ([f"other codes: {others}"] if others else []))


def _took(ms: float) -> str:
    return f"{ms:.3g} ms" if ms < 1000 else f"{ms / 1e3:.3g} s"


def _state(indicator: dict[str, Any]) -> str:
    if indicator["withheld"]:
        return "withheld"
    if any(line["since"] is not None for line in indicator["fault_lines"]):
        return "fault"
    return f"zone {indicator['zone']}" if indicator["zone"] else ""


def _newest(indicator: dict[str, Any]) -> str:
    if indicator["withheld"]:
        return str(indicator["withheld"])
    if not indicator["features"]:
        return "not reported yet"
    shown = [f"{name} {value:.4g}" for name, value in indicator["features"].items()]
    more = f", {len(shown) - 4} more" if len(shown) > 4 else ""
    return f"{', '.join(shown[:4])}{more}"
