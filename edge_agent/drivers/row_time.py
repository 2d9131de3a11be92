"""Which clock a row's time is of: the value's source, the server it came through, or this gateway.

Shared by the drivers of sources that send times. Constraints
- A clock is believed when its time moves with the value and stands within a bound of the time of receipt; the next
  clock is asked otherwise, and this gateway's last. So no value is kept back for its time.
- The times given to one tag only ever grow. Values that came together with one time are a microsecond apart, in order.
- What a device's clock is off by is measured, and is never called this gateway's.

All times are ns since the epoch on the agent's clock. Pure. Decision 32 says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Literal, NamedTuple

from edge_agent.drivers.clock_skew import SKEW_BOUND_S, ClockSkew
from edge_agent.drivers.report import SourceProblem

TimeChoice = Literal["auto", "source", "server", "gateway"]
"""A site's word for whose time a row has; "auto" asks source, server and gateway in this order."""

TIME_BOUND_S: Final = 300.0
"""What is older than this is not told late, it is told by a wrong clock, or happened long ago."""
AHEAD_S: Final = 5.0
"""A value is not received before it happened: only what time services leave is taken of a clock that nobody chose."""

_STEP_NS: Final = 1_000  # rows are keyed by microseconds
_AHEAD_NS: Final = round(AHEAD_S * 1e9)
_NAMED: Final = 3
_SET_DEVICES: Final = "set the clock of the devices behind these tags, or give them a time server (NTP)"


class TimeOf(StrEnum):
    """Whose clock gave a time."""

    SOURCE = "source"
    SERVER = "server"
    GATEWAY = "gateway"


_SOURCE: Final = TimeOf.SOURCE
_SERVER: Final = TimeOf.SERVER


class RowStamp(NamedTuple):
    """A row's time. `detail` is why the clock that was asked first is not believed; empty when it is.

    `is_ahead`: it is later than the value came, by more than clocks that are kept differ. Rows only go forward.
    """

    time_ns: int
    of: TimeOf
    detail: str = ""
    is_ahead: bool = False


class Arrival(NamedTuple):
    """A value with the times it came with; None is one that was not sent. `content` is the value with its status.

    `is_clock_known` is False while nobody knows how far this gateway's clock is off UTC: the device's times are
    compared with it then, and not used.
    """

    content: object
    received_ns: int
    source_ns: int | None = None
    server_ns: int | None = None
    is_clock_known: bool = True

    def by(self, clock: TimeOf) -> int | None:
        """Return the time of one of the device's clocks."""
        return self.source_ns if clock is TimeOf.SOURCE else self.server_ns


_ASKED: Final[dict[TimeChoice, tuple[TimeOf, ...]]] = {
    "auto": (TimeOf.SOURCE, TimeOf.SERVER),
    "source": (TimeOf.SOURCE,),
    "server": (TimeOf.SERVER,),
    "gateway": (),
}


