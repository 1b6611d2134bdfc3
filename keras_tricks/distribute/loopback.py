"""A port of TensorFlow that only its own machine can reach."""

import contextlib
import os
import socket
import threading
import warnings
from collections.abc import Iterator

_POLL_SECONDS = 0.01


@contextlib.contextmanager
def loopback_only(address: str) -> Iterator[None]:
    """Let nobody else reach a port that is opened in this context.

    TensorFlow's server listens on all interfaces, whatever its address is,
    and runs what it is asked to: whoever reaches it reads and writes files as
    this user. Linux ties its socket to the loopback interface, from outside,
    as soon as it is there.

    Args:
        address: `"host:port"`.

    Warns:
        UserWarning: If that is not possible here.
    """
    port = int(address.rpartition(":")[2])
    ended = threading.Event()
    fenced: list[int] = []

    def watch():
        while not fenced and not ended.wait(_POLL_SECONDS):
            if _fence(port):
                fenced.append(port)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    if not fenced and not _fence(port):
        warnings.warn(
            f"TensorFlow listens on all interfaces, at port {port}: who "
            "reaches it reads and writes files as you. Close the port to "
            "others with a firewall",
            stacklevel=2,
        )


def _fence(port: int) -> bool:
    """Tie what listens at a port in this process to the interface `lo`.

    Returns:
        Whether there is such a socket, and it is tied.
    """
    try:
        numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:  # Linux alone has it.
        return False
    done = False
    for number in numbers:
        with contextlib.suppress(OSError):  # No socket, or closed by now.
            with socket.socket(fileno=os.dup(number)) as one:
                level = socket.SOL_SOCKET
                listens = one.getsockopt(level, socket.SO_ACCEPTCONN)
                is_ip = one.family in (socket.AF_INET, socket.AF_INET6)
                if listens and is_ip and one.getsockname()[1] == port:
                    one.setsockopt(level, socket.SO_BINDTODEVICE, b"lo\0")
                    done = True
    return done
