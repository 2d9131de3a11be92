"""`edge-agent probe`: look at a device before it stands in a site's file. One command a protocol.

The names and options; what each does is in `probe_<protocol>.py`, imported when it is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object; the fields are in docs/CLI_OUTPUT.md.")]

probe_app = typer.Typer(
    help="Commission a device: what it offers, how its values read, and the lines for the site's file. Reads only.",
    no_args_is_help=True,
)


@probe_app.command("mqtt")
def mqtt_command(
    address: Annotated[str, typer.Argument(metavar="HOST[:PORT]", help="The broker; port 8883, plaintext 1883.")],
    topic: Annotated[list[str] | None, typer.Option("--topic", help="A topic filter; default: all, #.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3600, help="How long to listen.")] = 10.0,
    user: Annotated[str | None, typer.Option("--user", help="Sign in with this name.")] = None,
    password_file: Annotated[Path | None, typer.Option("--password-file", help="Holds only the password.")] = None,
    ca_file: Annotated[Path | None, typer.Option("--ca-file", help="The CA of the broker's certificate.")] = None,
    plaintext: Annotated[bool, typer.Option("--plaintext", help="Without TLS.")] = False,
    protocol: Annotated[str, typer.Option("--protocol", help="5 or 3.1.1")] = "5",
    as_json: JsonOption = False,
) -> None:
    """Listen to a broker: topics, JSON fields and Sparkplug B metrics that carry numbers."""
    from edge_agent.cli.probe_mqtt import probe_mqtt

    probe_mqtt(
        address, tuple(topic or ("#",)), seconds=seconds, username=user, password_file=password_file, ca_file=ca_file,
        plaintext=plaintext, protocol=protocol, as_json=as_json,
    )  # fmt: skip
