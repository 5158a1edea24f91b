"""What a server may put into any answer, before anybody is known too: it costs little time and memory."""

import struct
import time
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from adapters._opcua.answers import TooMuch, answer_to
from adapters._opcua.binary import Malformed
from adapters._opcua.errors import LIBRARY_ERRORS
from adapters._opcua.requests import prepared_read
from tests.adapters.opcua_answers_support import CONTENTS, HEADERS, MIB, NULL, answer
from tests.adapters.opcua_raw_server import filled, header

SERVICES = (
    "OpenSecureChannel", "GetEndpoints", "CreateSession", "ActivateSession", "CloseSession", "Browse",
    "BrowseNext", "TranslateBrowsePathsToNodeIds", "Write", "CreateSubscription", "CreateMonitoredItems",
    "DeleteMonitoredItems",
)  # fmt: skip


def cleaned_and_decoded(name: str, body: bytes) -> Any:
    """As a connection does it; None for what is refused."""
    expected = answer_to(getattr(ua, f"{name}Request")())
    try:
        clean = expected.clean(body)
    except Malformed:
        return None
    return struct_from_binary(getattr(ua, f"{name}Response"), Buffer(clean))


def is_cheap(name: str, body: bytes) -> None:
    began = time.process_time()
    cleaned_and_decoded(name, body)
    assert time.process_time() - began < 0.6, "0.3 s, on a machine that has nothing else to do"
    tracemalloc.start()
    try:
        cleaned_and_decoded(name, body)
        assert tracemalloc.get_traced_memory()[1] < 20 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("what", CONTENTS)
def test_what_an_answer_is_full_of_costs_little(what: str) -> None:
    is_cheap(*CONTENTS[what])


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("what", HEADERS)
def test_what_stands_in_a_header_costs_little(service: str, what: str) -> None:
    is_cheap(service, HEADERS[what](answer(service)))


@pytest.mark.parametrize("what", HEADERS)
def test_what_stands_in_the_header_of_a_fault_costs_little(what: str) -> None:
    for request in (ua.PublishRequest(), prepared_read([])):
        body = HEADERS[what](
            b"\1\0\x8d\1" + answer("Publish")[4:16] + b"\0\0\x0a\x80" + answer("Publish")[20:28]
        )
        began = time.process_time()
        with suppress(Malformed):
            assert len(answer_to(request).clean(body)) == 28
        assert time.process_time() - began < 0.3


def honest_endpoint(number: int) -> ua.EndpointDescription:
    server = ua.ApplicationDescription(
        "urn:acme:press", "urn:acme", ua.LocalizedText("Press", "en"), ua.ApplicationType.Server, None, None,
        [f"opc.tcp://plc{name}:4840/acme/press" for name in range(5)],
    )  # fmt: skip
    tokens = [ua.UserTokenPolicy(f"way {way}", ua.UserTokenType(way % 3)) for way in range(8)]
    return ua.EndpointDescription(
        f"opc.tcp://plc{number}:4840/acme/press", server, bytes(4096), ua.MessageSecurityMode.SignAndEncrypt,
        "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256", tokens, "urn:tcp", 5,
    )  # fmt: skip


def expanded(*said: Any) -> ua.ExpandedNodeId:
    return ua.ExpandedNodeId(*said)


def node(*said: Any) -> ua.NodeId:
    return ua.NodeId(*said)


NODES = (
    expanded("Press.Count", 3, ua.NodeIdType.String),
    expanded(7, 0, ua.NodeIdType.Numeric),
    expanded(b"\1\2", 1, ua.NodeIdType.ByteString, "urn:acme", 4),
    expanded(85),
)


def reference(number: int) -> ua.ReferenceDescription:
    return ua.ReferenceDescription(
        node(35), True, NODES[number % 4], ua.QualifiedName(f"Counter {number}", 3),
        ua.LocalizedText(f"Zähler {number}", "de"), ua.NodeClass.Variable, NODES[-1],
    )  # fmt: skip


