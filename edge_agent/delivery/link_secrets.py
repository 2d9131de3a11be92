"""A secret that delivery needs and cannot read is a failure of the link: recording goes on, and it is tried again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from cloud_sync.errors import CredentialsError
from edge_agent.errors import ConfigurationError


@contextlib.contextmanager
def as_link_failure() -> Iterator[None]:
    """Raise CredentialsError in place of a ConfigurationError, in the same words."""
    try:
        yield
    except ConfigurationError as exc:
        raise CredentialsError(exc.message, hint=exc.hint) from exc
