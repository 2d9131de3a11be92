"""What went wrong, branched by what the caller does about it.

EdgeError
  ConfigurationError        stop before starting; the operator must change something
  RecordingError            this recording cannot be read; say so and go on with the next
  SignalError               these samples have no honest feature; the window is not scored
  DriverError
    TransientDriverError    try again later: no answer, busy, link down
    DeviceRejectedError     asking again will not help: illegal address, access denied
  BundleError               this model cannot be used; keep the champion we have
    MissingKeyError         not yet: nobody here knows who signed it; try again when the keys have changed
  ParserDiedError           a child process that parsed a foreign file ended; whoever asked names the file
  DaemonUnreachableError    the daemon does not answer; `status` says what it left behind

Every error carries an optional `hint`: what the person at the machine can do. Texts of devices, files and libraries
come in here, so message and hint are made printable here.
"""

from cloud_sync.host.printable import printable, printable_lines


class EdgeError(Exception):
    """Root of everything this package raises on purpose."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        self.message = printable(message)
        self.hint = None if hint is None else printable(hint)
        super().__init__(self.message)


class ConfigurationError(EdgeError):
    """The configuration cannot be used, a mistake a line. `where` names the file and line when known."""

    def __init__(self, message: str, *, hint: str | None = None, where: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.message = printable_lines(message)
        self.args = (self.message,)
        self.where = where


class RecordingError(EdgeError):
    """A recording is unreadable, truncated, or not what its name says."""


class SignalError(EdgeError):
    """Samples that no feature is defined for: not finite, too short, wrong rate."""


class FamilyError(SignalError):
    """A feature family of another package that cannot be used: the package is at fault, not the configuration."""


class DriverError(EdgeError):
    """Something about a device or its link."""


class TransientDriverError(DriverError):
    """No answer, link down, device busy: worth trying again."""


class DeviceRejectedError(DriverError):
    """The device answered, and the answer was no."""


class BundleError(EdgeError):
    """A model bundle that must not be used, and why."""


class ParserDiedError(EdgeError):
    """The process that parsed a foreign file ended by a signal, took too long or wanted too much memory."""


class MissingKeyError(BundleError):
    """The public key of whoever signed a bundle is not here; it may come later."""


class DaemonUnreachableError(EdgeError):
    """Nobody answers on the local socket."""