class RowTimes:
    """The times of one source's rows. `choices` holds by tag what a site chose for it in place of `choice`.

    `whose` is what a person calls the device: "the server". `late_s` is how late a value may come and still be new.
    """

    def __init__(
        self,
        *,
        choice: TimeChoice = "auto",
        choices: Mapping[str, TimeChoice] | None = None,
        bound_s: float = TIME_BOUND_S,
        late_s: float = 0.0,
        whose: str = "the server",
    ) -> None:
        self.skew = ClockSkew(bound_s=SKEW_BOUND_S + late_s)
        self._choice = choice
        self._choices = choices or {}
        self._bound_ns = bound_ns = round(bound_s * 1e9)
        self._ahead_bound_ns = {each: min(bound_ns, _AHEAD_NS) if each == "auto" else bound_ns for each in _ASKED}
        self._least_off_ns, self._most_off_ns = -bound_ns, self._ahead_bound_ns["auto"]
        self._whose = whose
        self._last: dict[str, _Last] = {}
        self._off: dict[str, _Off] = {}

    def stamp(self, tag: str, arrival: Arrival) -> RowStamp:
        """Return the time of a value's row: later than that of the value before."""
        before = self._last.get(tag)
        if before is not None:
            self._measure(arrival, before)
        stamp = self._stamp(tag, arrival, before)
        if before is None:
            before = self._last[tag] = _Last()
        before.take(arrival, stamp)
        return stamp

    def plain_time_ns(
        self, tag: str, content: object, received_ns: int, source_ns: int | None, server_ns: int | None
    ) -> int | None:
        """Return the time of a value's row where it is the device's as it stands, as for nearly all of them.

        What `stamp` gives such a value, at a fraction of the cost. None takes nothing: ask `stamp`. The times are on a
        clock of ours that is known.
        """
        last = self._last.get(tag)
        if last is None or tag in self._off or self._choices.get(tag, self._choice) != "auto":
            return None
        if source_ns is not None:
            at_ns, of, before_ns = source_ns, _SOURCE, last.source_ns
        elif server_ns is not None:
            at_ns, of, before_ns = server_ns, _SERVER, last.server_ns
        else:
            return None
        is_within = self._least_off_ns <= at_ns - received_ns <= self._most_off_ns
        if not is_within or at_ns == before_ns or at_ns < last.time_ns + _STEP_NS:
            return None
        self.skew.take_value(at_ns, received_ns, True)
        last.content, last.received_ns, last.source_ns, last.server_ns = content, received_ns, source_ns, server_ns
        last.time_ns, last.of = at_ns, of
        return at_ns

    def take_message_time(self, sent_ns: int | None, received_ns: int, *, is_clock_known: bool = True) -> None:
        """Take when the device says it sent a message: its clock, also where no value moves."""
        if sent_ns is not None:
            self.skew.take_message(sent_ns, received_ns, is_ours_known=is_clock_known)

    def problems(self) -> tuple[SourceProblem, ...]:
        """Return what is wrong with the device's times, for a person."""
        skew_s, since_ns = self.skew.seconds(), self.skew.beyond_since_ns()
        if since_ns is None or skew_s is None:
            return (self._off_problem(),) if self._off else ()
        if not self.skew.is_of_values_alone():
            return (self._skew_problem(skew_s, since_ns),)
        return (self._off_problem() if self._off else self._value_problem(skew_s, since_ns),)

    def _stamp(self, tag: str, arrival: Arrival, before: _Last | None) -> RowStamp:
        """Ask one clock after the other; `detail` is why the first of them is not believed."""
        choice = self._choices.get(tag, self._choice)
        ahead_bound_ns = self._ahead_bound_ns[choice]
        detail, is_first = "", True
        for clock in _ASKED[choice]:
            at_ns = arrival.by(clock)
            if at_ns is not None:
                is_off = not -self._bound_ns <= at_ns - arrival.received_ns <= ahead_bound_ns
                if is_first and (is_off or tag in self._off):
                    self._note_off(tag, clock, arrival, before, is_off=is_off)
                why_not = _offset(at_ns, arrival) if is_off else _why_not(clock, at_ns, arrival, before)
                if why_not is None and arrival.is_clock_known:
                    return _stamp(before, at_ns, clock, detail, arrival)
                detail = detail or (f"the {clock.value}'s time {why_not}" if why_not else "")
            is_first = False
        return _stamp(before, arrival.received_ns, TimeOf.GATEWAY, detail, arrival)

    def _measure(self, arrival: Arrival, last: _Last) -> None:
        """Take the skew of a value that changed just now, by the first of its clocks that moved with it."""
        at_ns = arrival.source_ns
        if at_ns is None or at_ns == last.source_ns:
            at_ns = arrival.server_ns
            if at_ns is None or at_ns == last.server_ns:
                return
        self.skew.take_value(at_ns, arrival.received_ns, arrival.is_clock_known)

    def _note_off(self, tag: str, clock: TimeOf, arrival: Arrival, before: _Last | None, *, is_off: bool) -> None:
        """Remember which tags have times that move and are not believed; an old value that stands is none."""
        at_ns = arrival.by(clock)
        if not is_off or at_ns is None:
            self._off.pop(tag, None)
        elif tag in self._off:
            self._off[tag] = self._off[tag]._replace(by_ns=at_ns - arrival.received_ns)
        elif before is not None and before.by(clock) != at_ns:
            self._off[tag] = _Off(at_ns - arrival.received_ns, arrival.received_ns)

    def _value_problem(self, skew_s: float, since_ns: int) -> SourceProblem:
        what = f"the times of most values of {self._whose} are {offset_in_words(skew_s)}, and its own clock is right"
        return SourceProblem(what, since_ns, _SET_DEVICES)

    def _skew_problem(self, skew_s: float, since_ns: int) -> SourceProblem:
        theirs = f"; tags whose rows have another clock's time: {len(self._off)}" if self._off else ""
        where = "ahead of" if skew_s > 0 else "behind"
        ours = "" if self.skew.is_ours_known else ", which is not synchronised yet"
        what = f"the clock of {self._whose} is {duration_in_words(abs(skew_s))} {where} this gateway's{ours}{theirs}"
        return SourceProblem(what, since_ns, f"set the clock of {self._whose}, or give it a time server (NTP)")

    def _off_problem(self) -> SourceProblem:
        named = ", ".join(
            f"{tag} ({offset_in_words(off.by_ns / 1e9)})" for tag, off in list(self._off.items())[:_NAMED]
        )
        what = f"the times that {self._whose} gives {len(self._off)} of its tags are not used: first {named}"
        return SourceProblem(what, min(off.since_ns for off in self._off.values()), _SET_DEVICES)


