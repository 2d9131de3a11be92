"""`score` on its way through the files: their results on stdout; on stderr how far it is, what was refused, what it
assumed, and a summary."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from edge_agent.errors import EdgeError
from edge_agent.recordings import Recording
from edge_agent.status.words import counted

_AFTER_S: Final = 2.0
"""Work that is done in less needs no progress."""
_MOST_NOTES: Final = 20


class Progress:
    """Counts files and results. `as_json` leaves out what only a person reads."""

    def __init__(self, total: int, *, as_json: bool) -> None:
        self.n_refused = self.n_faults = self.n_anomalous = self.n_results = self.n_scored = 0
        self._total, self._as_json = total, as_json
        self._begun_s = time.monotonic()
        self._shows = total > 1 and not as_json and sys.stderr.isatty()
        self._is_shown = False
        self._is_rate_assumed = False
        self._notes: dict[str, str] = {}

    @contextlib.contextmanager
    def turn_of(self, path: Path) -> Iterator[None]:
        """Enter a file's turn: one that cannot be scored is reported at once, and the next one's turn comes."""
        self._show(path)
        try:
            yield
        except EdgeError as exc:
            self._clear()
            self.n_refused += 1
            print(f"edge-agent: {exc.message}{f' ({exc.hint})' if exc.hint else ''}", file=sys.stderr)

    def _show(self, path: Path) -> None:
        if self._shows and time.monotonic() - self._begun_s > _AFTER_S:
            done = self.n_scored + self.n_refused
            print(f"\r\x1b[K{done} of {self._total} files, now {path.name[:60]}", end="", file=sys.stderr, flush=True)
            self._is_shown = True

    def _clear(self) -> None:
        """Take the progress off the line before anything else is printed."""
        if self._is_shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._is_shown = False

    def scored(
        self,
        lines: Sequence[Mapping[str, Any]],
        as_text: Callable[[Mapping[str, Any]], str],
        *,
        recording: Recording | None = None,
        is_rate_assumed: bool = False,
    ) -> None:
        """Print the results of a file that was scored."""
        self._clear()
        for line in lines:
            print(json.dumps(line) if self._as_json else as_text(line), flush=True)
        self.n_scored += 1
        self.n_results += len(lines)
        self.n_anomalous += sum(line["verdict"] == "anomalous" for line in lines)
        self.n_faults += any(line.get("sensor_fault") for line in lines)
        if recording is not None:
            self._is_rate_assumed |= is_rate_assumed and recording.rate_source == "given"
            for note in recording.notes:
                self._notes.setdefault(note, recording.name)

    def end(self, model_rate_hz: float = 0.0) -> None:
        """Print what was assumed, and the summary."""
        self._clear()
        if self._as_json:
            return
        for note, name in list(self._notes.items())[:_MOST_NOTES]:
            print(f"edge-agent: {name}: {note}", file=sys.stderr)
        if self._is_rate_assumed:
            print(
                f"edge-agent: files that carry no sampling rate were read at the model's, {model_rate_hz:g} Hz"
                " (--rate says the rate they were recorded at)",
                file=sys.stderr,
            )
        if self._total > 1:
            print(
                f"{self._total} files: {self.n_scored} scored, {self.n_refused} refused;"
                f" {counted(self.n_results, 'result')}, {self.n_anomalous} anomalous"
                + (f"; {counted(self.n_faults, 'file')} with a sensor fault" if self.n_faults else ""),
                file=sys.stderr,
            )
