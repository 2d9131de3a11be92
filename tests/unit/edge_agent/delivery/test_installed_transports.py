"""Transports of other packages that are broken: one sentence each, as a failure of the link, and the fallback goes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloud_sync import wire
from cloud_sync.errors import CredentialsError, TransientSyncError
from cloud_sync.host.printable import quoted
from cloud_sync.records import Batch, Settlement
from cloud_sync.transports.base import Guarantee, Route
from cloud_sync.transports.connection import DEFAULTS
from cloud_sync.transports.failover import FailoverTransport
from cloud_sync.transports.memory import MemoryTransport
from edge_agent.delivery.installed_transports import (
    GROUP,
    GuardedTransport,
    TransportContext,
    installed_names,
    installed_transport,
)
from edge_agent.delivery.transports import build_transport
from edge_agent.errors import ConfigurationError
from edge_agent.settings.load import load_settings
from tests.support.installed_package import installed
from tests.support.transports import FakeTransport

CONTEXT = TransportContext("gw-1", DEFAULTS)
BODY = wire.encode(Batch("gw-1"))
BROKEN = (
    "does not keep to the protocol: route must be a Route; guarantee must be a Guarantee; takes_events must be a bool"
    " or None; takes_digests must be a bool; it has no `async def send`; it has no `async def close`"
)
START = """\
from pydantic import BaseModel
from edge_agent.delivery.installed_transports import TransportKind
class Options(BaseModel):
    token: int = 0
"""


@contextlib.contextmanager
def package(folder: Path, source: str) -> Iterator[None]:
    with installed(folder, {"radio_transport.py": source}, {"radio": "radio_transport:KIND"}, group=GROUP):
        yield


async def failure(folder: Path, source: str, options: dict[str, object] | None = None) -> TransientSyncError:
    """Return what a send over the package's transport meets."""
    with package(folder, source):
        transport = installed_transport("radio", options or {}, CONTEXT)
        assert transport.route == Route("radio", is_known=False)
        assert transport.guarantee is Guarantee.UNKNOWN
        with pytest.raises(TransientSyncError) as caught:
            await transport.send(BODY, batch_id="b1")
        await transport.close()
    assert not caught.value.is_centrals
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("raise OSError('no modem')", "of the package edge-example cannot be loaded: OSError: no modem"),
        ("raise SystemExit(1)", "of the package edge-example cannot be loaded: SystemExit: 1"),
        ("import nowhere_to_be_found", "cannot be loaded: ModuleNotFoundError"),
        ("OTHER = 1", "cannot be loaded: AttributeError"),
        ("KIND = 1", "radio_transport:KIND is a int, not a TransportKind"),
        (START + "KIND = TransportKind(dict, lambda options, context: None)", "`options` must be a pydantic model"),
        (START + "KIND = TransportKind(Options, lambda options, context: 1 / 0)", "cannot be made: ZeroDivisionError"),
        (
            START + "KIND = TransportKind(Options, lambda options, context: object())",
            BROKEN,
        ),
    ],
)
async def test_what_is_broken_is_one_failure_of_the_link(tmp_path: Path, source: str, said: str) -> None:
    assert said in (await failure(tmp_path / "lib", source)).message


async def test_wrong_options_name_the_field_and_never_the_value(tmp_path: Path) -> None:
    source = START + "KIND = TransportKind(Options, lambda options, context: None)"
    error = await failure(tmp_path / "lib", source, {"token": "s3cr3t"})
    assert error.message.startswith("central.options.token: ")
    assert "s3cr3t" not in error.message


async def test_it_is_loaded_again_once_it_is_mended(tmp_path: Path) -> None:
    good = START + (
        "from cloud_sync.transports.memory import MemoryTransport\n"
        "KIND = TransportKind(Options, lambda options, context: MemoryTransport(name='radio'))"
    )
    with package(tmp_path / "lib", "raise OSError('no modem')"):
        transport = installed_transport("radio", {}, CONTEXT)
        with pytest.raises(TransientSyncError, match="no modem"):
            await transport.send(BODY, batch_id="b1")
        (tmp_path / "lib" / "radio_transport.py").write_text(good + "  # mended", encoding="utf-8")
        assert await transport.send(BODY, batch_id="b1") == Settlement(0, 0)
        assert transport.route == Route("radio")
        await transport.close()


