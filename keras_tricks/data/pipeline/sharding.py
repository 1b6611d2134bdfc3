"""Which places of an epoch belong to which host."""

import numpy as np


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
