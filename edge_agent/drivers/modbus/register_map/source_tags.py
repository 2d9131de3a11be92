"""The tags of a source before they are checked: those of register maps beside its own, in the source's order."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from edge_agent.drivers.modbus.data.types import ORDERS, Order
from edge_agent.drivers.modbus.register_map.address_column import Counting
from edge_agent.drivers.modbus.register_map.rows import MapReading, read_register_map


def with_all_tags(source: dict[str, Any]) -> dict[str, Any]:
    """Return the source with its maps read into its poll groups, and its order on each number that names none.

    What is no table, or no path, stays as it is for the settings to refuse. Raises ValueError of a map's mistakes.
    """
    order = source.get("order", "ABCD")
    groups = list(source["poll_groups"]) if isinstance(source.get("poll_groups"), list | tuple) else []
    if _is_path(source.get("register_map")):
        groups.append({"register_map": source["register_map"]})
    if not groups or order not in ORDERS:
        return source
    return {**source, "poll_groups": [_group(group, source, order) for group in groups]}


def _group(group: object, source: dict[str, Any], order: Order) -> object:
    if not isinstance(group, dict):
        return group
    given = group.get("tags", ())
    if not isinstance(given, list | tuple):
        return group
    tags = [_ordered(tag, order) for tag in given]
    if _is_path(group.get("register_map")):
        asset = str(group.get("asset") or source.get("name") or "device")
        counting = group.get("map_addresses")
        known = counting if counting in ("from_0", "from_1", "manual") else None
        reading = MapReading(asset, order, cast("Counting | None", known))
        tags += read_register_map(Path(group["register_map"]), reading)
    return {**group, "tags": tags} if tags or "tags" in group else group


def _ordered(tag: object, order: Order) -> object:
    if not isinstance(tag, dict) or order == "ABCD" or "order" in tag or tag.get("data_type") == "string":
        return tag
    return {**tag, "order": order}


def _is_path(value: object) -> bool:
    return isinstance(value, str | Path)