def test_two_packages_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = {"radio": "radio_transport:KIND"}
    with (
        installed(tmp_path / "a", {}, entry, group=GROUP, package="first"),
        installed(tmp_path / "b", {}, entry, group=GROUP, package="second"),
    ):
        assert installed_names() == ["radio"]
        transport = installed_transport("radio", {}, CONTEXT)
        with pytest.raises(TransientSyncError, match="offered by first and second"):
            asyncio.run(transport.send(BODY, batch_id="b1"))


class Misbehaving(FakeTransport):
    answer: object = None

    async def send(self, body: bytes, *, batch_id: str) -> object:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def close(self) -> None:
        raise OSError("gone")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (KeyError("port"), "the transport 'radio' failed: KeyError: 'port'"),
        (None, "the transport 'radio' returned a NoneType in place of a Settlement"),
        (asyncio.CancelledError(), "the transport 'radio' cancelled its own send"),
        *(
            (answer, f"the transport 'radio' returned {quoted(answer)}, which counts nothing")
            for answer in (Settlement(-1, 2), Settlement("all", 0), Settlement(0, 0, (1,)), Settlement(0, 0, None))
        ),
    ],
)
async def test_what_its_send_does_wrong_is_a_failure_of_the_link(answer: object, said: str) -> None:
    inner = Misbehaving()
    inner.answer = answer
    guarded = GuardedTransport("radio", inner)
    with pytest.raises(TransientSyncError) as caught:
        await guarded.send(BODY, batch_id="b1")
    assert caught.value.message == said
    await guarded.close()  # what is closed after it is closed all the same


async def test_errors_of_delivery_pass_as_they_are() -> None:
    inner = Misbehaving()
    inner.answer = error = CredentialsError("the key is refused")
    with pytest.raises(CredentialsError) as caught:
        await GuardedTransport("radio", inner).send(BODY, batch_id="b1")
    assert caught.value is error


async def test_our_cancellation_passes() -> None:
    class Waiting(FakeTransport):
        async def send(self, body: bytes, *, batch_id: str) -> Settlement:
            await asyncio.Event().wait()
            raise AssertionError

    sending = asyncio.create_task(GuardedTransport("radio", Waiting()).send(BODY, batch_id="b1"))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_options_whose_model_fails_are_a_failure_of_the_link(tmp_path: Path) -> None:
    fails = (
        START + "    def model_post_init(self, _): 1 / 0\nKIND = TransportKind(Options, lambda options, context: None)"
    )
    error = await failure(tmp_path / "lib", fails)
    assert error.message == "the options of the transport 'radio': ZeroDivisionError: division by zero"


async def test_a_broken_one_gives_way_to_its_fallback() -> None:
    fallback = MemoryTransport()
    both = FailoverTransport(installed_transport("nowhere", {}, CONTEXT), fallback, after_failures=2)
    with pytest.raises(TransientSyncError, match="no installed package offers a transport 'nowhere'"):
        await both.send(BODY, batch_id="b1")
    await both.send(BODY, batch_id="b1")
    assert both.route.instead_of == "nowhere"
    assert fallback.sent_total == 1


SITE = '[gateway]\nid = "gw-1"\nsite = "lab"\n[central]\n{central}\n[[sources]]\ntype = "synthetic"\nname = "s"\n'
SITE += 'asset = "a"\nchannels = [{{ point = "p" }}]\n'


async def test_it_comes_before_url_which_is_its_fallback(tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(SITE.format(central='url = "https://central.test"\ntransport = "radio"'), encoding="utf-8")
    transport = build_transport(load_settings(file), api_key="key")
    assert isinstance(transport, FailoverTransport)
    assert transport.route.name == "radio"
    await transport.close()


@pytest.mark.parametrize(
    ("central", "said"),
    [
        ('url = "https://central.test"\noptions = { token = 1 }', "no use without transport"),
        ("allow_plaintext = false", "is missing"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(tmp_path: Path, central: str, said: str) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(SITE.format(central=central), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=said):
        load_settings(file)
