"""What `edge-agent probe modbus` shows a person. Pure: from the document that --json prints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from cloud_sync.host.printable import printable
from edge_agent.cli.probe_output import for_the_file
from edge_agent.drivers.modbus.data.types import ORDERS

_MARKS: Final = {"plausible": "+", "possible": " ", "implausible": "-", "no value": "-"}
_MAX_RANGES: Final = 100


def show(document: dict[str, Any]) -> str:
    """Return the text: registers, readings side by side, the likeliest, lines for the file; then the scan."""
    lines = [f"unit {document['unit']} at {document['place']}"]
    if "readings" in document:
        lines += _place(document)
    if "scan" in document:
        lines += _scan(document["scan"])
    return "\n".join(lines)


def _place(document: dict[str, Any]) -> list[str]:
    lines = ["", f"{document['table'].upper():>10} {'MANUAL':>7} {'HEX':>7} {'DECIMAL':>8}"]
    for each in document["registers"]:
        hexadecimal = each["hex"] or ("-" if each["value"] is None else "")
        value = "refused" if each["value"] is None else each["value"]
        lines.append(f"{each['address']:>10} {each['manual_number']:>7} {hexadecimal:>7} {value:>8}")
    bases = dict.fromkeys(reading["address"] for reading in document["readings"])
    best = document["best"]
    for base in bases:
        readings = [reading for reading in document["readings"] if reading["address"] == base]
        note = "as given" if base == document["address"] else "if the manual counts from 1"
        lines += ["", f"address {base}, {note}:", *_readings(readings, best)]
    lines += ["", "+ plausible, - implausible; a reading without either is possible"]
    if best is None:
        return [*lines, "no reading stands out: let the value be another than zero, or read more places with --count"]
    order = (
        f" {best['order']}" if best["order"] != "ABCD" or best["data_type"] not in ("uint16", "int16", "bool") else ""
    )
    what = f"likeliest *: {best['data_type']}{order} at {document['table']} {best['address']}: {_value(best)}"
    what += f" ({best['why']})" if best["why"] else ""
    return [*lines, what, *for_the_file(document["toml"], "give names and units; more tags go below the last lines")]


def _readings(readings: Iterable[dict[str, Any]], best: dict[str, Any] | None) -> list[str]:
    by_type: dict[str, dict[str, dict[str, Any]]] = {}
    for reading in readings:
        by_type.setdefault(reading["data_type"], {})[reading["order"]] = reading
    lines = [f"{'TYPE':7}" + "".join(f" {order:>22}" for order in ORDERS)]
    for data_type, orders in by_type.items():
        cells = "".join(f" {_cell(orders.get(order), best):>22}" for order in ORDERS)
        lines.append(f"{data_type:7}{cells}".rstrip())
    return lines


def _cell(reading: dict[str, Any] | None, best: dict[str, Any] | None) -> str:
    if reading is None:
        return ""
    return _value(reading) + (" *" if reading == best else f" {_MARKS[reading['verdict']]}")


def _value(reading: dict[str, Any]) -> str:
    value = reading["value"]
    if isinstance(value, str):
        return printable(f'"{value}"', limit=20)
    if value is None:
        return "none"
    return str(value) if isinstance(value, int) else f"{value:.8g}"


def _scan(scan: dict[str, Any]) -> list[str]:
    lines = ["", f"readable ({scan['requests_total']} requests):"]
    shown = scan["ranges"][:_MAX_RANGES]
    lines += [f"  {one['table']:9} {one['first']:>6} to {one['last']}" for one in shown] or ["  nothing"]
    if len(scan["ranges"]) > len(shown):
        lines.append(f"  ... and {len(scan['ranges']) - len(shown)} more: --json lists all")
    if scan["units"]:
        lines.append(f"units that answer: {', '.join(map(str, scan['units']))}")
    lines += [f"not looked at: {left}" for left in scan["left"]]
    if shown:
        lines += ["", f"to see what is there: --table {shown[0]['table']} --address {shown[0]['first']}"]
    return lines
