"""What goes wrong with a broker, as the contract's errors of a sink or of a source."""

import socket
import ssl
from dataclasses import dataclass

from paho.mqtt.reasoncodes import ReasonCode

from edge.contract import SinkError, SinkLost, SinkRefused, SourceError, SourceLost, SourceRefused

MALFORMED = range(78, 95)
"""Faults that OpenSSL finds only with X509_V_FLAG_X509_STRICT: the trust is there, the form is not."""

FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5, 2.4)."""
UNSPOKEN = 0x84
"""CONNACK: it does not speak this version of MQTT; 3.1.1 says 0x01 for it, which paho translates."""
LATER = frozenset({0x00, 0x04, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8B, 0x8D, 0x93, 0x96, 0x97, 0x98, 0x9F, 0xA0})
"""CONNACK and DISCONNECT: the broker is busy, stops or is at a limit. Any other failure needs a person."""

LinkError = SinkError | SourceError


@dataclass(frozen=True, slots=True)
class Party:
    """Whose connection it is, and the errors that tell of it."""

    name: str
    lost_error: type[SinkLost] | type[SourceLost]
    refused_error: type[SinkRefused] | type[SourceRefused]

    @classmethod
    def of_sink(cls, name: str) -> "Party":
        """A sink by its name in the TOML."""
        return cls(name, SinkLost, SinkRefused)

    @classmethod
    def of_source(cls, name: str) -> "Party":
        """A source by its name in the TOML."""
        return cls(name, SourceLost, SourceRefused)

    def lost(self, reason: str) -> LinkError:
        """The broker cannot be reached, or did not answer in time."""
        return self.lost_error(self.name, reason)

    def refused(self, reason: str) -> LinkError:
        """The broker answers, but says no."""
        return self.refused_error(self.name, reason)


def again(error: LinkError) -> LinkError:
    """The same error anew, for whoever meets it later: a traceback belongs to one raise."""
    return type(error)(error.sink if isinstance(error, SinkError) else error.source, error.reason)


def lost(url: str, greeted: bool) -> str:
    """The sentence for a connection that ended without a word from the broker.

    mosquitto 2.0 says nothing either when a second client of the same id takes the session over.
    """
    if greeted:
        return f"the connection to {url} broke; if it does so again and again, two clients share a client_id"
    return (
        f"{url} closed the connection before it accepted it; look into the broker's log: it may want "
        'a client certificate (cert, key), TLS (mqtts://), or MQTT 3.1.1 (a sink has protocol = "3.1.1")'
    )


def refusal(party: Party, url: str, reason: ReasonCode) -> LinkError:
    """What a reason code of CONNACK or DISCONNECT means."""
    advice = {
        UNSPOKEN: "it does not speak the version of MQTT that is asked for",
        0x85: "choose another client_id",
        0x86: "check user and password",
        0x87: "check user, password and the broker's access list",
        0x8E: "another client uses this client_id; give each agent its own",
        0x9A: "it must keep retained messages, for the states",
    }.get(reason.value, "look into the broker's log")
    if reason.value in LATER:
        return party.lost(f"{url} answers: {reason}")
    return party.refused(f"{url} answers: {reason}; {advice}")


def _certificate_advice(code: int) -> str:
    """What to do about an X509_V_ERR_ code of OpenSSL (x509_vfy.h)."""
    if code in MALFORMED:
        return (
            "the certificate or its authority's is not made as RFC 5280 wants it, which Python checks from "
            "3.13 on; have it made anew, an authority with keyUsage=critical,keyCertSign,cRLSign"
        )
    return {
        9: "it is not valid yet; is this machine's clock right?",
        10: "it has expired; renew it, if this machine's clock is right",
        62: "write the broker by the name that is in its certificate",
        64: "write the broker by the name that is in its certificate",
    }.get(code, "set `ca` to its authority")


def unreachable(party: Party, url: str, error: OSError) -> LinkError:
    """What an error of the socket or of TLS means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"the certificate of {url} is not trusted: {getattr(error, 'verify_message', error)}"
        return party.refused(f"{words}; {_certificate_advice(getattr(error, 'verify_code', 0))}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ConnectionResetError | BrokenPipeError):
        return party.lost(lost(url, False))
    if isinstance(error, ssl.SSLError):
        reason = getattr(error, "reason", error)
        return party.refused(f"no TLS with {url}: {reason}; does this port speak TLS?")
    if isinstance(error, socket.gaierror):
        return party.lost(f"{url}: the name is not known; check it, and the name server")
    if isinstance(error, ConnectionRefusedError):
        return party.lost(f"nothing listens at {url}; is the broker running?")
    return party.lost(f"{url} cannot be reached: {error.strerror or error}")
