"""A port that listens on all interfaces, and is tied to one machine."""

import os
import socket
import sys
import time

import pytest

from keras_tricks.distribute import loopback

on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="Linux alone can tie a socket from outside"
)


@pytest.fixture
def server(monkeypatch):
    for name in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        monkeypatch.setenv(name, "")  # Both are put back behind the test.
        monkeypatch.delenv(name)
    with socket.socket() as server:
        server.bind(("0.0.0.0", 0))
        yield server


def tied_to(server):
    name = server.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
    return name.rstrip(b"\0")


@on_linux
@pytest.mark.parametrize("late", [False, True])
def test_ports_are_tied_as_soon_as_they_listen(server, late, monkeypatch):
    # The end looks once more.
    monkeypatch.setattr(loopback, "_POLL_SECONDS", 60 if late else 0.001)
    with socket.create_server(("::", 0), family=socket.AF_INET6) as other:
        with socket.socket() as before, socket.socket() as local:
            before.bind(("0.0.0.0", 0))
            before.listen()
            with loopback.loopback_only("JAX"):
                server.listen()
                local.listen()  # Anywhere: it is bound by that.
                if not late:
                    time.sleep(0.1)
                    assert tied_to(server) == tied_to(local) == b"lo"
            assert tied_to(server) == tied_to(local) == b"lo"
            assert tied_to(before) == tied_to(other) == b""
    with socket.create_connection(server.getsockname()):
        pass


@on_linux
def test_what_this_machine_alone_reaches_is_left_alone(server):
    with socket.create_server(("127.0.0.1", 0)) as local:
        with loopback.loopback_only("JAX"):
            server.listen()
        assert tied_to(local) == b""
        # Without rights nobody may tie a socket twice.
        ours = {os.fstat(one.fileno()).st_ino for one in (local, server)}
        assert not ours & {inode for inode, _ in loopback._reachable()}


@on_linux
def test_a_look_opens_nothing(server, tmp_path):
    def count():
        return len(os.listdir("/dev/fd"))

    with open(tmp_path / "file", "w"):
        before = count()
        for _ in range(3):
            assert not loopback._tie_new(set())
        assert count() == before


@on_linux
def test_another_address_is_told_and_not_tied(server, monkeypatch):
    def listens(one):
        return one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)

    monkeypatch.setattr(loopback, "_is_reachable", listens)
    with socket.socket() as one:
        one.bind(("127.0.0.2", 0))  # As of the name of the machine.
        port = one.getsockname()[1]
        with pytest.warns(UserWarning, match=f"at the ports .*{port}"):
            with loopback.loopback_only("JAX"):
                one.listen()
        assert tied_to(one) == b""


def test_gloo_and_nccl_are_told_unless_the_user_has(server, monkeypatch):
    monkeypatch.setenv("NCCL_SOCKET_IFNAME", "eth7")
    with loopback.loopback_only("PyTorch"):
        pass
    assert os.environ["GLOO_SOCKET_IFNAME"].startswith("lo")
    assert os.environ["NCCL_SOCKET_IFNAME"] == "eth7"


def test_what_cannot_be_tied_is_told(server, monkeypatch):
    monkeypatch.setattr(loopback, "_tie", lambda one: False)
    port = server.getsockname()[1]
    with pytest.warns(UserWarning, match=f"JAX .* at the ports {port}, and"):
        with loopback.loopback_only("JAX"):
            server.listen()


def test_where_open_files_are_not_known_it_is_told(server, monkeypatch):
    def fail(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(loopback.os, "listdir", fail)
    with pytest.warns(UserWarning, match="JAX .* at the ports of its own, and"):
        with loopback.loopback_only("JAX"):
            server.listen()


@pytest.mark.parametrize("knows", [True, False])
def test_sums_of_jax_do_not_go_by_the_name_of_the_machine(knows, monkeypatch):
    jax_library = pytest.importorskip("jaxlib._jax")
    from keras_tricks.distribute.jax.processes import _sums_at

    def make(client, **options):
        if not knows and options:
            raise TypeError("hostname")
        return client, options

    name = "make_gloo_tcp_collectives"
    # That is what is to be replaced: JAX has it, with this argument.
    assert "hostname" in getattr(jax_library, name).__doc__
    monkeypatch.setattr(jax_library, name, make)
    with _sums_at("::1"):
        made = getattr(jax_library, name)("client")
    assert made == ("client", {"hostname": "::1"} if knows else {})
    assert getattr(jax_library, name) is make
