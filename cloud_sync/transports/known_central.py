"""Which answers are a central's: what is asked of one depends on what this central has shown before.

Constraints
- A central that has proven an answer here has to prove every one: what does not is somebody else's.
- One that never did is an older one, or stands behind something that keeps the header from us: a settlement of this
  very batch counts, and so does an error in the form that every central of this project has given errors.
- A proof that does not fit is nobody's, whatever else is known.

Why: docs/decisions/0016-who-counts-as-a-central.md.
"""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Final, Literal

from cloud_sync.answer_proof import Identity
from cloud_sync.host.fsync import replace_file
from cloud_sync.strict_json import parse_json
from cloud_sync.transports.answers import document_in
from cloud_sync.transports.http_exchange import Answer

logger = logging.getLogger(__name__)

Demand = Literal["auto", "always", "never"]
"""Of proofs: "auto" wants them once there was one."""

FILE_NAME: Final = "proven-central.json"
_JSON: Final = "application/json"
_MAX_BYTES: Final = 10_000


class KnownCentral:
    """The central behind one address, for all that ask it. `file` remembers over a restart that it proves answers."""

    def __init__(self, url: str = "", *, demand: Demand = "auto", file: Path | None = None) -> None:
        self._url = url
        self._demand = demand
        self._file = file
        self._has_proven = file is not None and _proven_url(file) == url
        self._is_kept = self._has_proven or file is None

    @property
    def must_prove(self) -> bool:
        """Return whether an answer without a proof is somebody else's."""
        return self._demand == "always" or (self._demand == "auto" and self._has_proven)

    def is_its_answer(self, answer: Answer) -> bool:
        """Return whether the central gave this answer."""
        if answer.identity is Identity.PROVEN:
            return True
        if answer.identity is Identity.WRONG or self.must_prove:
            return False
        return answer.status == 200 or answer.identity is Identity.CLAIMED or is_in_our_form(answer)

    def note(self, answer: Answer) -> None:
        """Remember when it proves an answer."""
        self._has_proven = self._has_proven or answer.identity is Identity.PROVEN

    async def keep(self) -> None:
        """Write down that it proves its answers; when the disk does not take it, this run knows it all the same."""
        if self._has_proven and not self._is_kept and self._file is not None:
            self._is_kept = True
            await asyncio.to_thread(_write, self._file, self._url)


def is_in_our_form(answer: Answer) -> bool:
    """Return whether an error is JSON with a `detail`, as FastAPI and so every central of this project gives it."""
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return media_type == _JSON and "detail" in document_in(answer.body)


def _proven_url(file: Path) -> object:
    try:
        with file.open("rb") as content:
            said = parse_json(content.read(_MAX_BYTES), max_bytes=_MAX_BYTES)
    except (OSError, ValueError):  # not there, or damaged: the next proof writes it again
        return None
    return said.get("url") if isinstance(said, dict) else None


def _write(file: Path, url: str) -> None:
    try:
        replace_file(file, json.dumps({"url": url}) + "\n")
    except OSError as exc:
        logger.warning("%s cannot be written: %s", file, exc.strerror or exc)
