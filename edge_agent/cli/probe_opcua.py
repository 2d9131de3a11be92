"""`edge-agent probe opcua`: what a server offers, who it is, what it has, and the lines for the site's file."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any, Final

import typer
from pydantic import ValidationError

from cloud_sync.host.printable import is_printable, printable, printable_tree
from edge_agent.cli.probe_opcua_text import show
from edge_agent.cli.probe_opcua_trust import confirm_server, make_certificate, trust_folder
from edge_agent.cli.probe_output import EXIT_NOT_PROBED, answer, options_in_words, progress, site_lines
from edge_agent.core.quality import Quality
from edge_agent.drivers.opcua.address_space.walk import Variable, node_id_text
from edge_agent.drivers.opcua.decoding.mapping import quality_of
from edge_agent.drivers.opcua.decoding.values import code_in_words, status_code
from edge_agent.drivers.opcua.probe import Offered, ServerLook, ask, judged, look, probe_settings
from edge_agent.drivers.opcua.security.certificates import Certificate
from edge_agent.drivers.opcua.security.identity import rules_of
from edge_agent.drivers.opcua.security.offers import safest
from edge_agent.drivers.opcua.settings import OpcUaNodeSettings, OpcUaSettings
from edge_agent.errors import ConfigurationError, EdgeError

_NOT_A_NAME: Final = re.compile(r"[^a-z0-9_-]+")
_UNIT_MOST: Final = 20
_NAME_MOST: Final = 60
_TEXT_MOST: Final = 80


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line; `given` are settings of the source, None where nothing was said."""

    endpoint: str
    given: dict[str, Any]
    config: Path | None = None
    trust_dir: Path | None = None
    is_trusting: bool = False
    glob: str = "*"
    depth: int = 8
    most: int = 200


def probe_opcua(request: Request, *, as_json: bool) -> None:
    """Look at a server and print what was found; exit with 1 when no session was opened. Raise EdgeError."""
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)  # what it complains of is said by us, once
    failed: list[bool] = []

    def probe() -> dict[str, Any]:
        document = _probe(request)
        failed.append(document["error"] is not None)
        return document

    answer(probe, show, as_json=as_json)
    if any(failed):
        raise typer.Exit(EXIT_NOT_PROBED)


def make_own_certificate(config: Path | None, trust_dir: Path | None, *, as_json: bool) -> None:
    """Make this gateway's certificate and say what to do with it. Raise EdgeError."""

    def make() -> dict[str, Any]:
        pair = make_certificate(trust_dir or trust_folder(config, None))
        return {"file": str(pair.file), **_certificate(pair.certificate)}

    def words(document: dict[str, Any]) -> str:
        return (
            f"{document['file']}: valid until {document['not_after'][:10]}, {document['application_uri']}\n"
            f"SHA-256 {document['fingerprint']}\nSHA-1   {document['thumbprint']}\n"
            "  take it to the server's trusted certificates, or trust it there once it stands among the rejected ones"
        )

    answer(make, words, as_json=as_json)


def _probe(request: Request) -> dict[str, Any]:
    _settings(request, allow_plaintext=True)  # what is wrong with the options is said before anybody is asked
    folder = request.trust_dir or trust_folder(request.config, request.endpoint)
    asked = _settings(request, trust_dir=folder, security="none", security_mode=None, allow_plaintext=True)
    progress(f"asking {asked.endpoint} ...")
    offered = asyncio.run(ask(asked))
    document = _of_offers(request, offered)
    try:
        trusted = None
        if request.is_trusting:
            trusted = confirm_server(offered, rules_of(asked), fingerprint=asked.server_fingerprint)
            offered = judged(offered.offers, rules_of(asked))
            document = _of_offers(request, offered)
        document["trusted_file"] = None if trusted is None else str(trusted)
        settings = _chosen(request, offered, folder)
        seen = asyncio.run(look(settings, glob=request.glob, depth=request.depth, most=request.most))
    except EdgeError as exc:
        return printable_document({**document, "error": exc.message, "hint": exc.hint})
    return printable_document({**document, **_of_session(settings, seen)})


def printable_document(document: dict[str, Any]) -> dict[str, Any]:
    """Return it with the server's texts made printable; what the lines for the file hold was chosen to be."""
    toml = document["toml"]
    shown: dict[str, Any] = printable_tree({**document, "toml": ""}, limit=1_000)
    return {**shown, "toml": toml}


def _settings(request: Request, **more: Any) -> OpcUaSettings:
    with options_in_words("an endpoint is like opc.tcp://10.0.4.20:4840; see --help"):
        return probe_settings(request.endpoint, **{**request.given, **more})


def _chosen(request: Request, offered: Offered, folder: Path) -> OpcUaSettings:
    """Return the settings of the session: as asked for; else the safest with a user or trust, none to look around."""
    given = {name: value for name, value in request.given.items() if value is not None}
    if "security" in given:
        return _settings(request, trust_dir=folder)
    best = safest(offered.offers)
    wants_security = request.is_trusting or not offered.verdicts or _signs_in(given)
    offers_none = any(offer.security == "none" for offer in offered.offers)
    if best is not None and (wants_security or not offers_none) and not given.get("allow_plaintext"):
        return _settings(request, trust_dir=folder, security=best.security, security_mode=best.mode)
    if _signs_in(given) and not given.get("allow_plaintext"):
        raise ConfigurationError(
            f"{request.endpoint} offers no security: a password would go unencrypted, and was not sent",
            hint="switch on a security policy on the server; or --allow-plaintext",
        )
    return _settings(request, trust_dir=folder, security="none", allow_plaintext=True)


