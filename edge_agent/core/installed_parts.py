"""Drivers, feature families and transports of other installed packages: whose they are, and what their code raises.

Each kind has its own loader (`settings.source_kinds`, `dsp.installed_families`, `delivery.installed_transports`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint


def package_of(entry: EntryPoint) -> str:
    """Return the name of the package that has this entry point; of none that is known, the module's."""
    return entry.dist.name if entry.dist is not None else entry.module


@contextmanager
def foreign_code(failure: Callable[[str], Exception], *, passes: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Raise `failure` of the words of whatever the code of another package raises in this block.

    Exceptions of the classes in `passes` go out as they are.
    """
    try:
        yield
    except passes:
        raise
    except (Exception, SystemExit) as exc:
        text = f": {exc}" if str(exc) else ""
        raise failure(f"{type(exc).__name__}{text}") from exc
