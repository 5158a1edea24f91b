"""Certificates and lists of revoked ones as files: bounded reads, writes that are whole or not at all."""

import errno
import fcntl
import os
import pwd
import secrets
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

LARGEST = 256 * 1024
"""Bytes of one file, or of a chain that a server sends."""
LONGEST_CHAIN = 10
_SEQUENCE = 0x30
_LOCK = ".lock"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_NO_FOLDER = (errno.ELOOP, errno.ENOTDIR)
_LINK = "it is a link, or no folder; a folder is needed"


class Unusable(Exception):
    """A file, or what a server sent, cannot be used; the text is a sentence."""


class Forbidden(Unusable):
    """It may be well: who runs this may not look."""


def read_bounded(path: Path) -> bytes:
    """Raises Unusable."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except PermissionError as error:
        raise Forbidden(f"{path} cannot be read: {error.strerror}{whose(path)}") from error
    except OSError as error:
        raise Unusable(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise Unusable(f"{path} is longer than {LARGEST // 1024} KiB, so it is no certificate, key or list")
    return content


def certificates(path: Path) -> list[x509.Certificate]:
    """What a file holds, one at least, in its order; DER or PEM. Raises Unusable."""
    content = read_bounded(path)
    try:
        if b"-----BEGIN" in content:
            found = x509.load_pem_x509_certificates(content)[:LONGEST_CHAIN]
        else:
            found = chain(content)
    except (ValueError, x509.InvalidVersion) as error:
        raise Unusable(f"{path} holds no certificate") from error
    return found


def chain(content: bytes) -> list[x509.Certificate]:
    """The certificates in DER that stand one after the other, as OPC UA sends them. Raises ValueError."""
    if len(content) > LARGEST:
        raise ValueError("too long")
    found = [certificate(one) for one in _sequences(content)]
    if not found:
        raise ValueError("no certificate")
    for one in found:  # the library parses late: what cannot be read is told here, not amid a check
        _touch(one)
    return found


def certificate(der: bytes) -> x509.Certificate:
    """Raises ValueError."""
    try:
        return x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:  # which the library does not count among the others
        raise ValueError("a certificate of a version that there is not") from error


def first(content: bytes) -> bytes:
    """The bytes of the leading certificate. Raises ValueError."""
    return next(_sequences(content), b"")


def _sequences(content: bytes) -> Iterator[bytes]:
    """Cut DER into its outermost elements (X.690, 8.1.3: definite lengths)."""
    at = count = 0
    while at < len(content):
        count += 1
        if content[at] != _SEQUENCE or count > LONGEST_CHAIN:
            raise ValueError("no certificate")
        short = content[at + 1] if at + 1 < len(content) else 0
        wide = short & 0x7F if short & 0x80 else 0
        length = int.from_bytes(content[at + 2 : at + 2 + wide]) if wide else short
        end = at + 2 + wide + length
        if wide > 4 or end > len(content):
            raise ValueError("cut short")
        yield content[at:end]
        at = end


def _touch(one: x509.Certificate) -> None:
    try:
        _ = one.extensions, one.subject, one.issuer, one.not_valid_after_utc, one.serial_number
        one.public_key()
    except (UnsupportedAlgorithm, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
        raise ValueError("a certificate of a kind that is not known here") from error


def revocations(path: Path) -> x509.CertificateRevocationList:
    """Raises Unusable."""
    content = read_bounded(path)
    try:
        if b"-----BEGIN" in content:
            return x509.load_pem_x509_crl(content)
        return x509.load_der_x509_crl(content)
    except (ValueError, x509.InvalidVersion) as error:
        raise Unusable(f"{path} holds no list of revoked certificates") from error


def thumbprint(certificate: x509.Certificate) -> str:
    """The SHA-1 of it, as OPC UA and the tools of the makers name a certificate (OPC 10000-6, 6.2.2)."""
    return certificate.fingerprint(hashes.SHA1()).hex().upper()  # noqa: S303 (a name, not a proof)


def uris(certificate: x509.Certificate) -> list[str]:
    """The URIs that it says it is; the first is the application's."""
    names = alternative_names(certificate)
    return names.get_values_for_type(x509.UniformResourceIdentifier) if names is not None else []


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


