"""Which sound device is meant: by its name, a part of it, or its number. Pure.

Constraints
- A name is looked for first as it stands, then without the card's number, then as a part: "USB Audio (hw:2,0)" is
  "USB Audio (hw:1,0)" after it was plugged in again.
- A number is what the system gave a device at its last enumeration, so it is asked once: from then on the device that
  had it is looked for by its name. Another device that has the number now is never taken for it.
- Several that fit are refused by their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_agent.errors import DeviceRejectedError, TransientDriverError

_CARD_NUMBER: Final = re.compile(r"\s*\((plug)?hw:\d+(,\d+)*\)$")


@dataclass(frozen=True, slots=True)
class InputDevice:
    """`number` is PortAudio's, of this enumeration; `channels` the most it records at a time."""

    number: int
    name: str
    channels: int
    default_rate_hz: float

    @property
    def lasting_name(self) -> str:
        """Return the name without the card's number, which changes with every plug."""
        return lasting_name(self.name)


def lasting_name(name: str) -> str:
    """Return a device's name without the card's number."""
    return _CARD_NUMBER.sub("", name)


def choose(
    devices: Sequence[InputDevice], wanted: str | int | None, *, where: str, known_name: str | None = None
) -> InputDevice:
    """Return the device that is meant. `known_name`: what a number, or the default, was found to be before.

    Raises TransientDriverError when it is not there, DeviceRejectedError when several fit.
    """
    if known_name is not None:
        matches = _of_name(devices, known_name)
    elif isinstance(wanted, str):
        matches = _of_name(devices, wanted) or [each for each in devices if wanted.casefold() in each.name.casefold()]
    else:
        matches = [device for device in devices if device.number == wanted]
    if not matches:
        was = f"; it was {known_name!r}" if known_name is not None else ""
        raise TransientDriverError(
            f"{where} is not there (inputs: {_in_words(devices)}){was}", hint="plug it in, or correct it"
        )
    if len({device.name for device in matches}) > 1:
        found = ", ".join(device.name for device in matches)
        raise DeviceRejectedError(f"{where}: several devices fit ({found})", hint="give more of its name")
    return matches[0]


def _of_name(devices: Sequence[InputDevice], wanted: str) -> list[InputDevice]:
    """Return those of this very name, else of this name but for the card's number."""
    exact = [each for each in devices if each.name == wanted]
    return exact or [each for each in devices if each.lasting_name == lasting_name(wanted)]


def _in_words(devices: Sequence[InputDevice]) -> str:
    return ", ".join(sorted({device.name for device in devices})) or "none"
