"""What is said to a proxy, and what each of its answers is called. No socket: the text alone."""

from __future__ import annotations

import pytest

from cloud_sync.transports.proxies.handshake import handshake
from cloud_sync.transports.proxies.proxy import Proxy
from cloud_sync.transports.steps import StepError

HTTP = Proxy("http", "10.0.0.1", 3128, source="HTTPS_PROXY")
SIGNED = Proxy("http", "10.0.0.1", 3128, "gw", "pw")
SOCKS = Proxy("socks5h", "10.0.0.1", 1080)
SOCKS_SIGNED = Proxy("socks5h", "10.0.0.1", 1080, "gw", "pw")


def spoken(proxy: Proxy, answers: bytes, host: str = "central.plant", port: int = 443) -> tuple[bytes, bytes]:
    """Return what was sent and what of the answers was left; raises EOFError when more is wanted than there is."""
    exchange, sent, given = handshake(proxy, host, port), b"", b""
    while True:
        try:
            wanted = exchange.send(given) if given else next(exchange)
        except StopIteration:
            return sent, answers
        given = b""
        if isinstance(wanted, bytes):
            sent += wanted
        elif len(answers) < wanted:
            raise EOFError
        else:
            given, answers = answers[:wanted], answers[wanted:]


def test_connect_names_the_host_and_takes_nothing_of_what_follows():
    sent, left = spoken(HTTP, b"HTTP/1.1 200 Connection established\r\nVia: 1.1 x\r\n\r\n\x16\x03")
    assert sent == b"CONNECT central.plant:443 HTTP/1.1\r\nHost: central.plant:443\r\n\r\n"
    assert left == b"\x16\x03"
    assert spoken(HTTP, b"HTTP/1.0 200 OK\r\n\r\n", "fd00::1")[0].startswith(b"CONNECT [fd00::1]:443 HTTP/1.1\r\n")
    assert b"\r\nProxy-Authorization: Basic Z3c6cHc=\r\n" in spoken(SIGNED, b"HTTP/1.1 200 OK\r\n\r\n")[0]
    assert spoken(HTTP, b"HTTP/1.1 200 OK\r\n\r\n", "bücher.plant")[0].startswith(b"CONNECT xn--bcher-kva.plant:443 ")


@pytest.mark.parametrize(
    ("proxy", "answer", "said", "hint"),
    [
        (HTTP, b"407 x\r\nProxy-Authenticate: Basic realm=x", "answers 407: it wants a user name", "HTTPS_PROXY"),
        (HTTP, b"407 x", "answers 407: it wants a user name and password", "USER:PASSWORD@"),
        (SIGNED, b"407 x\r\nproxy-authenticate: basic", "does not take this user name", "central.proxy.password_file"),
        (SIGNED, b"407 x\r\nProxy-Authenticate: NTLM\r\nProxy-Authenticate: Negotiate", "NTLM or Negotiate", "Basic"),
        (HTTP, b"403 x", "answers 403: it does not allow a connection to central.plant:443", "whoever runs"),
        (HTTP, b"405 x", "answers 405: it does not take CONNECT", "is it a proxy"),
        (HTTP, b"502 x", "answers 502: it does not reach central.plant:443", "does the central run"),
        (HTTP, b"503 x", "answers 503: it does not reach", "central.url"),
        (HTTP, b"504 x", "answers 504: it does not reach", "central.url"),
        (HTTP, b"301 x", "answers 301", "whoever runs"),
    ],
)  # fmt: skip
def test_a_refusal_over_http_is_said_with_the_proxy_and_the_remedy(proxy: Proxy, answer: bytes, said: str, hint: str):
    with pytest.raises(StepError) as caught:
        spoken(proxy, b"HTTP/1.1 " + answer + b"\r\n\r\n")
    assert caught.value.words.startswith("the proxy at http://10.0.0.1:3128 (")
    assert said in caught.value.words
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("proxy", "answer"),
    [
        (HTTP, b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), (HTTP, b"\x05\xff\x00\x00\x00"), (HTTP, b"HTTP/2 200\r\n\r\n"),
        (HTTP, b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 4_000), (SOCKS, b"HTTP/1.1 400 Bad"), (SOCKS, b"\x00\x5b"),
        (SOCKS, b"\x05\x02"), (SOCKS, b"\x05\x00\x04\x00\x00\x00"),
    ],
)  # fmt: skip
def test_what_is_no_such_proxy_is_said(proxy: Proxy, answer: bytes):
    with pytest.raises(StepError, match="does not answer as") as caught:
        spoken(proxy, answer)
    assert "right port" in str(caught.value.hint)


BOUND = b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("central.plant", b"\x03\x0dcentral.plant"),
        ("10.0.0.5", b"\x01\x0a\x00\x00\x05"),
        ("fd00::1", b"\x04\xfd\x00" + bytes(13) + b"\x01"),
    ],
)
def test_socks_is_asked_for_a_name_or_an_address(host: str, address: bytes):
    sent, left = spoken(SOCKS, b"\x05\x00" + BOUND + b"left", host)
    assert sent == b"\x05\x01\x00" + b"\x05\x01\x00" + address + b"\x01\xbb"
    assert left == b"left"


@pytest.mark.parametrize("bound", [BOUND, b"\x05\x00\x00\x04" + bytes(18), b"\x05\x00\x00\x03\x04host\x00\x00"])
def test_socks_signs_in_and_takes_the_whole_answer(bound: bytes):
    sent, left = spoken(SOCKS_SIGNED, b"\x05\x02\x01\x00" + bound + b"left")
    assert sent.startswith(b"\x05\x02\x00\x02" + b"\x01\x02gw\x02pw" + b"\x05\x01\x00\x03")
    assert left == b"left"


@pytest.mark.parametrize(
    ("proxy", "answers", "said"),
    [
        (SOCKS, b"\x05\xff", "wants a user name and password"),
        (SOCKS_SIGNED, b"\x05\xff", "wants another way to sign in"),
        (SOCKS_SIGNED, b"\x05\x02\x01\x01", "does not take this user name and password"),
        (SOCKS, b"\x05\x00\x05\x01\x00\x01", "it failed"),
        (SOCKS, b"\x05\x00\x05\x02\x00\x01", "its rules do not allow it"),
        (SOCKS, b"\x05\x00\x05\x03\x00\x01", "no route to that network"),
        (SOCKS, b"\x05\x00\x05\x04\x00\x01", "does not reach that host"),
        (SOCKS, b"\x05\x00\x05\x05\x00\x01", "connection refused"),
        (SOCKS, b"\x05\x00\x05\x06\x00\x01", "in time"),
        (SOCKS, b"\x05\x00\x05\x07\x00\x01", "does not take CONNECT"),
        (SOCKS, b"\x05\x00\x05\x08\x00\x01", "kind of address"),
        (SOCKS, b"\x05\x00\x05\x63\x00\x01", "it says 99"),
    ],
)
def test_a_refusal_over_socks_is_said_in_words(proxy: Proxy, answers: bytes, said: str):
    with pytest.raises(StepError) as caught:
        spoken(proxy, answers)
    assert caught.value.words.startswith("the proxy at socks5h://10.0.0.1:1080 (central.proxy.url) ")
    assert said in caught.value.words


@pytest.mark.parametrize("host", ["a" * 64, ".".join(["a" * 60] * 5), "a..b"])
@pytest.mark.parametrize("proxy", [HTTP, SOCKS])
def test_what_is_no_name_is_not_sent(proxy: Proxy, host: str):
    with pytest.raises(StepError, match="name"):
        spoken(proxy, b"", host)
