"""One HTTP request and its whole answer: one deadline, one bound. Every answer over HTTP comes in through here.

Constraints
- The deadline moves only with what this side has sent and the other has acknowledged (`request_deadline`). From the
  last byte of the request on the answer, its headers and its body together, has a time of its own: a server that
  sends a byte now and then gains nothing by it.
- The body is taken as it travels. No compression is asked for and none is undone, so what is counted is what is held.
  Headers are bounded by the library (100 kB, `httpcore`). No redirect is followed, no cookie kept.
- Each request with an API key carries a challenge, and the answer's proof is looked at here, where all of it is.
- How a connection comes about stands in `network`; the library's client is made at the first exchange.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx

from cloud_sync.answer_proof import CHALLENGE_HEADER, IDENTITY_HEADER, Identity, identity_in, new_challenge
from cloud_sync.errors import TransientSyncError
from cloud_sync.host.printable import printable
from cloud_sync.transports.answers import MAX_ANSWER_BYTES
from cloud_sync.transports.central_time import CentralTime
from cloud_sync.transports.connection import ConnectionOptions
from cloud_sync.transports.http_errors import check_certificate_taken, translated
from cloud_sync.transports.http_pool import forward_of, transport_of
from cloud_sync.transports.link_meter import LinkBytes
from cloud_sync.transports.proxies.handshake import refused_by_http
from cloud_sync.transports.request_deadline import RequestDeadline
from cloud_sync.transports.sending_progress import on_progress
from cloud_sync.transports.tls import ClientTls

_PROXY_SIGN_IN: Final = 407

_PIECE_BYTES: Final = 16_384
"""What the kernel takes at a time; that it takes long to leave is seen from there."""

IDLE_S: Final = 300.0
"""A report a minute then needs no new handshake; where a server or a router keeps less, the library connects again."""

_NOT_NEEDED: Final = ("Accept", "Connection", "User-Agent")
"""What the library adds and HTTP/1.1 does not ask for."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back from `url`, and what it says of who gave it."""

    status: int
    headers: httpx.Headers
    body: bytes
    url: str = ""
    identity: Identity = Identity.NONE
    moments_us: tuple[int, int] | None = None
    """When the request began to go out and the answer began to come, since boot; None when nobody wants to know."""


