"""What went wrong, branched by what the caller does about it.

EdgeError
  ConfigurationError        stop before starting; the operator must change something
  RecordingError            this recording cannot be read; say so and go on with the next
  SignalError               these samples have no honest feature; the window is not scored
  DriverError
    TransientDriverError    try again later: no answer, busy, link down
    DeviceRejectedError     asking again will not help: illegal address, access denied
  BundleError               this model cannot be used; keep the champion we have
  DaemonUnreachableError    the daemon does not answer; `status` says what it left behind

Every error carries an optional `hint`: what the person at the machine can do.
"""


class EdgeError(Exception):
    """Root of everything this package raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ConfigurationError(EdgeError):
    """The configuration cannot be used. `where` names the file and line when known."""

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.where = where


class RecordingError(EdgeError):
    """A recording is unreadable, truncated, or not what its name says."""


class SignalError(EdgeError):
    """Samples that no feature is defined for: not finite, too short, wrong rate."""


class DriverError(EdgeError):
    """Something about a device or its link."""


class TransientDriverError(DriverError):
    """No answer, link down, device busy: worth trying again."""


class DeviceRejectedError(DriverError):
    """The device answered, and the answer was no."""


class BundleError(EdgeError):
    """A model bundle that must not be used, and why."""


class DaemonUnreachableError(EdgeError):
    """Nobody answers on the local socket."""
