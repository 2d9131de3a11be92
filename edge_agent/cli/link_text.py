"""What delivery costs and what is held back for it, as lines of `status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from edge_agent.status.fields import bytes_in_words

_HOUR_S: Final = 3_600.0
_NEARLY: Final = 0.95
_SHARES: Final = {"payload_share": "payload", "headers_share": "headers", "tls_share": "TLS"}


def link_lines(central: Mapping[str, Any]) -> list[str]:
    """Return the lines for a person; none for an ordinary link that has carried nothing yet."""
    link = central.get("link") or {}
    lines = [spent] if (spent := _spent((central.get("traffic") or {}).get("last_hour") or {})) else []
    if link.get("next_reading_s"):
        lines.append(f"readings are collected; the next go in {link['next_reading_s'] / 60:.0f} min")
    if link.get("is_quiet"):
        lines.append("quiet hours: readings wait")
    lines += [_budget(one) for one in link.get("budgets", [])]
    return lines


def _spent(hour: Mapping[str, Any]) -> str | None:
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
