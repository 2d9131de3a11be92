"""The options that several commands of `edge-central` have.

The database's URL may hold a password, so it can come from EDGE_CENTRAL_DATABASE_URL and is shown without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DatabaseUrl = Annotated[
    str | None,
    typer.Option(envvar="EDGE_CENTRAL_DATABASE_URL", help="postgresql://user@host:5432/name", show_envvar=True),
]
Embedded = Annotated[Path | None, typer.Option(metavar="DIR", help="Run a PostgreSQL of our own in this folder.")]
RetentionDays = Annotated[
    int | None,
    typer.Option(
        min=0, max=36_500, help="Delete readings older than this; 0: never. Default 180, but never in adopted tables."
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=100_000, help="The newest so many.")]
