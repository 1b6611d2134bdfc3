"""Ports of engines that only their own machine can reach."""

import contextlib
import ipaddress
import os
import socket
import stat
import threading
import warnings
from collections.abc import Iterator

_POLL_SECONDS = 0.01


@contextlib.contextmanager
def loopback_only(engine: str) -> Iterator[None]:
    """Let nobody else reach the ports that an engine opens in this context.

    TensorFlow's server listens on all interfaces, whatever its address is,
    and runs what it is asked to. Linux ties its socket to the loopback
    interface, from outside, as soon as it is there. PyTorch's gloo, and NCCL,
    are told the name of that interface by their variables.

    Args:
        engine: How the warning names it.

    Warns:
        UserWarning: If that is not possible here.
    """
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(name, _loopback_interface())
    try:
        before = {inode for inode, _ in _reachable()}
    except OSError:
        before = None
    ended = threading.Event()

    def watch():
        while before is not None and not ended.wait(_POLL_SECONDS):
            _tie_new(before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    ports = ["of its own"] if before is None else _tie_new(before)
    if ports:
        warnings.warn(
            f"{engine} may be reached by other machines, at the ports "
            f"{', '.join(map(str, ports))}, and believes who connects. Close "
            "them to others with a firewall",
            stacklevel=3,
        )


def _tie_new(before):
    """Tie what has begun to listen; return the ports where that fails."""
    return [
        one.getsockname()[1]
        for inode, one in _reachable()
        if inode not in before and not _tie(one)
    ]


def _reachable() -> Iterator[tuple[int, socket.socket]]:
    """Yield what other machines reach in this process, and its inode.

    Raises:
        OSError: If the system has no list of open files.
    """
    for number in map(int, os.listdir("/dev/fd")):
        try:
            status = os.fstat(number)
            if not stat.S_ISSOCK(status.st_mode):
                continue
            copy = os.dup(number)
        except OSError:  # It is closed by now.
            continue
        try:
            one = socket.socket(fileno=copy)
        except OSError:
            os.close(copy)
            continue
        with one, contextlib.suppress(OSError):
            if _is_reachable(one):
                yield status.st_ino, one


def _is_reachable(one):
    is_ip = one.family in (socket.AF_INET, socket.AF_INET6)
    if not is_ip or not one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return False
    host = ipaddress.ip_address(one.getsockname()[0].partition("%")[0])
    host = getattr(host, "ipv4_mapped", None) or host
    return not host.is_loopback and not _is_tied(one)


def _is_tied(one):
    if not hasattr(socket, "SO_BINDTODEVICE"):  # Linux alone has it.
        return False
    name = one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    return name.rstrip(b"\0") == b"lo"


def _tie(one):
    """Tie a socket to the interface `lo`; return whether it is.

    At one address of another interface its own machine could not reach it.
    """
    if one.getsockname()[0] not in ("0.0.0.0", "::"):
        return False
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
    except (AttributeError, OSError):
        return False
    return True


def _loopback_interface():
    """Return `lo`, which is `lo0` on some systems."""
    names = [name for _, name in socket.if_nameindex()]
    return next((name for name in names if name in ("lo", "lo0")), "lo")