@contextmanager
def opened(root: Path, *names: str) -> Iterator[int]:
    """The folder `root/names[0]/...` as a descriptor; made where it is missing, and for its owner only.

    Neither `root` nor a folder in it may be a link, for root types commands about a folder that another user
    may write: then it would go by where that user points. Raises OSError with the whole path.
    """
    _make_above(root.parent)
    here, path = os.open(root.parent, _FOLDER), root.parent
    try:
        for name in (root.name, *names):
            path /= name
            below = _enter(here, path)
            os.close(here)
            here = below
        yield here
    finally:
        os.close(here)


def _make_above(folder: Path) -> None:
    """The data folder itself, where an administrator may have put a link."""
    made = []
    while not folder.exists():
        made.append(folder)
        folder = folder.parent
    for one in reversed(made):
        one.mkdir(mode=0o700, exist_ok=True)
        with _descriptor(os.open(one.parent, _FOLDER)) as above, _descriptor(os.open(one, _FOLDER)) as here:
            _give(here, above)


def _enter(above: int, path: Path) -> int:
    try:
        try:
            return os.open(path.name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
        except FileNotFoundError:
            with suppress(FileExistsError):  # another source's thread was faster
                os.mkdir(path.name, 0o700, dir_fd=above)
        made = os.open(path.name, _FOLDER | os.O_NOFOLLOW, dir_fd=above)
    except OSError as error:
        words = _LINK if error.errno in _NO_FOLDER else error.strerror
        raise OSError(error.errno, words, str(path)) from error
    _give(made, above)
    return made


@contextmanager
def _descriptor(number: int) -> Iterator[int]:
    try:
        yield number
    finally:
        os.close(number)


def keep(root: Path, names: Sequence[str], name: str, content: bytes) -> Path:
    """Write a file whole or not at all, readable for its owner only; where it lies. Raises OSError."""
    with opened(root, *names) as folder:
        beside = f".{name}.{os.getpid()}.{secrets.token_hex(8)}.new"
        descriptor = os.open(beside, os.O_WRONLY | _NEW, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                _give(file.fileno(), folder)
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.fsync(folder)
        finally:
            remove(folder, beside)
    return root.joinpath(*names, name)


def remove(folder: int, name: str) -> None:
    """A file of an opened folder; a link goes, and not what it points to."""
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


@contextmanager
def locked(folder: int) -> Iterator[None]:
    """One at a time in an opened folder. Raises OSError."""
    try:
        number = os.open(_LOCK, os.O_RDWR | _NEW, 0o600, dir_fd=folder)
        _give(number, folder)
    except FileExistsError:
        number = os.open(_LOCK, os.O_RDWR | os.O_NOFOLLOW, dir_fd=folder)
    with _descriptor(number):
        fcntl.flock(number, fcntl.LOCK_EX)
        yield


def _give(made: int, folder: int) -> None:
    """What root makes in the agent's folder is the agent's; both are descriptors."""
    if os.geteuid() == 0:
        above = os.fstat(folder)
        os.fchown(made, above.st_uid, above.st_gid)


# --- who may not --------------------------------------------------------------------------------------------


def unusable(error: OSError, root: Path) -> Unusable:
    """What the system says of a folder or a file of `root`, and what to do."""
    path = Path(str(error.filename)) if error.filename else root
    words = f"{path} cannot be used: {error.strerror}"
    if not isinstance(error, PermissionError):
        return Unusable(words)
    return Forbidden(f"{words}{whose(path)}{repair(path, root)}")


def whose(path: Path) -> str:
    """To whom it belongs and who runs this, as the end of a sentence about what was forbidden."""
    owner = _owner(path)
    return f": it belongs to {owner}, and this runs as {_user(os.geteuid())}" if owner else ""


def repair(path: Path, root: Path) -> str:
    """The command behind that, for what is in `root`, which belongs to whom the folder above belongs."""
    owner, right = _owner(path), _owner(root.parent)
    if not owner or not right:
        return ""
    command = f"sudo chown -R {right}: {shlex.quote(str(root))}"
    return f"; type `{command}`" if owner != right else f"; type `sudo -u {right}` before the command"


def _owner(path: Path) -> str:
    try:
        return _user(path.stat().st_uid)
    except OSError:
        return ""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"