class HttpExchange:
    """A keep-alive client that asks one server at a time as often as one likes."""

    def __init__(
        self,
        *,
        headers: Mapping[str, str],
        tls: ClientTls,
        connection: ConnectionOptions,
        max_connections: int | None = None,
    ) -> None:
        self._headers = dict(headers)
        self._tls = tls
        self._connection = connection
        self._timeout = httpx.Timeout(None, pool=connection.answer_timeout_s)  # else it is the deadline that counts
        self._answer_timeout_s = connection.answer_timeout_s
        self._unsent_s = connection.open_within_s + connection.answer_timeout_s
        self._use = connection.use
        self._central_time = connection.central_time
        self._limits = httpx.Limits(
            max_connections=max_connections, max_keepalive_connections=20, keepalive_expiry=self._use.idle_s or IDLE_S
        )
        self._client: httpx.AsyncClient | None = None
        self._is_closed = False

    async def ask(
        self,
        method: str,
        url: str,
        *,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Answer:
        """Return the whole answer, whatever its status. Raises TransientSyncError or CredentialsError."""
        if self._is_closed:
            raise TransientSyncError("the transport was closed")
        self._tls.refresh()
        challenge, asked = new_challenge(body), _Asked(self._central_time)
        with translated(url, self._tls.own):
            if self._client is None:
                self._client = self._made_client(url)
            async with asyncio.timeout(self._unsent_s) as timeout:
                deadline = RequestDeadline(timeout, answer_timeout_s=self._answer_timeout_s, body_bytes=len(body))
                more = {**(headers or {}), CHALLENGE_HEADER: challenge}
                if body:
                    more["Content-Length"] = str(len(body))
                content = _in_pieces(body, deadline) if body else None
                request = self._client.stream(
                    method,
                    url,
                    params=params,
                    content=content,
                    headers=more,
                    extensions={"trace": _begun(deadline, asked)},
                )
                on_progress.set(deadline.record_unacknowledged)
                async with request as response:
                    moments_us = asked.moments_us()
                    found = await _body(url, response, max_bytes)
                    answer = replace(self._identified(url, challenge, response, found), moments_us=moments_us)
        if self._use.meter is not None:
            self._use.meter.add(LinkBytes(payload=len(body)))
        if answer.status == _PROXY_SIGN_IN and (refusal := self._refused_by_proxy(url, answer)) is not None:
            raise refusal
        check_certificate_taken(url, self._tls.own, answer.status, answer.body)
        return answer

    def _identified(self, url: str, challenge: str, response: httpx.Response, body: bytes) -> Answer:
        header, key = response.headers.get(IDENTITY_HEADER), self._headers.get("X-API-Key", "")
        identity = identity_in(header, key, challenge, status=response.status_code, body=body)
        return Answer(response.status_code, response.headers, body, url, identity)

    def _refused_by_proxy(self, url: str, answer: Answer) -> TransientSyncError | None:
        """407 is a proxy's own answer, also to a request that it was to pass on (http://, through an HTTP proxy).

        None when no proxy was named for this request.
        """
        where = httpx.URL(url)
        with translated(url):
            proxy = forward_of(where, self._connection)
        if proxy is None:
            return None
        offered = [method.split()[0] for method in answer.headers.get_list("Proxy-Authenticate") if method.split()]
        refusal = refused_by_http(proxy, answer.status, f"{where.host}:{where.port or 80}", offered=offered)
        return TransientSyncError(f"{url}: {refusal.words}", hint=refusal.hint)

    async def aclose(self) -> None:
        self._is_closed = True
        if self._client is not None:
            await self._client.aclose()

    def _made_client(self, url: str) -> httpx.AsyncClient:
        client = client_for(
            url, self._connection, self._tls.context, timeout=self._timeout, headers=self._headers, limits=self._limits
        )
        for name in _NOT_NEEDED:
            client.headers.pop(name, None)
        return client


class _Asked:
    """When one request began to go out, for whoever wants to know what time it is at the other side."""

    def __init__(self, central_time: CentralTime | None) -> None:
        self._central_time = central_time
        self._began_us: int | None = None

    def begin(self) -> None:
        self._began_us = None if self._central_time is None else self._central_time.now_us()

    def moments_us(self) -> tuple[int, int] | None:
        """Return when it began, and now."""
        if self._central_time is None or self._began_us is None:
            return None
        return self._began_us, self._central_time.now_us()


def _begun(deadline: RequestDeadline, asked: _Asked) -> Callable[[str, object], Awaitable[None]]:
    """Of the library's events one counts: the connection stands, and the request goes out."""

    async def trace(event: str, _: object) -> None:
        if event == "http11.send_request_headers.started":
            deadline.go_on()
            asked.begin()

    return trace


async def _in_pieces(body: bytes, deadline: RequestDeadline) -> AsyncIterator[bytes]:
    """The body in pieces, each with time of its own; the library comes for the next when one has gone out."""
    for start in range(0, len(body), _PIECE_BYTES):
        deadline.go_on()
        yield body[start : start + _PIECE_BYTES]
    deadline.go_on(is_last=True)


def client_for(
    url: str,
    connection: ConnectionOptions,
    verify: ssl.SSLContext,
    *,
    timeout: httpx.Timeout,
    headers: Mapping[str, str] | None = None,
    limits: httpx.Limits | None = None,
) -> httpx.AsyncClient:
    """Return a client that asks for nothing packed, keeps no cookie, and connects as the options say."""
    return httpx.AsyncClient(
        headers={**(headers or {}), "Accept-Encoding": "identity"},
        timeout=timeout,
        transport=transport_of(httpx.URL(url), connection, verify, limits or httpx.Limits()),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        trust_env=False,  # what of the environment counts is read where a connection is made
    )


async def _body(url: str, response: httpx.Response, max_bytes: int) -> bytes:
    packed = response.headers.get("Content-Encoding", "identity").strip().lower()
    if packed not in ("", "identity"):
        if response.is_success:
            raise TransientSyncError(
                f"{url}: the answer is packed ({printable(packed, limit=40)}), which was not asked for",
                hint="a proxy before the central packs answers: it must keep to Accept-Encoding: identity",
            )
        return b""  # an error's page; its status says enough
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > max_bytes:
            raise TransientSyncError(f"{url}: the answer is longer than {max_bytes} bytes")
    return bytes(body)
