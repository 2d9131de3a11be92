"""What can go wrong inside the central, branched by who has to act.

CentralError
  DatabaseAwayError     nothing was stored; the sender tries again, the operator looks at the database
  SchemaTooNewError     the database belongs to a newer program; the service must not touch it
  SchemaDiffersError    tables of our names are somebody else's and cannot be adopted
  ReadingIndexError     an index is missing and could not be built; batches are taken without it
  EmbeddedPostgresError the bundled PostgreSQL cannot run here
  LoadTestError         the load test could not be carried out or judged
  UsageError            the command line cannot be carried out as given
"""

from typing import Final

from cloud_sync.host.printable import printable

AWAY: Final = "the database is away; nothing was stored"


class CentralError(Exception):
    """Root. `hint` is what the person at the machine can do, when there is something; both are printable."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = printable(message)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message)


class DatabaseAwayError(CentralError):
    """The database did not answer, or did not finish; the transaction did not count.

    `public_message` is for gateways: it names no host and no user.
    """

    def __init__(self, message: str, *, public_message: str = AWAY) -> None:
        super().__init__(message)
        self.public_message = public_message


class SchemaTooNewError(CentralError):
    """The tables have a version this program does not know."""


class SchemaDiffersError(CentralError):
    """Tables of these names exist with another key or other types; nothing was changed."""


class ReadingIndexError(CentralError):
    """The index by sensor could not be built; the next run of its job tries again."""


class EmbeddedPostgresError(CentralError):
    """PostgreSQL's programs are missing, refuse to start, or their folder is in use."""


class LoadTestError(CentralError):
    """Keys, certificate or answers that a load test cannot go on with."""


class UsageError(CentralError):
    """An option, a file or an address that does not work as given."""
