"""What an error of the disk, or of a share, means for a sink that writes files."""

import errno

from edge.contract import SinkError, SinkLost, SinkRefused

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_FORBIDDEN = frozenset({
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.EISDIR, errno.ELOOP,
})  # fmt: skip


def disk_failure(sink: str, error: OSError, place: object, *, free: str, check: str) -> SinkError:
    """Of writing `place`. `free`: what to do where there is no room; `check`: what to look at where it is
    neither that nor who may write there.
    """
    words = error.strerror or str(error)
    if error.errno in _FULL:
        return SinkLost(sink, f"no room for {place} ({words}); {free}")
    if error.errno in _FORBIDDEN:
        where = error.filename or place
        return SinkRefused(sink, f"{where} cannot be written ({words}); check the folder and who owns it")
    return SinkLost(sink, f"{place} cannot be written ({words}); check {check}")
