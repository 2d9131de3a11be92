"""Node ids and browse paths as a site's file writes them."""

from __future__ import annotations

import base64
import contextlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.drivers.opcua.node_address import (
    NodeAddress,
    PathStep,
    UnknownNamespaceError,
    escaped_name,
    index_of,
    parse_browse_path,
    parse_node_id,
)

GUID = "09087e75-8e5e-499b-954f-f2a9603db28a"


@pytest.mark.parametrize(
    ("text", "namespace", "identifier"),
    [
        ("i=85", 0, 85),
        ("ns=2;i=4294967295", 2, 2**32 - 1),
        ("ns=65535;s=Press3.Temperature", 65_535, "Press3.Temperature"),
        ("ns=2;s=a;ns=3;s=b=c", 2, "a;ns=3;s=b=c"),
        (f"ns=2;g={GUID}", 2, uuid.UUID(GUID)),
        ("ns=2;b=AQI=", 2, b"\x01\x02"),
        ("nsu=http://maker.com/press/;i=7", "http://maker.com/press/", 7),
        ("nsu=urn:a%3Bb%25c;s=T", "urn:a;b%c", "T"),
    ],
)
def test_the_four_kinds_of_node_id_by_index_or_uri(text, namespace, identifier) -> None:
    assert parse_node_id(text) == NodeAddress(namespace, identifier)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ns=2;i=abc", 'after i= comes a number from 0 to 4294967295, not "abc"'),
        ("i=-1", "after i= comes a number"),
        ("i=4294967296", "after i= comes a number"),
        ("i=٣", "after i= comes a number"),
        ("g=not-a-guid", "after g= comes a GUID"),
        ("g={09087e75-8e5e-499b-954f-f2a9603db28a}", "after g= comes a GUID"),
        ("b=not base64", "after b= comes base64"),
        ("b=0x0102", "after b= comes base64"),
        ("b=", "1 to 4096 bytes"),
        ("s=", "1 to 4096 characters"),
        ("s=" + "x" * 4097, "1 to 4096 characters"),
        ("ns=65536;i=1", "from 0 to 65535"),
        ("ns=two;i=1", "from 0 to 65535"),
        ("ns=2", "is not a node id"),
        ("nsu=urn:x", "a URI and a semicolon"),
        ("nsu=;i=1", "a URI and a semicolon"),
        ("svr=1;ns=2;i=3", "make that server a source of its own"),
        ("ns=2;svr=1;i=3", "make that server a source of its own"),
        ("Temperature", "is not a node id"),
        ("", "is not a node id"),
    ],
)
def test_what_no_server_can_have_is_refused_in_words(text, words) -> None:
    with pytest.raises(ValueError, match=r".") as raised:
        parse_node_id(text)
    assert words in str(raised.value)


@given(st.binary(min_size=1, max_size=64), st.integers(0, 65_535))
def test_any_opaque_identifier_is_read_back(identifier, namespace) -> None:
    text = f"ns={namespace};b={base64.b64encode(identifier).decode()}"
    assert parse_node_id(text) == NodeAddress(namespace, identifier)


@given(st.text())
def test_no_text_is_more_than_refused(text) -> None:
    for parse in (parse_node_id, parse_browse_path):
        with contextlib.suppress(ValueError):
            parse(text)


def test_a_uri_is_an_index_only_at_a_server_that_has_it() -> None:
    assert index_of(7, ()) == 7
    assert index_of("urn:b", ("http://opcfoundation.org/UA/", "urn:a", "urn:b")) == 2
    with pytest.raises(UnknownNamespaceError, match=r'no namespace "urn:c"; it has "urn:a", "urn:b"'):
        index_of("urn:c", ("urn:a", "urn:b"))


def test_a_browse_path_is_its_levels() -> None:
    assert parse_browse_path("/Objects/2:Machine/nsu=http://a.b/c;Temp*/**/R&/min&*") == (
        PathStep(None, "Objects"),
        PathStep(2, "Machine"),
        PathStep("http://a.b/c", "Temp*"),
        PathStep(None, "**", is_any_depth=True),
        PathStep(None, "R/min[*]"),
    )


@pytest.mark.parametrize("text", ["", "/", "Objects//T", "Objects/", "2:", "2:**", "nsu=urn:x/T", "T&", "70000:T"])
def test_a_broken_browse_path_is_refused_in_words(text) -> None:
    with pytest.raises(ValueError, match="browse_path"):
        parse_browse_path(text)


@given(st.text(min_size=1), st.integers(0, 65_535))
def test_an_escaped_name_takes_that_name_only(name, namespace) -> None:
    (step,) = parse_browse_path(f"{namespace}:{escaped_name(name)}")
    assert step.takes(namespace, name, wanted=namespace)
    assert not step.takes(namespace, name + "x", wanted=namespace)
    assert not step.takes(namespace + 1, name, wanted=namespace)


def test_a_name_without_namespace_is_of_any() -> None:
    (step,) = parse_browse_path("Temp?rature")
    assert step.takes(3, "Temperature", wanted=None)
    assert not step.takes(3, "temperature", wanted=None)
