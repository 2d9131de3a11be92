"""`edge-agent probe`: look at a device before it stands in a site's file. One command a protocol.

The names and options; what each does is in `probe_<protocol>.py`, imported when it is asked for.
"""

from __future__ import annotations

import typer

probe_app = typer.Typer(
    help="Commission a device: what it offers, how its values read, and the lines for the site's file. Reads only.",
    no_args_is_help=True,
)