class _Last:
    """A tag's newest value: what it came with, and the time its row has. Changed in place: one is kept for each tag."""

    __slots__ = ("content", "of", "received_ns", "server_ns", "source_ns", "time_ns")

    content: object
    received_ns: int
    source_ns: int | None
    server_ns: int | None
    time_ns: int
    of: TimeOf

    def take(self, arrival: Arrival, stamp: RowStamp) -> None:
        """Keep a value with its stamp."""
        self.content, self.received_ns, self.source_ns, self.server_ns, _ = arrival
        self.time_ns, self.of = stamp.time_ns, stamp.of

    def by(self, clock: TimeOf) -> int | None:
        """Return the time of one of the device's clocks."""
        return self.source_ns if clock is TimeOf.SOURCE else self.server_ns


class _Off(NamedTuple):
    by_ns: int
    since_ns: int


def on_our_clock(utc_ns: int | None, of_utc: Callable[[int], int | None]) -> tuple[int | None, bool]:
    """Return a device's time on the agent's clock, and whether that is known; as the device says it while it is not."""
    if utc_ns is None:
        return None, True
    ours_ns = of_utc(utc_ns)
    return (utc_ns, False) if ours_ns is None else (ours_ns, True)


def offset_in_words(ahead_s: float) -> str:
    """Return "3 h ahead" or "30 days behind"."""
    return f"{duration_in_words(abs(ahead_s))} {'ahead' if ahead_s > 0 else 'behind'}"


def duration_in_words(seconds: float) -> str:
    """Return a duration in its largest unit, "3 h": how far a clock is off, not a measurement."""
    for unit_s, unit in ((31_557_600, "years"), (86_400, "days"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def _offset(at_ns: int, arrival: Arrival) -> str:
    return f"is {offset_in_words((at_ns - arrival.received_ns) / 1e9)}"


def _why_not(clock: TimeOf, at_ns: int, arrival: Arrival, last: _Last | None) -> str | None:
    """Return why a time within the bound is not this value's; empty for a value that is not new, None if it is."""
    if last is None:
        return None
    if at_ns == last.by(clock):
        if last.received_ns == arrival.received_ns and last.of is clock:
            return None
        return "" if last.content == arrival.content else "does not move with the value"
    if at_ns <= last.time_ns:
        return f"went back by {duration_in_words((last.time_ns - at_ns) / 1e9)}"
    return None


def _stamp(last: _Last | None, at_ns: int, of: TimeOf, detail: str, arrival: Arrival) -> RowStamp:
    """Return this time, or the smallest that is later than that of the value before."""
    time_ns = at_ns if last is None else max(at_ns, last.time_ns + _STEP_NS)
    return RowStamp(time_ns, of, detail, time_ns - arrival.received_ns > _AHEAD_NS)
