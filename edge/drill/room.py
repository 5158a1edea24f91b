"""A small disk of the drill's own, which it can fill: a tmpfs that only this process and its children see.

It is mounted in a mount namespace of its own, so that nothing of it is left when the drill has ended, however
it ends. Root may always do that; others may where the kernel lets them make a user namespace.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from pathlib import Path

SIZE_MB = 64
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
"""CLONE_NEWNS and CLONE_NEWUSER of unshare(2)."""
_PRIVATE = 0x4000 | 1 << 18
"""MS_REC | MS_PRIVATE of mount(2)."""
_DETACH = 2
"""MNT_DETACH of umount2(2)."""
_BLOCK = 1 << 16
_LEAST = 1 << 10


class NoRoom(Exception):
    """A disk of one's own cannot be had here; the text says why."""


def mount_own_disk(folder: Path, size_mb: int = SIZE_MB) -> None:
    """Put a small disk under `folder`, for this process and what it starts. Raises NoRoom.

    Only where the process has no threads yet: the kernel refuses a user namespace to one that has.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    uid, gid = os.geteuid(), os.getegid()
    if libc.unshare(_NEW_MOUNTS) != 0:
        _checked(libc.unshare(_NEW_MOUNTS | _NEW_USER), "no name space of its own")
        _become(uid, gid)
    _checked(libc.mount(None, b"/", None, _PRIVATE, None), "mounts that stay private")
    options = f"size={size_mb}m,mode=700".encode()
    _checked(libc.mount(b"lineside-drill", bytes(folder), b"tmpfs", 0, options), "no tmpfs")


def leave_own_disk(folder: Path) -> None:
    """Take the disk away again, with all that is on it."""
    ctypes.CDLL(None).umount2(bytes(folder), _DETACH)


def _become(uid: int, gid: int) -> None:
    """The same user as before, in the new user namespace (user_namespaces(7))."""
    try:
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")
    except OSError as error:
        raise NoRoom(f"no user of its own: {error.strerror}") from error


def _checked(answer: int, what: str) -> None:
    if answer != 0:
        raise NoRoom(f"{what}: {os.strerror(ctypes.get_errno())}")


class Ballast:
    """A file that takes all the room there is."""

    def __init__(self, path: Path, write: Callable[[int, bytes], int] = os.write) -> None:
        self._path = path
        self._write = write

    def fill(self) -> None:
        """To the last kilobyte; called again it takes what has become free since."""
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = _BLOCK
        try:
            while size >= _LEAST:
                try:
                    self._write(descriptor, bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 4
        finally:
            os.close(descriptor)

    def drop(self) -> None:
        self._path.unlink(missing_ok=True)
