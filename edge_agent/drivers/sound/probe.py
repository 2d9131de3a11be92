"""Which sound inputs there are, for a person who commissions one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

from edge_agent.drivers.sound.devices import InputDevice, lasting_name
from edge_agent.drivers.sound.portaudio import PORTAUDIO, PortAudio
from edge_agent.drivers.waveform.detached import detached
from edge_agent.errors import TransientDriverError

_LIST_TIMEOUT_S: Final = 30.0  # each device is asked for each rate


async def list_inputs(portaudio: PortAudio = PORTAUDIO) -> list[tuple[InputDevice, list[int]]]:
    """Return every input and the common rates it does. Raises DriverError."""
    try:
        return await detached(portaudio.devices, timeout_s=_LIST_TIMEOUT_S)
    except TimeoutError as exc:
        raise TransientDriverError("the sound system does not answer", hint="restart the sound server") from exc


def configured_name(device: InputDevice, among: list[InputDevice]) -> str:
    """Return what a site's file should call it: without the card's number, unless two devices differ in that alone."""
    alike = [each for each in among if each.lasting_name == device.lasting_name]
    return device.name if len(alike) > 1 else lasting_name(device.name)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what ALSA's and PortAudio's C code prints off standard error; what Python prints goes on to it."""
    ours = sys.stderr
    try:
        kept = os.dup(2)
    except OSError:  # closed: nobody reads it
        yield
        return
    nobody = os.open(os.devnull, os.O_WRONLY)
    ours.flush()
    os.dup2(nobody, 2)
    os.close(nobody)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8", errors="replace", buffering=1) as stream:
            sys.stderr = stream
            yield
    finally:
        sys.stderr = ours
        os.dup2(kept, 2)
        os.close(kept)
