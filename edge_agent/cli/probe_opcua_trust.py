"""The folder of trust as a person uses it: where it is, confirming a server, making this gateway's certificate."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cloud_sync.host.printable import printable
from edge_agent.cli.probe_output import progress
from edge_agent.drivers.opcua.probe import Offered
from edge_agent.drivers.opcua.security.certificates import Certificate, KeyPair, make_own_pair
from edge_agent.drivers.opcua.security.identity import OWN_FOLDER
from edge_agent.drivers.opcua.security.trust import TrustRules, confirm, host_findings
from edge_agent.drivers.opcua.security_settings import TRUST_FOLDER
from edge_agent.errors import ConfigurationError, DriverError
from edge_agent.settings.toml_file import absolute, find_settings_file, read_document

DEFAULT_STATE: Final = Path("/var/lib/edge-agent")
_STATE_VARIABLE: Final = "EDGE_GATEWAY__STATE_DIR"  # wins over the file, as in the agent
_AS_WHOM: Final = "run it with sudo, or as the agent's user: sudo -u edge-agent edge-agent probe opcua ..."


def trust_folder(config: Path | None, endpoint: str | None) -> Path:
    """Return the folder in which the agent of this site looks; of the default state folder when there is no site yet.

    Raise ConfigurationError when there is a file and it cannot be read.
    """
    try:
        file = find_settings_file(config)
    except ConfigurationError:
        return DEFAULT_STATE / TRUST_FOLDER
    document = read_document(file)
    sources = document.get("sources")
    for source in sources if isinstance(sources, list) else ():
        if isinstance(source, dict) and source.get("endpoint") == endpoint and source.get("trust_dir"):
            return Path(absolute(source, ("trust_dir",), file.parent)["trust_dir"])
    gateway = document.get("gateway")
    placed = absolute(gateway, ("state_dir",), file.parent) if isinstance(gateway, dict) else {}
    return Path(os.environ.get(_STATE_VARIABLE) or placed.get("state_dir") or DEFAULT_STATE) / TRUST_FOLDER


def confirm_server(offered: Offered, rules: TrustRules, *, fingerprint: str | None) -> Path:
    """Let a person confirm the server's certificate, or compare it with `fingerprint`; keep it. Raise DriverError."""
    certificate = offered.certificate
    if certificate is None:
        raise DriverError(
            f"{rules.endpoint} shows no certificate: there is nothing to confirm",
            hint="switch on a security policy on the server, as Basic256Sha256",
        )
    host = [finding.what for finding in host_findings(certificate, rules.endpoint)]
    bad = [one for one in offered.verdicts if not one.is_identity and one.what not in host]
    if bad:
        raise DriverError(f"{rules.endpoint}: not confirmed: {bad[0].what}", hint=bad[0].do)
    if fingerprint is None:
        _ask(certificate, offered, host)
    elif fingerprint != certificate.fingerprint:
        raise DriverError(
            f"{rules.endpoint}: not confirmed: its certificate is {certificate.fingerprint}, not {fingerprint}",
            hint="ask the server's administrator which one is right; something else may answer at this address",
        )
    return _keep(certificate, rules)


def make_certificate(folder: Path) -> KeyPair:
    """Make a new certificate of this gateway, in place of the one that is there. Raise DriverError."""
    try:
        pair = make_own_pair(folder / OWN_FOLDER, now=datetime.now(UTC))
    except OSError as exc:
        raise DriverError(f"no certificate can be made in {folder}: {exc.strerror}", hint=_AS_WHOM) from exc
    return pair


def _ask(certificate: Certificate, offered: Offered, host: list[str]) -> None:
    known = [finding.what for finding in offered.verdicts if finding.is_identity]
    lines = [
        f"subject      {certificate.subject}",
        f"issuer       {'itself' if certificate.is_self_signed else certificate.issuer}",
        f"SHA-256      {certificate.fingerprint}",
        f"SHA-1        {certificate.thumbprint}  (as many tools show it)",
        f"valid        {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}, {certificate.key}",
        f"made out to  {', '.join(certificate.hosts) or 'no host'}; {certificate.application_uri or 'no application'}",
        *(f"             {words}" for words in (*known, *host)),
        "",
        "Compare the fingerprint with what the server's own tool or its administrator says.",
    ]
    progress("\n".join(printable(line) for line in lines))
    if not sys.stdin.isatty():
        raise DriverError(
            "a person has to confirm this, and there is no terminal to ask",
            hint="run it in a terminal; or give the fingerprint you were told: --trust --fingerprint SHA256",
        )
    print("Is this the server you mean? Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise DriverError("not confirmed; nothing was stored")


def _keep(certificate: Certificate, rules: TrustRules) -> Path:
    folder = rules.folder or DEFAULT_STATE / TRUST_FOLDER
    try:
        file = confirm(certificate, rules, by=os.environ.get("SUDO_USER") or getpass.getuser(), now=datetime.now(UTC))
    except OSError as exc:
        raise DriverError(f"{folder} cannot be written: {exc.strerror}; nothing was stored", hint=_AS_WHOM) from exc
    return file
