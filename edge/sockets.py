"""The agent's local sockets: for its own user only, in the folder of its journal."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def short_path(folder: Path, name: str) -> Iterator[str]:
    """A path to a socket that fits into the 107 bytes the kernel allows. Raises OSError."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{name}"
    finally:
        os.close(descriptor)


def listen_locally(folder: Path, name: str) -> socket.socket:
    """The mode is set before the name exists, so that nobody else ever gets in."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.fchmod(listening.fileno(), 0o600)
    (folder / name).unlink(missing_ok=True)
    with short_path(folder, name) as path:
        listening.bind(path)
    return listening
