"""Which places of an epoch belong to which host."""

import math

import numpy as np

from keras_tricks._untrusted import check_room


def host_slots(
    size: int, local_batch_size: int, shard: tuple[int, int]
) -> np.ndarray:
    """Mark the places of an epoch that a host takes.

    Each batch is cut into equal pieces, one for each host in their order.

    Args:
        size: Number of places.
        local_batch_size: Samples of a batch that one host has.
        shard: Number of the host, and of hosts.

    Returns:
        Booleans, shape `(size,)`.

    Example:
    >>> host_slots(6, 1, (1, 2)).tolist()
    [False, True, False, True, False, True]
    """
    host, hosts = shard
    return np.arange(size) // local_batch_size % hosts == host


def check_shard(shard: tuple[int, int]) -> tuple[int, int]:
    """Return the number of a host and of hosts, checked.

    Raises:
        ValueError: If they are not as described.
    """
    try:
        host, hosts = shard
    except (TypeError, ValueError):
        host, hosts = -1, 0
    if not (isinstance(hosts, int) and 0 <= host < hosts):
        raise ValueError(
            "`shard` must be the number of this host, from 0, and the number "
            f"of hosts. Received: shard={shard!r}"
        )
    return int(host), int(hosts)


def check_batch_size(
    size: int, batch_size: int, batches: int, hosts: int = 1
) -> None:
    """Check that an epoch has its batches, and each host its piece of them.

    Args:
        size: Number of samples.
        batch_size: Samples in a batch, over all hosts.
        batches: The batches of an update, at least one of which an epoch
            must have; 0 where an incomplete one is enough.
        hosts: Number of hosts. Defaults to 1.

    Raises:
        ValueError: If it does not, if the pieces are unequal, or if nothing
            is left to the last host.
    """
    if batch_size % hosts:
        raise ValueError(
            f"`batch_size` must be a multiple of the {hosts} hosts. "
            f"Received: batch_size={batch_size}"
        )
    if size <= batch_size // hosts * (hosts - 1):
        raise ValueError(
            f"`batch_size` must leave some of the {size} samples to the last "
            f"of the {hosts} hosts. Received: batch_size={batch_size}"
        )
    if batch_size * batches > size:
        raise ValueError(
            "`batch_size` times `accumulation_steps` must not exceed the "
            f"number of samples, {size}, when the remainder is dropped. "
            f"Received: batch_size={batch_size}, accumulation_steps={batches}"
        )


def check_batch_room(batch_size: int, image_shape: tuple[int, ...]) -> None:
    """Check that a batch of float32 images fits into the memory.

    Args:
        batch_size: Images in a batch of this host.
        image_shape: Their shape.

    Raises:
        ValueError: If there is too little.
    """
    what = f"a batch of images of shape {tuple(image_shape)}"
    size = 4 * batch_size * math.prod(image_shape)
    check_room("batch_size", batch_size, what, size)
