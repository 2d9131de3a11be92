"""`edge-agent probe mqtt`: listen to a broker, and say which values are there."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from cloud_sync.host.printable import printable
from edge_agent.cli.probe_output import PROBED, answer, checked, for_the_file, progress, site_lines
from edge_agent.drivers.mqtt.probe import MOST_PLACES, BrokerSurvey, BrokerValue, listen, tags_of
from edge_agent.drivers.mqtt.settings import MqttSettings
from edge_agent.status.words import counted

_SHOWN: Final = 200
_OTHERS_SHOWN: Final = 20


def probe_mqtt(
    address: str,
    topics: tuple[str, ...],
    *,
    seconds: float,
    username: str | None,
    password_file: Path | None,
    ca_file: Path | None,
    plaintext: bool,
    protocol: str,
    as_json: bool,
) -> None:
    """Listen for `seconds`, and print topics, values and lines for the site's file. Raise EdgeError."""
    given = {
        "username": username, "password_file": password_file, "ca_file": ca_file, "allow_plaintext": plaintext,
        "protocol": protocol,
    }  # fmt: skip

    def probe() -> dict[str, Any]:
        settings = _settings(address, {name: value for name, value in given.items() if value})
        progress(f"listening to {settings.host}:{settings.port} for {seconds:g} s ...")
        return _document(settings, asyncio.run(listen(settings, topics, seconds)), seconds)

    answer(probe, _text, as_json=as_json)


def _settings(address: str, given: dict[str, Any]) -> MqttSettings:
    host, _, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "")
    default = 1883 if given.get("allow_plaintext") else 8883
    document = {
        "type": "mqtt", "name": PROBED, "host": host, "port": port or default,
        "tags": [{"name": "probe.value", "unit": "", "topic": "probe"}], **given,
    }  # fmt: skip
    return checked(MqttSettings, document, hint="for example broker.plant:8883")


def _document(settings: MqttSettings, heard: BrokerSurvey, seconds: float) -> dict[str, Any]:
    tags = tags_of(heard)
    source = settings.model_dump(
        mode="json", include={"type", "name", "host", "port", "username", "password_file", "ca_file"}
    ) | {"name": "broker"}
    if settings.allow_plaintext:
        source["allow_plaintext"] = True
    if settings.protocol != "5":
        source["protocol"] = settings.protocol
    return {
        "host": settings.host,
        "port": settings.port,
        "seconds": seconds,
        "messages_total": heard.messages_total,
        "values": [_value(place, tag["name"]) for place, tag in zip(heard.places.values(), tags, strict=True)],
        "topics_without_numbers": [{"topic": topic, "why": why} for topic, why in heard.other_topics.items()],
        "left_out_total": heard.left_out_total,
        "unknown_aliases_total": heard.unknown_aliases_total,
        "toml": site_lines(source, "tags", tags) if tags else "",
    }


def _value(place: BrokerValue, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "topic": None if place.is_sparkplug else place.topic,
        "field": None if place.is_sparkplug else place.field,
        "sparkplug": place.topic if place.is_sparkplug else None,
        "metric": place.field if place.is_sparkplug else None,
        "messages": place.count,
        "newest": place.newest,
        "is_retained_only": place.is_retained_only,
        "time_field": place.time_field,
    }


def _text(document: dict[str, Any]) -> str:
    values = document["values"]
    head = (
        f"{document['host']}:{document['port']}: {counted(document['messages_total'], 'message')} in"
        f" {document['seconds']:g} s, {counted(len(values), 'value')}"
    )
    lines = [head, "", f"{'VALUE':>14} {'MESSAGES':>9}  WHERE"]
    for value in values[:_SHOWN]:
        where = value["topic"] if value["topic"] is not None else f"{value['sparkplug']}  {value['metric']}"
        inside = f"  {value['field']}" if value["field"] else ""
        retained = "  (retained: of unknown age)" if value["is_retained_only"] else ""
        lines.append(printable(f"{value['newest']:>14.6g} {value['messages']:>9}  {where}{inside}{retained}"))
    more = len(values) - _SHOWN
    lines += [f"... and {counted(more, 'value')} more: --json lists all"] if more > 0 else []
    if document["left_out_total"]:
        lines.append(f"beyond {MOST_PLACES} values nothing is listed: choose topics with --topic")
    if document["unknown_aliases_total"]:
        lines.append("Sparkplug metrics without a name: no birth certificate came while we listened")
    others = document["topics_without_numbers"]
    lines += [printable(f"{'-':>14} {'':>9}  {each['topic']}: {each['why']}") for each in others[:_OTHERS_SHOWN]]
    more = len(others) - _OTHERS_SHOWN
    lines += [f"... and {counted(more, 'topic')} without a number more: --json lists them"] if more > 0 else []
    if not values:
        return "\n".join(
            [*lines, "", "nothing to read: listen longer (--seconds), or check --topic and the user's rights"]
        )
    return "\n".join([*lines, *for_the_file(document["toml"], "keep what you need; give units")])
