"""What `edge-agent probe opcua` shows a technician: a screen of 100 columns."""

from __future__ import annotations

import textwrap
from typing import Any, Final

from cloud_sync.host.printable import printable
from edge_agent.cli.probe_output import for_the_file
from edge_agent.status.words import counted

_LABEL: Final = 13
_WIDTH: Final = 100
_VALUE: Final = 20
"""The longest 64-bit number: one that is cut would be another one."""
_TYPE: Final = 9
_STATUS: Final = 17
_TIME: Final = 12
_LIMITS: Final = {
    "max_monitored_items_per_call": "monitored items per call",
    "max_monitored_items_per_subscription": "per subscription",
    "max_monitored_items": "monitored items in all",
    "max_nodes_per_read": "nodes per read",
    "max_nodes_per_browse": "nodes per browse",
    "max_sessions": "sessions",
    "max_subscriptions_per_session": "subscriptions per session",
}


def show(document: dict[str, Any]) -> str:
    """Return the document for a person."""
    lines = [f"{document['endpoint']}", ""]
    lines += _labelled("SERVER", _server(document))
    lines += _labelled("CLOCK", _clock(document))
    limits = ", ".join(f"{n} {_LIMITS[name]}" for name, n in document["limits"].items())
    lines += _labelled("LIMITS", _wrapped(limits))
    lines += _labelled("NAMESPACES", [f"{index} {uri}" for index, uri in enumerate(document["namespaces"])])
    lines += _labelled("ENDPOINTS", [_endpoint(one) for one in document["endpoints"]])
    lines += _labelled("CERTIFICATE", _certificate(document["certificate"]))
    if document["trusted_file"]:
        lines += _labelled("CONFIRMED", [f"stored in {document['trusted_file']}"])
    if document["error"]:
        lines += ["", *_labelled("NO SESSION", [*_wrapped(document["error"]), *_wrapped(document["hint"] or "", "  ")])]
    else:
        lines += ["", *_nodes(document)]
    return "\n".join(printable(line, limit=1_000) if "\n" not in line else line for line in lines)


def _labelled(label: str, lines: list[str]) -> list[str]:
    given = [line for line in lines if line]
    return [f"{label if number == 0 else '':<{_LABEL}}{line}" for number, line in enumerate(given)]


def _server(document: dict[str, Any]) -> list[str]:
    product = document["product"]
    name = " ".join(product[part] for part in ("manufacturer", "product", "version") if part in product)
    since = f" since {document['start_time'][:19].replace('T', ' ')} UTC" if document["start_time"] else ""
    state = f"{document['state'].lower()}{since}" if document["state"] else ""
    first = ", ".join(part for part in (name or document["application_name"], state) if part)
    return [*_wrapped(first), document["application_uri"] or ""]


def _clock(document: dict[str, Any]) -> list[str]:
    skew = document["time_skew_s"]
    if skew is None:
        return []
    where = "ahead of" if skew > 0 else "behind"
    return [f"{abs(skew):.2f} s {where} this gateway's; it answers in {document['answer_s'] * 1000:.0f} ms"]


def _endpoint(one: dict[str, Any]) -> str:
    security = f"{one['security']} {one['security_mode']}" if one["security"] != "none" else "none"
    return f"{security:<40}{', '.join(one['users'])}"


def _certificate(certificate: dict[str, Any] | None) -> list[str]:
    if certificate is None:
        return ["none"]
    signed = "by itself" if certificate["issuer"] == certificate["subject"] else f"by {certificate['issuer']}"
    hosts = ", ".join(certificate["hosts"]) or "no host"
    verdicts = [
        line
        for one in certificate["verdicts"]
        for line in (*_wrapped(one["what"], "! ", "  "), *_wrapped(one["do"], "  "))
    ]
    confirmed = f" ({certificate['confirmed']})" if certificate["confirmed"] else ""
    return [
        f"{certificate['subject']}, signed {signed}",
        f"SHA-256 {certificate['fingerprint']}",
        f"SHA-1   {certificate['thumbprint']}",
        f"valid {certificate['not_before'][:10]} to {certificate['not_after'][:10]}, {certificate['key']}",
        f"made out to {hosts}; {certificate['application_uri'] or 'no application URI'}",
        *(verdicts or [f"trusted{confirmed}"]),
    ]


def _wrapped(text: str, first: str = "", others: str | None = None) -> list[str]:
    """Return a text in lines that fit beside the labels; a fingerprint is never broken."""
    return textwrap.wrap(
        printable(text, limit=1_000),
        _WIDTH - _LABEL,
        initial_indent=first,
        subsequent_indent=first if others is None else others,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _nodes(document: dict[str, Any]) -> list[str]:
    nodes = document["nodes"]
    how = document["security"] + (f", {document['security_mode']}" if document["security_mode"] else "")
    lines = [f"{counted(len(nodes), 'variable')} (security {how})"]
    if nodes:
        lines.append(f"{'VALUE':>{_VALUE}} {'TYPE':<{_TYPE}} {'STATUS':<{_STATUS}} {'SOURCE TIME':<{_TIME}} PATH")
    lines += [_node(node, document["time"]) for node in nodes]
    if document["cut"]:
        lines.append(document["cut"])
    unusable = sum(not node["is_usable"] for node in nodes)
    if unusable:
        lines.append(
            f"no single number (parse = true, index): {counted(unusable, 'variable')}, not among the lines below"
        )
    if not document["toml"]:
        return [*lines, "", "no number to read: look deeper (--depth), or as a user who may see more (--user)"]
    return [*lines, *for_the_file(document["toml"], "keep what you need; give units"), *_advice(document)]


def _node(node: dict[str, Any], now: str) -> str:
    value = "-" if node["value"] is None else str(node["value"])
    if isinstance(node["value"], float):
        value = f"{node['value']:.7g}"
    shown = f"{value}{' ' + node['unit'] if node['unit'] else ''}"
    status = node["status_code"].partition(" ")[2] or node["status_code"]
    kind, time = (node["type"] or "-")[:_TYPE], _moment(node["source_time"], now)
    head = f"{_fitted(shown):>{_VALUE}} {kind:<{_TYPE}} {status[:_STATUS]:<{_STATUS}} {time:<{_TIME}}"
    return f"{head} {_shortened(node['path'], _WIDTH - len(head) - 1)}"


def _fitted(shown: str) -> str:
    return shown if len(shown) <= _VALUE else f"{shown[: _VALUE - 3]}..."


def _moment(time: str | None, now: str) -> str:
    """Return the time of day, or the day when it is another one than today."""
    if time is None:
        return ""
    return time[11:23] if time[:10] == now[:10] else time[:10]


def _shortened(path: str, most: int) -> str:
    return path if len(path) <= most else f"...{path[-(most - 3) :]}"


def _advice(document: dict[str, Any]) -> list[str]:
    """Return what would make this safer, when the server offers more than was used."""
    is_secured = any(one["security"] != "none" for one in document["endpoints"])
    if document["security"] != "none" or not is_secured:
        return []
    return ["", "# the server offers encryption: edge-agent probe opcua " + f"{document['endpoint']} --trust"]
