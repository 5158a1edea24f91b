"""What the OPC UA source bounds, what its errors say, and its settings."""

import errno
import importlib
import inspect
import pkgutil
import socket
from collections.abc import Iterator
from datetime import timedelta

import asyncua
import pytest
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError, UaStatusCodeErrors
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from adapters._opcua.errors import LIBRARY_ERRORS, to_source_error
from adapters._opcua.frames import ChunkCutter, NotOpcUa
from adapters.opcua import Address, Settings
from edge.contract import SourceError, SourceLost, SourceRefused

# --- bounds ---------------------------------------------------------------------------------------------


def chunk(kind: bytes, size: int) -> bytes:
    return kind + (size + 8).to_bytes(4, "little") + b"x" * size


@given(
    st.lists(
        st.tuples(st.sampled_from([b"MSGC", b"MSGF", b"OPNF", b"MSGA"]), st.integers(0, 60)), max_size=12
    ),
    st.lists(st.integers(1, 30)),
)
def test_a_stream_is_cut_into_the_same_chunks_in_any_slicing(
    chunks: list[tuple[bytes, int]], cuts: list[int]
) -> None:
    stream = b"".join(chunk(*one) for one in chunks)
    cutter, at_, whole = ChunkCutter(100, 4), 0, b""
    is_cut = False
    for cut in [*cuts, len(stream) + 1]:
        try:
            whole += cutter.feed(stream[at_ : at_ + cut])
        except NotOpcUa:
            is_cut = True
            break
        at_ += cut
    largest = most = message = count = 0
    for kind, size in chunks:
        message, count = message + size + 8, count + 1
        largest, most = max(largest, message), max(most, count)
        if kind[3:] in (b"F", b"A"):
            message = count = 0
    assert is_cut is (largest > 100 or most > 4)
    assert is_cut or whole == stream


@pytest.mark.parametrize("size", [0, 7, 101, 2**32 - 1])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(NotOpcUa):
        ChunkCutter(100).feed(b"MSGF" + size.to_bytes(4, "little"))


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request", b"SSH-2.0-OpenSSH_9.2", b"MSGX\x10\0\0\0"])
def test_what_is_no_opc_ua_is_said_to_be_none(words: bytes) -> None:
    with pytest.raises(NotOpcUa, match="no OPC UA"):
        ChunkCutter().feed(words)


@given(st.lists(st.binary(max_size=200)))
def test_the_cutter_survives_any_bytes_and_keeps_less_than_a_message(pieces: list[bytes]) -> None:
    cutter, fed, given_on = ChunkCutter(1000), 0, 0
    try:
        for piece in pieces:
            fed += len(piece)
            given_on += len(cutter.feed(piece))
            assert fed - given_on <= 1000 + 200
    except NotOpcUa:
        pass


# --- errors ---------------------------------------------------------------------------------------------

_NOT_USED = (
    "asyncua.tools",
    "asyncua.pubsub",
    "asyncua.sync",
    "asyncua.client.ha",
    "asyncua.common.sql_injection",
)


def library_errors() -> Iterator[type[Exception]]:
    """Every exception class that asyncua defines."""
    for module in pkgutil.walk_packages(asyncua.__path__, "asyncua."):
        if module.name.startswith(_NOT_USED):
            continue
        for _, one in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if issubclass(one, Exception) and one.__module__.startswith("asyncua"):
                yield one


def example(kind: type[Exception]) -> Exception:
    """An instance; their constructors differ."""
    if kind is UaStatusCodeErrors:
        return kind([StatusCodes.BadTimeout])  # type: ignore[no-untyped-call]
    if issubclass(kind, UaStatusCodeError) and kind is not UaStatusCodeError:
        return kind()
    return kind(1)


