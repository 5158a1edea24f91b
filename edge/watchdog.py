"""Tells systemd that the agent is ready, and alive as long as observations get through."""

import os
import socket

START_MORE_S = 30
"""So long systemd waits from then on, as far as its own TimeoutStartSec is over."""


class Watchdog:
    """sd_notify(3): datagrams to the socket named in the environment; without one, nothing."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")

    def starting(self) -> None:
        """The start takes long and goes on: call it when some of its work is done."""
        self._send(f"EXTEND_TIMEOUT_USEC={START_MORE_S}000000")

    def ready(self) -> None:
        self._send("READY=1")

    def progress(self) -> None:
        """Call it when something has gone through the whole pipeline, or was refused at its end because the
        journal is full; never from a timer."""
        self._send("WATCHDOG=1")

    def status(self, words: str) -> None:
        """One line for `systemctl status`."""
        self._send(f"STATUS={words}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = self._address.replace("@", "\0", 1) if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
            try:
                notify.sendto(message.encode(), address)
            except OSError:
                return  # systemd is away or busy; the next one gets through
