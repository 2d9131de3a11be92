"""What several formats say alike of a file that cannot be read, and how much of one is read at most."""

from __future__ import annotations

import contextlib
import struct
import zlib
from collections.abc import Iterator
from typing import Final

from edge_agent.errors import RecordingError

MAX_BYTES: Final = 512 * 2**20
"""Of a file, unpacked: a recording is held in memory as a whole."""
MAX_VALUES: Final = 2**27
"""Of a recording: 512 MiB as float32."""

DAMAGE: Final[tuple[type[Exception], ...]] = (
    ArithmeticError, AttributeError, EOFError, LookupError, OSError, RuntimeError, TypeError, ValueError, struct.error,
    zlib.error,
)  # fmt: skip
"""What readers raised over 4,000 damaged files of each format: h5py, npTDMS and scipy have no base class of their own,
and stumble over a wrong length or type wherever they use it first."""


def no_samples(name: str) -> RecordingError:
    """Return the refusal of a file that holds no sample."""
    return RecordingError(f"{name} has no samples in it", hint="the recorder may have been stopped before it wrote any")


def too_large(name: str) -> RecordingError:
    """Return the refusal of a file of more than MAX_BYTES."""
    return RecordingError(f"{name} is larger than {MAX_BYTES // 2**20} MiB unpacked", hint="cut it into shorter files")


def too_long(what: str) -> RecordingError:
    """Return the refusal of more than MAX_VALUES samples."""
    return RecordingError(f"{what} is too long to be held in memory", hint="cut it into shorter files")


def fewer_than_promised(name: str, promised: int, present: int) -> RecordingError:
    """Return the refusal of a file with fewer samples than its header says."""
    return RecordingError(
        f"{name} is cut off: its header promises {promised} samples per channel, {present} are there",
        hint="copy the file again; if the recorder was stopped, this is all there is",
    )


@contextlib.contextmanager
def refused_as(kind: str, name: str, *own: type[Exception]) -> Iterator[None]:
    """Refuse by name what a library raises over damaged bytes: DAMAGE, and `own` of that library.

    Anything else ends the parser's process, which costs a new one and says less well what is wrong.
    """
    try:
        yield
    except (*DAMAGE, *own) as exc:
        reason = str(exc).splitlines()[0] if str(exc) else type(exc).__name__
        raise RecordingError(
            f"{name} cannot be read as {kind}: {reason}", hint="the file may be cut off or damaged; copy it again"
        ) from exc