def test_every_error_of_the_library_is_caught_and_is_a_sentence() -> None:
    classes = set(library_errors())
    assert len(classes) > 200
    for kind in classes:
        assert any(issubclass(kind, caught) for caught in LIBRARY_ERRORS), kind
        assert "opc.tcp://plc" in str(to_source_error("press-plc", "opc.tcp://plc", example(kind)))


def status(name: str) -> Exception:
    return UaStatusCodeError(getattr(StatusCodes, name))  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, ""), SourceLost, "nothing listens there"),
        (OSError(errno.EHOSTUNREACH, ""), SourceLost, "no way to that host"),
        (OSError(errno.ENETUNREACH, ""), SourceLost, "no way to that network"),
        (ConnectionResetError(errno.ECONNRESET, ""), SourceLost, "reset"),
        (socket.gaierror(-2, "x"), SourceLost, "cannot be resolved"),
        (TimeoutError(), SourceLost, "no answer in time"),
        (ConnectionError("client is disconnected"), SourceLost, "was closed"),
        (status("BadIdentityTokenRejected"), SourceRefused, "check user and password"),
        (status("BadUserAccessDenied"), SourceRefused, "check user and password"),
        (status("BadTooManySessions"), SourceRefused, "no room for one more"),
        (status("BadTcpServerTooBusy"), SourceRefused, "no room for one more"),
        (
            status("BadSecurityModeRejected"),
            SourceRefused,
            "does not offer this security",
        ),
        (status("BadCertificateUntrusted"), SourceRefused, "trusted"),
        (status("BadSecurityChecksFailed"), SourceRefused, "certificates"),
        (status("BadTcpEndpointUrlInvalid"), SourceRefused, "endpoint"),
        (status("BadServiceUnsupported"), SourceRefused, "a service that is needed here"),
        (status("BadSessionClosed"), SourceLost, "BadSessionClosed"),
        (UaError("No matching endpoints: 3, x"), SourceRefused, "does not offer this security"),
        (UaError("Server certificate mismatch"), SourceRefused, "another certificate"),
        (UnicodeDecodeError("utf-8", b"", 0, 1, ""), SourceLost, "not OPC UA"),
    ],
)
def test_an_error_says_what_happened_and_what_to_do(
    error: Exception, kind: type[SourceError], words: str
) -> None:
    turned = to_source_error("press-plc", "opc.tcp://plc", error)
    assert type(turned) is kind
    assert words in turned.reason


# --- settings -------------------------------------------------------------------------------------------


def test_what_is_left_out() -> None:
    chosen = Settings.model_validate({"type": "opcua", "endpoint": "opc.tcp://plc"})
    assert chosen.endpoint == "opc.tcp://plc:4840"
    assert (chosen.security, chosen.user) == ("Basic256Sha256:SignAndEncrypt", None)
    assert chosen.publish == timedelta(milliseconds=200)
    assert chosen.session_timeout == timedelta(seconds=10)
    assert chosen.request_timeout == timedelta(seconds=4)


@pytest.mark.parametrize(
    "keys",
    [
        {"endpoint": "http://plc"},
        {"endpoint": "opc.tcp://"},
        {"endpoint": "opc.tcp://plc:99999"},
        {"endpoint": "opc.tcp://me:secret@plc:4840"},
        {"security": "Basic256:Sign"},
        {"security": "Basic256Sha256:Sign", "certificate": "a.der"},
        {"security": "None", "server_certificate": "a.der"},
        {"certificate": "a.der"},
        {"password": "secret", "user": "lineside"},
        {"password": {"env": "PRESS"}},
        {"publish": 200},
        {"publlish": "200ms"},
    ],
)
def test_what_is_wrong_is_refused(keys: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"type": "opcua", "endpoint": "opc.tcp://plc:4840"} | keys)


def test_two_signals_on_one_node_have_one_identity() -> None:
    assert Address(node=" ns=2;s=Count ").identity() == Address(node="ns=2;s=Count").identity()
    assert Address(node="ns=2;s=Count").counter_bits() is None