def _signs_in(given: dict[str, Any]) -> bool:
    return "username" in given or "user_certificate_file" in given


def _of_offers(request: Request, offered: Offered) -> dict[str, Any]:
    first = offered.offers[0] if offered.offers else None
    certificate = None
    if offered.certificate is not None:
        certificate = {
            **_certificate(offered.certificate),
            "is_trusted": not offered.verdicts,
            "confirmed": offered.confirmed or None,
            "verdicts": [{"what": one.what, "do": one.do} for one in offered.verdicts],
        }
    nothing = dict.fromkeys(("security", "security_mode", "state", "start_time", "time_skew_s", "answer_s", "cut"))
    return {
        "endpoint": request.endpoint,
        "time": _time(datetime.now(UTC)),
        "error": None,
        "hint": None,
        "application_name": first.application_name if first else None,
        "application_uri": first.application_uri if first else None,
        "endpoints": [
            {"url": one.url, "security": one.security, "security_mode": one.mode, "users": list(one.users)}
            for one in offered.offers
        ],
        "certificate": certificate,
        "trusted_file": None,
        **nothing,
        "product": {},
        "limits": {},
        "namespaces": [],
        "nodes": [],
        "toml": "",
    }


def _certificate(certificate: Certificate) -> dict[str, Any]:
    return {
        "fingerprint": certificate.fingerprint,
        "thumbprint": certificate.thumbprint,
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": _time(certificate.not_before),
        "not_after": _time(certificate.not_after),
        "key": certificate.key,
        "hosts": list(certificate.hosts),
        "application_uri": certificate.application_uri,
    }


def _of_session(settings: OpcUaSettings, seen: ServerLook) -> dict[str, Any]:
    facts = seen.facts
    names = tag_names([variable.names for variable in seen.found.variables], settings.name)
    nodes = [
        _node(variable, name, facts.namespaces) for variable, name in zip(seen.found.variables, names, strict=True)
    ]
    return {
        "error": None if seen.error is None else seen.error.message,
        "hint": None if seen.error is None else seen.error.hint,
        "security": settings.security,
        "security_mode": None if settings.security == "none" else settings.security_mode,
        "state": facts.state,
        "start_time": _time(facts.start_time),
        "time_skew_s": facts.time_skew_s,
        "answer_s": facts.answer_s,
        "product": facts.texts,
        "limits": facts.limits,
        "namespaces": list(facts.namespaces),
        "nodes": nodes,
        "cut": seen.found.cut or None,
        "toml": _toml(settings, nodes),
    }


def _node(variable: Variable, name: str, namespaces: Sequence[str]) -> dict[str, Any]:
    data = variable.data
    code = status_code(data)
    node = {
        "name": name,
        "path": "/".join(variable.names),
        "node_id": node_id_text(variable.node_id, namespaces),
        "type": variable.data_type or None,
        # A value with a bad status must not be used, whatever the server sends along.
        "value": None if data.Value is None or quality_of(code) is Quality.BAD else _value(data.Value.Value),
        "unit": variable.unit,
        "status_code": code_in_words(code),
        "source_time": _time(data.SourceTimestamp),
        "server_time": _time(data.ServerTimestamp),
    }
    return {**node, "is_usable": variable.is_number and _entry(node) is not None}


def _entry(node: dict[str, Any]) -> dict[str, Any] | None:
    """Return the node for the site's file; None when no file can hold it."""
    unit = node["unit"] if len(node["unit"]) <= _UNIT_MOST and is_printable(node["unit"]) else ""
    entry = {"name": node["name"], "unit": unit, "node_id": node["node_id"]}
    try:
        OpcUaNodeSettings.model_validate(entry)
    except ValidationError:
        return None
    return entry


def _toml(settings: OpcUaSettings, nodes: Sequence[dict[str, Any]]) -> str:
    entries = [entry for node in nodes if node["is_usable"] and (entry := _entry(node)) is not None]
    if not entries:
        return ""
    said = settings.model_fields_set - {"nodes", "trust_dir"}
    source = settings.model_dump(mode="json", include=said)
    return site_lines(source, "nodes", entries)


def tag_names(paths: Sequence[tuple[str, ...]], source: str) -> list[str]:
    """Return a tag's name for each path: its last two names, small letters; numbered where two would be the same."""
    taken: dict[str, int] = {}
    out = []
    for path in paths:
        parts = [_slug(part) for part in path[-2:]]
        name = ".".join(parts if len(parts) > 1 else [_slug(source), *parts])
        taken[name] = taken.get(name, 0) + 1
        while taken[name] > 1 and f"{name}-{taken[name]}" in taken:
            taken[name] += 1
        unique = name if taken[name] == 1 else f"{name}-{taken[name]}"
        taken.setdefault(unique, 1)
        out.append(unique)
    return out


def _slug(text: str) -> str:
    return _NOT_A_NAME.sub("-", text.lower()).strip("-_")[:_NAME_MOST].rstrip("-_") or "x"


def _value(value: Any) -> Any:
    """Return a value as JSON has it; a number that is none and every other thing as text."""
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    return printable(value, limit=_TEXT_MOST)


def _time(time: datetime | None) -> str | None:
    return None if time is None else time.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"
