"""Files of the Hugging Face hub, out of its cache or downloaded into it."""

import hashlib
import os
import re
from pathlib import Path

from keras_tricks.models.weights.readers import missing_extra

NAME = re.compile(r"(?:hf-hub:)?([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")


def is_name(source: str) -> bool:
    """Return whether a string can be a name on the hub: `organization/name`.

    Example:
    >>> is_name("timm/resnet50d.ra4_e3600_r224_in1k")
    True
    """
    return NAME.fullmatch(source) is not None


def download(source: str, filenames: tuple[str, ...]) -> Path | None:
    """Return the first of the files that a repository has.

    The file comes from the cache of `huggingface_hub`, or is downloaded into
    it, and is compared with the checksum by which the cache names it.

    Args:
        source: Name on the hub, with a revision after an `@` if wanted.
        filenames: Names of files in the order of preference.

    Returns:
        Path of the file in the cache, or None if there is no such file.

    Raises:
        ImportError: Without the package.
        ValueError: If there is no such repository, or the file is damaged.
        ConnectionError: If the hub cannot be reached and the cache has not
            got the file.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise missing_extra("Weights of the hub", "weights") from error
    name, revision = NAME.fullmatch(source).groups()
    offline = False
    for filename in filenames:
        try:
            path = huggingface_hub.hf_hub_download(
                name, filename, revision=revision, local_files_only=offline
            )
        except errors.LocalEntryNotFoundError as error:
            offline = True
            if filename != filenames[-1]:
                continue
            raise ConnectionError(
                "`source` must be in the cache when the hub cannot be reached. "
                f"Received: source={source!r}"
            ) from error
        except errors.EntryNotFoundError:
            continue
        except (
            errors.RepositoryNotFoundError,
            errors.RevisionNotFoundError,
            errors.HFValidationError,
        ) as error:
            raise ValueError(
                "`source` must be the name of a repository of the hub to which "
                f"you have access. Received: source={source!r}"
            ) from error
        except Exception as error:
            # Of the HTTP library, which is another one in each major version.
            raise ConnectionError(
                "`source` could not be downloaded from the hub: "
                f"{type(error).__name__}. Received: source={source!r}"
            ) from error
        check_blob(Path(path))
        return Path(path)
    return None


def check_blob(path: Path):
    """Compare a file with its name in the cache.

    The cache names files by SHA-256, and small ones as git does. On systems
    without links it keeps no such names.

    Args:
        path: A link to the file.

    Raises:
        ValueError: If they differ.
    """
    blob = Path(os.path.realpath(path))
    if blob.parent.name != "blobs":
        return
    content = blob.read_bytes()
    if len(blob.name) == 64:
        digest = hashlib.sha256(content)
    elif len(blob.name) == 40:
        digest = hashlib.sha1(b"blob %d\0" % len(content) + content)
    else:
        return
    if digest.hexdigest() != blob.name:
        raise ValueError(
            "`source` must be undamaged in the cache: delete the file and "
            f"load again. Received: {str(blob)!r} of checksum "
            f"{digest.hexdigest()}"
        )


def revision_of(path: Path) -> str:
    """Return the commit that a file of the cache belongs to, or `""`."""
    parts = path.parts
    if "snapshots" not in parts:
        return ""
    return parts[parts.index("snapshots") + 1]
