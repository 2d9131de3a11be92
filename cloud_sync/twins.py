"""Who sends under a gateway id, and what a central says of another box that sends under the same one.

One compact line goes with every batch, over HTTP in the header `X-Gateway-Instance`, over MQTT 5 in the user property
`gateway-instance`: `i=3f..;n=7;r=9c..;m=51..;l=60;s=north%20hall`, which are instance, incarnation, run, machine, lease
and site; `o` is the run of the other box. It is short, since a metered link pays for it each time. A reader passes over
names it does not know. Plain values; knows nobody.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote, unquote

from cloud_sync.host.printable import printable

HEADER: Final = "X-Gateway-Instance"
PROPERTY: Final = "gateway-instance"
IN_USE: Final = "gateway_id_in_use"
"""The code of an answer that holds a box back: another one has the lease of this gateway id."""

MAX_LEASE_S: Final = 3_600
MAX_CHARS: Final = 1_000
_MAX_SITE_CHARS: Final = 100
_TEXT_CHARS: Final = 200
_MAX_INCARNATION: Final = 2**53
_TOKEN: Final = re.compile(r"[0-9a-z]{8,64}")


@dataclass(frozen=True, slots=True)
class Sender:
    """A start of an installation: `instance` is drawn once, `incarnation` rises at each start, `run` is always new."""

    instance: str
    incarnation: int
    run: str
    machine: str = ""
    """A digest of the hardware, empty where nothing of it can be read."""
    lease_s: int = 0
    """How long its silence may last before another box may have the id; the central has a least of its own."""
    site: str = ""
    rival: str = ""
    """The run of the other box that the central has told of: proof that this request was made after it had."""


@dataclass(frozen=True, slots=True)
class OtherBox:
    """What one box is told of the other; texts as the central says them, times in RFC 3339."""

    instance: str
    incarnation: int
    run: str
    machine: str
    site: str
    address: str
    since: str
    last_seen: str

    def __str__(self) -> str:
        known = [("site", self.site), ("machine", self.machine[:12]), ("address", self.address)]
        named = [f"{name} {text}" for name, text in known if text]
        start = f" (instance {self.instance[:8]}, start {self.incarnation})" if self.instance else ""
        return f"{', '.join(named) or 'unknown'}{start}"


class About(StrEnum):
    """What a notice tells."""

    HELD = "held"  # the other box has the lease, and this one's batches are not taken
    TWIN = "twin"  # this box has the lease, and another one asks for it
    TOOK_OVER = "took_over"  # this box has the lease of another one that fell silent


@dataclass(frozen=True, slots=True)
class Notice:
    """`kind` says how the two are related: duplicate, clone, older, replaced, restored, unnamed (an older agent)."""

    about: About
    kind: str
    other: OtherBox


def sender_text(sender: Sender) -> str:
    """Return the line that goes with a batch: printable ASCII, at most `MAX_CHARS`."""
    fields = {
        "i": sender.instance,
        "n": str(sender.incarnation),
        "r": sender.run,
        "m": sender.machine,
        "l": str(sender.lease_s or ""),
        "s": quote(sender.site[:_MAX_SITE_CHARS], safe=""),
        "o": sender.rival,
    }
    return ";".join(f"{name}={value}" for name, value in fields.items() if value)


def sender_of(text: str | None) -> Sender | None:
    """Return who sends; None when the line is missing, or is none that this program can read."""
    if not text or len(text) > MAX_CHARS:
        return None
    fields = dict(part.partition("=")[::2] for part in text.split(";"))
    instance, run = fields.get("i", ""), fields.get("r", "")
    incarnation, lease_s = _number(fields.get("n", "")), _number(fields.get("l", "0"))
    if not (_TOKEN.fullmatch(instance) and _TOKEN.fullmatch(run)) or incarnation is None or lease_s is None:
        return None
    return Sender(
        instance,
        incarnation,
        run,
        _token(fields.get("m", "")),
        min(lease_s, MAX_LEASE_S),
        printable(unquote(fields.get("s", "")), limit=_MAX_SITE_CHARS),
        _token(fields.get("o", "")),
    )


def notice_fields(notice: Notice) -> dict[str, Any]:
    """Return a notice as it stands in an answer."""
    other = notice.other
    return {
        "about": notice.about.value,
        "kind": notice.kind,
        "other": {name: getattr(other, name) for name in OtherBox.__slots__},
    }


def notice_of(said: object) -> Notice | None:
    """Return the notice in an answer; None for what is none. It never makes an answer unreadable."""
    match said:
        case {"about": str(about), "kind": str(kind), "other": {"run": str(run), "incarnation": int(number), **rest}}:
            pass
        case _:
            return None
    if about not in set(About) or not _TOKEN.fullmatch(run):
        return None
    texts = {name: rest.get(name) for name in ("instance", "machine", "site", "address", "since", "last_seen")}
    clean = {name: printable(text, limit=_TEXT_CHARS) if isinstance(text, str) else "" for name, text in texts.items()}
    return Notice(About(about), printable(kind, limit=_TEXT_CHARS), OtherBox(run=run, incarnation=number, **clean))


def _token(text: str) -> str:
    return text if _TOKEN.fullmatch(text) else ""


def _number(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal()) or len(text) > len(str(_MAX_INCARNATION)):
        return None
    number = int(text)
    return number if number <= _MAX_INCARNATION else None
