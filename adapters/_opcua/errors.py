"""What goes wrong inside asyncua, as a sentence for a user. The one place that knows its errors."""

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import cryptography.exceptions
from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import uacrypto
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from edge.contract import SourceError, SourceLost, SourceRefused

_UNREADABLE = (
    struct.error, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError,
    RecursionError,
)  # fmt: skip
"""What its decoder raises on bytes that are no OPC UA, besides its own errors."""

_SIGNATURES = (
    uacrypto.InvalidSignature,  # type: ignore[attr-defined]  # its module hides it from mypy
    cryptography.exceptions.InvalidSignature,
    cryptography.exceptions.UnsupportedAlgorithm,
)

LIBRARY_ERRORS = (UaError, OSError, *_SIGNATURES, *_UNREADABLE)

OFFERS = " does not offer {}; it offers {}: set security to one of these, or have it offered by the server"

_FULL = "has no room for one more: close other clients, or raise its limit"
_USER = "refuses the user: check user and password, and what this user may do there"
_SECURITY = (
    "does not offer this security: set security to one that it offers, which `lineside certificate doctor` "
    "lists"
)
_UNTRUSTED = "does not trust our certificate: put it among its trusted ones, with its own tools"
_OUTDATED = "says that our certificate is out of date: compare the clocks of both, and its dates"
_OTHER_URI = "says that our certificate names another URI than we do: make a new one, with that URI"
_UNFIT = "cannot use our certificate: it wants another kind, or those who issued it beside it"
_UNPROVEN = (
    "does not prove that it holds the key of its certificate: it was renewed, or somebody stands between"
)
IMPOSTOR = "shows another certificate than server_certificate: it was renewed, or somebody stands between"
_LICENCE = "says that its licence does not allow this"
_CHECKS = (
    "rejects our certificate and does not say why: most often it is not among its trusted certificates; else "
    "compare the clocks of both"
)
_SILENT = (
    "closed the connection when it saw our certificate: most often it is not among its trusted ones; else it "
    "ended just then"
)
_ENDPOINT = "does not know this endpoint: check the path after the port"
_SERVICE = "does not offer {}"
_SOME_SERVICE = "a service that is needed here"

_REFUSALS = {
    _FULL: "BadTooManySessions BadTooManySubscriptions BadTooManyMonitoredItems BadTooManyPublishRequests "
    "BadTcpServerTooBusy BadServerTooBusy BadMaxConnectionsReached",
    _USER: "BadUserAccessDenied BadIdentityTokenInvalid BadIdentityTokenRejected "
    "BadIdentityChangeNotSupported BadUserSignatureInvalid",
    _SECURITY: "BadSecurityPolicyRejected BadSecurityModeRejected BadSecurityModeInsufficient",
    _UNTRUSTED: "BadCertificateUntrusted BadCertificateRevoked BadCertificateIssuerRevoked",
    _OUTDATED: "BadCertificateTimeInvalid BadCertificateIssuerTimeInvalid",
    _OTHER_URI: "BadCertificateUriInvalid",
    _UNFIT: "BadCertificateInvalid BadCertificateHostNameInvalid BadCertificateUseNotAllowed "
    "BadCertificateChainIncomplete BadCertificatePolicyCheckFailed BadCertificateRevocationUnknown "
    "BadCertificateIssuerUseNotAllowed BadCertificateIssuerRevocationUnknown BadNoValidCertificates",
    _LICENCE: "BadLicenseExpired BadLicenseLimitsExceeded BadLicenseNotAvailable",
    _CHECKS: "BadSecurityChecksFailed BadNonceInvalid BadApplicationSignatureInvalid",
    _ENDPOINT: "BadTcpEndpointUrlInvalid BadServerUriInvalid",
    _SERVICE: "BadServiceUnsupported BadProtocolVersionUnsupported BadNotSupported BadNotImplemented",
}

_REFUSAL_OF = {getattr(StatusCodes, name): why for why, names in _REFUSALS.items() for name in names.split()}

_OF_OURS = {_UNTRUSTED, _OUTDATED, _OTHER_URI, _UNFIT, _CHECKS}

_UNREACHABLE = {
    errno.ECONNREFUSED: "nothing listens there: is the OPC UA server running, and is the port right?",
    errno.EHOSTUNREACH: "no way to that host: check cable, address and gateway",
    errno.ENETUNREACH: "no way to that network: check cable, address and gateway",
    errno.ECONNRESET: "the connection was reset",
    errno.EPIPE: "the connection was closed",
}


def to_source_error(source: str, endpoint: str, error: BaseException, service: str = "") -> SourceError:
    """The SourceError for anything in LIBRARY_ERRORS. `service`: what was asked for, where that is known."""
    if isinstance(error, UaStatusCodeError | ServiceError):
        return _of_status(source, endpoint, error, service or _SOME_SERVICE)
    if isinstance(error, OSError):
        return SourceLost(source, f"{endpoint}: {_of_socket(error)}")
    if isinstance(error, _SIGNATURES):
        return SourceRefused(source, f"{endpoint} {_UNPROVEN}")
    if isinstance(error, UaError):
        return _of_library(source, endpoint, str(error))
    return SourceLost(source, f"{endpoint} answers with what is not OPC UA ({type(error).__name__})")


def of_ours(source: str, endpoint: str, error: BaseException, ours: str) -> SourceError | None:
    """For an error of the first answers of a channel: what it says of our certificate, and which that is.

    None where the error has nothing to do with it. `ours` names the certificate.
    """
    if isinstance(error, UaStatusCodeError | ServiceError):
        why = _REFUSAL_OF.get(error.code or 0)
        name = ua.StatusCode(ua.UInt32(error.code or 0)).name
        return SourceRefused(source, f"{endpoint} {why} ({name}; {ours})") if why in _OF_OURS else None
    if isinstance(error, ConnectionError):
        return SourceLost(source, f"{endpoint} {_SILENT} ({ours})")
    return None


def _of_status(
    source: str, endpoint: str, error: UaStatusCodeError | ServiceError, service: str
) -> SourceError:
    name = ua.StatusCode(ua.UInt32(error.code or 0)).name
    if error.code in _REFUSAL_OF:
        why = _REFUSAL_OF[error.code]
        words = why.format(service) if why == _SERVICE else why
        return SourceRefused(source, f"{endpoint} {words} ({name})")
    return SourceLost(source, f"{endpoint} broke off with {name}")


def _of_socket(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return "the host's name cannot be resolved: check its spelling and the DNS"
    if isinstance(error, TimeoutError):
        return "no answer in time: the server or the network stands still"
    if error.errno in _UNREACHABLE:
        return _UNREACHABLE[error.errno]
    return str(error) if error.errno is not None else "the connection was closed"


def _of_library(source: str, endpoint: str, text: str) -> SourceError:
    if text.startswith(("No matching endpoint", "No matching policy")):
        return SourceRefused(source, f"{endpoint} {_SECURITY}")
    if text.startswith("Server certificate mismatch"):
        return SourceRefused(source, f"{endpoint} {IMPOSTOR}")
    return SourceLost(source, f"{endpoint} answers with what asyncua cannot use: {text[:200]}")


@contextmanager
def converted(source: str, endpoint: str) -> Iterator[None]:
    """Turn every error of the library inside into a SourceError. For calls into asyncua only."""
    try:
        yield
    except LIBRARY_ERRORS as error:
        raise to_source_error(source, endpoint, error) from error
