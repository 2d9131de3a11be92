"""Which machine this is, told by its hardware, so that a state folder that was carried to another one is noticed.

Constraints
- Only digests are kept and sent: serial numbers, network addresses and the machine id stay on the box (machine-id(5)).
- A copied card has the same machine id, so the hardware counts first: the board's serial number, then the addresses of
  network cards that are devices; what a container or a modem makes up is passed over.
- What cannot be read says nothing: two machines are different only by something that both show.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

_BOARDS: Final = (
    "sys/class/dmi/id/product_uuid",
    "sys/firmware/devicetree/base/serial-number",
    "sys/class/dmi/id/board_serial",
)
_MACHINE_ID: Final = "etc/machine-id"
_CARDS: Final = "sys/class/net"
_PURPOSE: Final = b"edge-agent: which machine a state folder belongs to"
_DIGEST_CHARS: Final = 12
_MADE_UP: Final = 0x02
"""The bit of a network address that says: not the maker's."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Digests; empty what this process may not read or the machine does not have."""

    board: str = ""
    cards: tuple[str, ...] = ()
    os: str = ""

    @property
    def name(self) -> str:
        """Return the id that names the machine; empty when nothing is known."""
        return self.board or next(iter(self.cards), "") or self.os

    def is_another_than(self, before: Machine) -> bool:
        """Return whether the two are surely not the same machine."""
        if self.board and before.board:
            return self.board != before.board
        if self.cards and before.cards:
            return not set(self.cards) & set(before.cards)
        return bool(self.os and before.os and self.os != before.os)

    def as_fields(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_fields(cls, fields: Any) -> Self:
        """Return what `as_fields` gave. Raises TypeError and KeyError for anything else."""
        board, cards, system = fields["board"], fields["cards"], fields["os"]
        if not all(isinstance(text, str) for text in (board, system, *cards)):
            raise TypeError("not a machine")
        return cls(board, tuple(cards), system)


def this_machine(root: Path = Path("/")) -> Machine:
    """Return what can be read of the machine below `root`."""
    boards = (_digest(_text(root / place)) for place in _BOARDS)
    cards = sorted(filter(None, map(_card, sorted(_folders(root / _CARDS)))))
    return Machine(next(filter(None, boards), ""), tuple(cards), _digest(_text(root / _MACHINE_ID)))


def _card(folder: Path) -> str:
    """The digest of a card's own address; empty for what is no device, and for an address that was made up."""
    address = _text(folder / "address")
    if not (folder / "device").exists() or not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", address):
        return ""
    return "" if int(address[:2], 16) & _MADE_UP else _digest(address)


def _digest(text: str) -> str:
    """Empty for what stands on many boards alike: nothing, one character over and over, the maker's placeholders."""
    told = re.sub(r"[^0-9a-z]", "", text.lower())
    if len(told) < 6 or len(set(told)) < 3 or "oem" in told or "default" in told or "serial" in told:
        return ""
    return hmac.new(_PURPOSE, told.encode(), hashlib.sha256).hexdigest()[:_DIGEST_CHARS]


def _folders(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""