def honest() -> list[Any]:
    """One large answer of each service, as good servers send them."""
    offered = [honest_endpoint(number) for number in range(60)]
    token = ua.ChannelSecurityToken(ua.UInt32(7), ua.UInt32(1), RevisedLifetime=ua.UInt32(3_600_000))
    browsed = [ua.BrowseResult(ContinuationPoint=b"x", References=[reference(n) for n in range(2000)])]
    signature = ua.SignatureData("rsa", bytes(256))
    item = ua.MonitoredItemCreateResult(ua.StatusCode(), ua.UInt32(5), 100.0, ua.UInt32(64))
    return [
        ua.OpenSecureChannelResponse(Parameters=ua.OpenSecureChannelResult(0, token, bytes(32))),
        ua.GetEndpointsResponse(Endpoints=offered),
        ua.CreateSessionResponse(
            Parameters=ua.CreateSessionResult(
                node("s", 1), node(b"secret", 0, ua.NodeIdType.ByteString), 60000.0, bytes(32),
                bytes(4096), offered, [ua.SignedSoftwareCertificate(b"a", b"b")], signature, ua.UInt32(0),
            )
        ),
        ua.ActivateSessionResponse(Parameters=ua.ActivateSessionResult(bytes(32), [ua.StatusCode()], [])),
        ua.BrowseResponse(Results=[*browsed, ua.BrowseResult(References=[])]),
        ua.BrowseNextResponse(Parameters=ua.BrowseNextResult(Results=browsed)),
        ua.TranslateBrowsePathsToNodeIdsResponse(
            Results=[ua.BrowsePathResult(Targets=[ua.BrowsePathTarget(n, 0xFFFFFFFF) for n in NODES])] * 500
        ),
        ua.WriteResponse(Results=[ua.StatusCode()]),
        ua.CreateSubscriptionResponse(
            Parameters=ua.CreateSubscriptionResult(ua.UInt32(1), 100.0, ua.UInt32(3), ua.UInt32(4))
        ),
        ua.CreateMonitoredItemsResponse(Results=[item] * 500),
        ua.DeleteMonitoredItemsResponse(Results=[ua.StatusCode()] * 500),
        ua.CloseSessionResponse(),
    ]  # fmt: skip


@pytest.mark.parametrize("sent", honest(), ids=lambda sent: type(sent).__name__)
def test_what_honest_servers_send_passes_as_it_is(sent: Any) -> None:
    sent.ResponseHeader.RequestHandle = 5
    body = struct_to_binary(sent)
    wanted = struct_from_binary(type(sent), Buffer(body))
    name = type(sent).__name__.removesuffix("Response")
    wordy = header(body, b"\x11\1\0\0\0\2\0\0\0no", struct.pack("<ii", 1, 3) + b"two", b"\1\0\7\0\1" + NULL)
    assert cleaned_and_decoded(name, body) == wanted
    assert cleaned_and_decoded(name, wordy) == wanted, "diagnostics, texts and more are passed over"


def test_diagnostics_that_nobody_asked_for_are_left_out() -> None:
    body = struct_to_binary(ua.WriteResponse(Results=[ua.StatusCode()]))[:-4] + filled(b"\0", 100)
    found = cleaned_and_decoded("Write", body)
    assert len(found.Results) == 1
    assert not found.DiagnosticInfos


def test_a_request_that_failed_is_answered_by_a_fault() -> None:
    sent = ua.BrowseResponse(
        ResponseHeader=ua.ResponseHeader(ServiceResult=ua.StatusCode(ua.UInt32(0x800A0000)))
    )
    clean = answer_to(ua.BrowseRequest()).clean(struct_to_binary(sent))
    assert struct_from_binary(ua.ServiceFault, Buffer(clean)).ResponseHeader.ServiceResult.value == 0x800A0000
    assert len(clean) == 28


def test_more_than_is_asked_for_is_too_much_and_another_answer_is_none() -> None:
    with pytest.raises(TooMuch):
        answer_to(ua.BrowseRequest()).clean(CONTENTS["references"][1])
    with pytest.raises(Malformed, match="an answer of type 530 in place of 431"):
        answer_to(ua.GetEndpointsRequest()).clean(answer("Browse"))


@given(st.sampled_from(honest()), st.lists(st.tuples(st.integers(0, 400), st.binary(min_size=1, max_size=5))))
def test_whatever_the_bytes_are_asyncua_reads_what_was_looked_at(
    sent: Any, changes: list[tuple[int, bytes]]
) -> None:
    body = bytearray(struct_to_binary(sent)[:20_000])
    for at, some in changes:
        body[at : at + len(some)] = some
    name = type(sent).__name__.removesuffix("Response")
    began = time.process_time()
    with suppress(*LIBRARY_ERRORS):
        cleaned_and_decoded(name, bytes(body))
    assert time.process_time() - began < 0.6
