"""Who gave an answer that is no central's, what it means, and what the person at the machine can do about it.

Every text of it is somebody else's: it is shown as one short printable line, and of a page nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urljoin, urlsplit

from cloud_sync.answer_proof import IDENTITY_HEADER, Identity
from cloud_sync.errors import BatchTooLargeError, TransientSyncError
from cloud_sync.host.printable import printable
from cloud_sync.transports.http_exchange import Answer

SMALL_BYTES: Final = 16_384
"""No proxy or central that lets requests through at all takes less."""

REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})

_HEADER_CHARS: Final = 80
_ADDRESS_CHARS: Final = 200

_LET_THROUGH: Final = "the API key is not meant: ask whoever runs it to let this gateway through to the central"
_WRONG_ADDRESS: Final = (
    "is central.url the central's own address (host, port, path)? If it is, a proxy or portal at this site answers in "
    "its place"
)
_LOG_IN: Final = "log this box in, or ask whoever runs the network to except it"


@dataclass(frozen=True, slots=True)
class _Meaning:
    said: str
    do: str


_MEANINGS: Final = {
    401: _Meaning("it wants a sign-in of its own", _LET_THROUGH),
    403: _Meaning("it forbids the way to the central", _LET_THROUGH),
    404: _Meaning("the central's path is not there", _WRONG_ADDRESS),
    405: _Meaning("it takes no batches there", _WRONG_ADDRESS),
    407: _Meaning(
        "a proxy that nobody named here wants a name and a password",
        "this network has a proxy of its own (transparent): name it in [central.proxy]",
    ),
    408: _Meaning("it did not wait for the whole request", "raise the time it gives a request's body"),
    410: _Meaning("the central's path is no longer there", _WRONG_ADDRESS),
    411: _Meaning("it misses Content-Length, which was sent", "a proxy before it must pass Content-Length on"),
    413: _Meaning(
        "it takes only smaller requests", "raise its limit for a request's body to 8 MB (nginx: client_max_body_size)"
    ),
    415: _Meaning(
        "it does not take the form of the request", "it must pass Content-Type and Content-Encoding on unchanged"
    ),
    429: _Meaning("it limits how often it is asked", "raise its limit for this gateway"),
    451: _Meaning("it blocks the central's address", "a web filter: ask whoever runs it to let this gateway through"),
    511: _Meaning("this site's network wants a log-in first", _LOG_IN),
}
_BEFORE_THE_CENTRAL: Final = _Meaning(
    "it does not get through to the central", "does the central run? If it does: look into the log of what answers here"
)
_OTHERWISE: Final = _Meaning("which no central says", _WRONG_ADDRESS)
_CHANGED: Final = _Meaning(
    "and it is not as the central gave it: its proof does not fit",
    "something on the way changes, repeats or cuts answers; it must pass them on as they are",
)
_UNPROVEN: Final = _Meaning(
    "without the proof that the central gives",
    f"a proxy or portal answers in the central's place, or takes {IDENTITY_HEADER} away; after a central was set back "
    'to an older version: central.proof = "never"',
)


def speaker_of(answer: Answer) -> str:
    """Return who answered, by its own words: the Server header, the host that was asked, what it came through."""
    if answer.identity is Identity.PROVEN:
        return f"the central at {host_of(answer.url)}"
    server, via = (_shown(answer.headers.get(name, "")) for name in ("Server", "Via"))
    name = f"{server} (Server header)" if server else "something that does not say its name"
    through = f", through {via} (Via header)" if via else ""
    return f"{name} at {host_of(answer.url)}{through}"


def host_of(url: str) -> str:
    """Return host and port of an address, without the name and password that it may hold."""
    parts = _split(url)
    return printable(parts.netloc.rpartition("@")[2] if parts else "", limit=_ADDRESS_CHARS) or "the address asked"


def no_central(answer: Answer) -> TransientSyncError | BatchTooLargeError:
    """Return what an answer that is no central's makes of the link: of the batch and the key it says nothing."""
    meaning = _redirect(answer) if answer.status in REDIRECTS else _meaning(answer)
    message = f"{speaker_of(answer)} answered {answer.status}: {meaning.said}"
    if answer.status == 413:
        return BatchTooLargeError(message, hint=meaning.do, is_centrals=False)
    return TransientSyncError(message, hint=meaning.do, is_centrals=False)


def unbelieved(answer: Answer, reason: str | None = None) -> TransientSyncError:
    """Return the failure of an answer 200 that settles nothing for this reason; without one, for want of a proof."""
    meaning = _UNPROVEN if reason is None else _Meaning(reason, _WRONG_ADDRESS)
    if answer.identity is Identity.WRONG:
        meaning = _CHANGED
    return TransientSyncError(
        f"{speaker_of(answer)} answered {answer.status}: {meaning.said}", hint=meaning.do, is_centrals=False
    )


def _meaning(answer: Answer) -> _Meaning:
    if answer.identity is Identity.WRONG:
        return _CHANGED
    if answer.status in _MEANINGS:
        return _MEANINGS[answer.status]
    return _BEFORE_THE_CENTRAL if answer.status >= 500 else _OTHERWISE


def _redirect(answer: Answer) -> _Meaning:
    """Where it leads, without the question behind it; nothing is sent there, and the API key stays here."""
    asked, target = _split(answer.url), _split(_joined(answer.url, answer.headers.get("Location", "")))
    if asked is None or target is None or not target.hostname:
        return _Meaning("it redirects to nowhere", _WRONG_ADDRESS)
    address = printable(f"{target.scheme}://{host_of(target.geturl())}{target.path}", limit=_ADDRESS_CHARS)
    if target.hostname == asked.hostname:
        return _Meaning(
            f"it redirects to {address}", "redirects are not followed: name the central's own address in central.url"
        )
    return _Meaning(
        f"it redirects to {address}: a captive portal wants a log-in from this site's network, or the central moved",
        f"{_LOG_IN}; or name the central's new address in central.url: redirects are not followed, the key stays here",
    )


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        return ""


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        parts.hostname  # noqa: B018 (an address in brackets is looked at only here)
    except ValueError:
        return None
    return parts


def _shown(header: str) -> str:
    return printable(header.strip(), limit=_HEADER_CHARS)
