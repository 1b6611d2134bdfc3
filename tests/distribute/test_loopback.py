"""A port that listens on all interfaces, and is tied to one machine."""

import socket
import sys

import pytest

from keras_tricks.distribute.tensorflow import loopback

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone can tie a socket from outside"
)


@pytest.mark.parametrize("late", [False, True])
def test_a_port_is_tied_as_soon_as_it_listens(late, monkeypatch):
    # The end looks once more.
    monkeypatch.setattr(loopback, "_POLL_SECONDS", 60 if late else 0.001)
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        with loopback.loopback_only(f"host:{server.getsockname()[1]}"):
            server.listen()
        tied = server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert tied.rstrip(b"\0") == b"lo"
        with socket.create_connection(server.getsockname()):
            pass


def test_what_cannot_be_tied_is_told(monkeypatch):
    monkeypatch.setattr(loopback, "_fence", lambda port: False)
    with pytest.warns(UserWarning, match="on all interfaces, at port 7: who"):
        with loopback.loopback_only("host:7"):
            pass
