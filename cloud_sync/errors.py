"""What went wrong between here and the central, branched by what the caller does about it.

SyncError
  TransientSyncError        keep the batch, back off: no link, 5xx, 429 (may carry retry_after_s)
  CredentialsError          keep the batch, back off to the maximum, inform the operator
    GatewayIdInUseError     another box sends with this gateway id; ask again after retry_after_s
  BatchTooLargeError        cut the batch and send the parts (413); of somebody in between, hold what cannot be cut
  BatchRefusedError         the batch as a whole was refused (422); halve it to find the poison row
  NoPlaceError              there is no place for records of this kind now: hold them, send the others
  WireFormatError           bytes that are not a batch of a version we know
  OutboxError               the store itself
    OutboxFullError         the byte bound is reached
    OutboxUnavailableError  disk full, I/O error, read-only: append again later, nothing is lost yet
    OutboxCorruptError      the file is not a usable outbox
      OutboxTooNewError     it belongs to a newer program: leave it alone
"""

from __future__ import annotations

from cloud_sync.host.printable import printable
from cloud_sync.twins import Notice


class SyncError(Exception):
    """Root. `hint` is what the person at the machine can do, when there is something; both are printable.

    `link` is the name of the one of several links that it is about.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.link: str | None = None
        self.message = printable(message)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message)

    @property
    def full_message(self) -> str:
        """Return the message, with the link that it is about."""
        return self.message if self.link is None else f"over {self.link}: {self.message}"


class TransientSyncError(SyncError):
    """The same batch may be tried again; `made_progress` when a part of it was taken before the failure.

    `is_centrals` when the central itself answered so; no answer of somebody in between is about the batch.
    `was_in_flight`: the request was being sent, or its answer awaited, so that a smaller one might have got through.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        retry_after_s: float | None = None,
        made_progress: bool = False,
        is_centrals: bool = True,
        was_in_flight: bool = False,
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.made_progress = made_progress
        self.is_centrals = is_centrals
        self.was_in_flight = was_in_flight


class CredentialsError(SyncError):
    """The central does not know us or refuses us; retrying soon will not help."""


class GatewayIdInUseError(CredentialsError):
    """The central takes this gateway id from another box now; `notice` names it."""

    def __init__(self, notice: Notice, *, free_in_s: float | None = None, retry_after_s: float | None = None) -> None:
        free = "" if free_in_s is None else f"; free in {max(free_in_s, 0):.0f} s unless that one is heard again"
        super().__init__(
            f"this gateway id is in use by another box: {notice.other}, since {notice.other.since}, last heard"
            f" {notice.other.last_seen}{free}",
            hint="if this box is to replace it, switch the other one off and wait; if both are to run, give one of them"
            " another gateway.id and key; to hand the id over at once: edge-central release",
        )
        self.notice = notice
        self.retry_after_s = retry_after_s


class BatchTooLargeError(SyncError):
    """The central or something before it takes only smaller bodies; `is_centrals` when it was the central."""

    def __init__(self, message: str, *, hint: str | None = None, is_centrals: bool = True) -> None:
        super().__init__(message, hint=hint)
        self.is_centrals = is_centrals

    def of_one_record(self) -> SyncError:
        """Return its meaning when the batch is a single record: the record's fault only if the central answered so."""
        if self.is_centrals:
            return self
        return TransientSyncError(f"{self.message}, to a single record as well", hint=self.hint, is_centrals=False)


class BatchRefusedError(SyncError):
    """The batch cannot be read or stored as a whole; single rows of it may."""


class NoPlaceError(SyncError):
    """Whoever takes the records now has no place for this kind; another central may have."""


class WireFormatError(SyncError):
    """Not a batch, or one of a schema version this program does not know."""


class OutboxError(SyncError):
    """Something about the store itself."""


class OutboxFullError(OutboxError):
    """The byte bound is reached."""


class OutboxUnavailableError(OutboxError):
    """The disk refuses for now. `reason` is one of full, io, readonly, cannot_open, busy, moved."""

    def __init__(self, message: str, *, reason: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class OutboxCorruptError(OutboxError):
    """The file is damaged or belongs to a newer program."""


class OutboxTooNewError(OutboxCorruptError):
    """The file is whole, and of a newer program."""
