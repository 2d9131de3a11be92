"""Whether machines are stopped, starting up or running: what does not run is not judged. Pure.

Constraints
- A state that is not known withholds nothing: a PLC that is lost must not make a machine go unwatched. Only until a
  first value comes, for `max_age_s` at most, is it waited for.
- A signal whose sensor is at fault says nothing; silence of a dead sensor is no machine at rest.
- Each state that withholds is a gap of the asset, from its change to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum

from edge_agent.core.gaps import Gap, GapCause, GapSpan
from edge_agent.core.tags import Reading
from edge_agent.settings import OperatingStateSettings


class OperatingState(StrEnum):
    UNKNOWN = "unknown"
    STOPPED = "stopped"
    START_UP = "start_up"
    RUNNING = "running"


class AssetOperation:
    """One machine. `latest` gives the newest reading of each tag, `now_ns` the time.

    Whoever judges the machine calls `follow` or `hear` first, and records the gaps they return.
    """

    def __init__(
        self,
        settings: OperatingStateSettings,
        *,
        latest: Callable[[], Mapping[str, Reading]],
        now_ns: Callable[[], int],
    ) -> None:
        self.asset = settings.asset
        self.state = OperatingState.UNKNOWN
        self.since_ns = now_ns()
        self.detail = "not known yet"
        self._settings = settings
        self._latest, self._now_ns = latest, now_ns
        self._known = OperatingState.UNKNOWN  # the newest state that was known: it may have run on meanwhile
        self._first_ns: int | None = None
        self._is_waiting = True
        self._gap = GapSpan(settings.asset)
        self._heard: tuple[float | None, int] | None = None  # the newest rms, and when it came

    @property
    def by(self) -> str:
        """Return what says it: a tag or a source."""
        return self._settings.running_tag or self._settings.running_source or ""

    @property
    def is_judged(self) -> bool:
        """Return whether its values are to be judged now."""
        return self.state is OperatingState.RUNNING or (self.state is OperatingState.UNKNOWN and not self._is_waiting)

    def listens_to(self, source: str) -> bool:
        """Return whether this source's signal says it."""
        return self._settings.running_source == source

    def hear(self, rms: float | None, end_ns: int) -> list[Gap]:
        """Take how strong the signal was, None when its sensors are at fault; return the gaps of a change."""
        self._heard = rms, self._now_ns()
        return self._follow(rms, f"the rms of {self.by}", end_ns)

    def follow(self) -> list[Gap]:
        """Look at what says it now; return the gaps of a change."""
        now_ns = self._now_ns()
        if self._settings.running_tag is not None:
            return self._follow(self._tag_value(now_ns), self.by, now_ns)
        if self._heard is None or now_ns - self._heard[1] > self._settings.max_age_s * 1e9:
            return self._follow(None, f"the rms of {self.by}", now_ns)
        return []

    def flush(self) -> list[Gap]:
        """Return how far an open gap came: before a stop."""
        ended = self._gap.end(self._now_ns())
        return [] if ended is None else [ended]

    def _tag_value(self, now_ns: int) -> float | None:
        reading = self._latest().get(self.by)
        if reading is None or reading.value is None:
            return None
        is_fresh = -1.0 <= (now_ns - reading.received_time_ns) / 1e9 <= self._settings.max_age_s
        return abs(reading.value) if is_fresh else None

    def _follow(self, level: float | None, what: str, at_ns: int) -> list[Gap]:
        was_judged, state = self.is_judged, self._next(level, at_ns)
        self._known = self._known if state is OperatingState.UNKNOWN else state
        if self._first_ns is None:
            self._first_ns = at_ns
        if level is not None or at_ns - self._first_ns > self._settings.max_age_s * 1e9:
            self._is_waiting = False
        if state is self.state and self.is_judged == was_judged and (was_judged or self._gap.since_ns is not None):
            return []
        if state is not self.state:
            self.since_ns = at_ns
        self.state, self.detail = state, self._words(state, level, what)
        ended = self._gap.end(at_ns)
        begun = None if self.is_judged else self._gap.begin(GapCause.AT_REST, at_ns, f"{self.asset} {self.detail}")
        return [gap for gap in (ended, begun) if gap is not None]

    def _next(self, level: float | None, at_ns: int) -> OperatingState:
        settings = self._settings
        if level is None:
            return OperatingState.UNKNOWN
        is_on = self._known in (OperatingState.START_UP, OperatingState.RUNNING)
        if level <= settings.stops_at or not (is_on or level > settings.running_above):
            return OperatingState.STOPPED
        if self._known is OperatingState.RUNNING:
            return OperatingState.RUNNING
        started_ns = self.since_ns if self.state is OperatingState.START_UP else at_ns
        is_over = at_ns - started_ns >= settings.start_up_s * 1e9
        return OperatingState.RUNNING if is_over else OperatingState.START_UP

    def _words(self, state: OperatingState, level: float | None, what: str) -> str:
        settings = self._settings
        if level is None:
            why = "missing or bad" if settings.running_tag is not None else "missing, or of a sensor at fault"
            return f"is not known to run: {what} is {why}, or older than {settings.max_age_s:g} s"
        if state is OperatingState.STOPPED:
            return f"is stopped: {what} is {level:.4g}, it runs above {settings.running_above:g}"
        if state is OperatingState.START_UP:
            return (
                f"starts up: {what} is above {settings.running_above:g}, it is judged {settings.start_up_s:g} s later"
            )
        return f"runs: {what} is {level:.4g}"


class Operations:
    """The machines whose state is known by something; of the others none is here, and they are judged always."""

    def __init__(
        self,
        settings: Iterable[OperatingStateSettings],
        *,
        latest: Callable[[], Mapping[str, Reading]],
        now_ns: Callable[[], int],
    ) -> None:
        self._of = {each.asset: AssetOperation(each, latest=latest, now_ns=now_ns) for each in settings}

    def of(self, asset: str) -> AssetOperation | None:
        """Return what knows the state of this machine, if anything does."""
        return self._of.get(asset)

    @property
    def all(self) -> tuple[AssetOperation, ...]:
        """Return them in the settings' order."""
        return tuple(self._of.values())
