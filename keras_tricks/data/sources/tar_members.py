"""The files in a .tar, whose headers are not believed."""

import os
import tarfile
from collections.abc import Iterator

from keras_tricks._checks import first_line
from keras_tricks._files import open_regular


def tar_members(
    path: str | os.PathLike,
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield what is in a .tar that is not compressed, but for folders.

    Args:
        path: The .tar.

    Yields:
        The archive, to read from, and a member of it.

    Raises:
        OSError: If it cannot be read.
        tarfile.TarError: If it is cut, damaged or compressed, or the place of
            a member is not in it.

    Example:
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "one.tar")
    >>> with tarfile.open(path, "w") as tar:
    ...     tar.addfile(tarfile.TarInfo("a.jpg"))
    >>> [member.name for _, member in tar_members(path)]
    ['a.jpg']
    """
    with open(path, "rb", opener=open_regular) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as tar:
                for member in tar:
                    _check(member, size)
                    if not member.isdir():
                        yield tar, member
                end = tar.offset
        except (OSError, _Untrue):
            raise
        except Exception as error:  # Damaged headers fail in many ways.
            raise tarfile.ReadError(
                "the file is cut or no .tar, or compressed "
                f"({first_line(error)})"
            ) from None
        # A header that is damaged, or missing, ends the list as zeros do.
        file.seek(end)
        block = file.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise tarfile.ReadError(
            f"the file is cut: it ends at byte {size}, without an end"
        )
    if any(block):
        raise tarfile.ReadError(f"the header at byte {end} is damaged")


class _Untrue(tarfile.ReadError):
    """A header that is whole, and says what cannot be."""


def _check(member, size):
    if member.issparse():
        raise _Untrue(f"{member.name} is sparse")
    # Links have no bytes of their own, whatever they say.
    if member.size < 0 or (
        member.isfile() and member.offset_data + member.size > size
    ):
        raise _Untrue(
            f"the file is cut: {member.name} is said to have {member.size} "
            "bytes"
        )
