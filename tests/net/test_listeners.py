"""test_listeners.py - our ports are ours alone.

The kernel lets sockets of one user share a port that has SO_REUSEPORT, as our workers' sockets do.
The workload may be root without any right, so ours must not be root's."""
import errno
import socket

import pytest

from internet import ATTACKER
from test_privilege import without

TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
OURS = [(TCP, 8080), (TCP, 8443), (TCP, 53), (UDP, 53)]
NAMES = ["http", "https", "dns over tcp", "dns"]


def take(net, kind, port, address="127.0.0.1", uid=0):
    """A socket of the workload's on one of our ports, or OSError."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = net.client.open(family, kind, uid=uid)
    try:
        if kind == TCP:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((address, port))
        if kind == TCP:
            sock.listen(64)
    except OSError:
        sock.close()
        raise
    return sock


@pytest.mark.parametrize("uid", [0, 65534])
@pytest.mark.parametrize("workers", [1, 3])
def test_nobody_joins_our_listeners(net, uid, workers):
    net.start(domains=["allowed.test"], env={"WORKERS": workers})
    for kind, port in OURS:
        for address in "127.0.0.1", "::1", "0.0.0.0", "::":
            with pytest.raises(OSError) as failure:
                take(net, kind, port, address, uid).close()
            assert failure.value.errno == errno.EADDRINUSE, (kind, port, address)
    assert net.client.http("allowed.test") == "OK" and net.client.tls("allowed.test") == "OK"


@pytest.mark.parametrize("uid", [0, 65534])
@pytest.mark.parametrize("kind, port", OURS, ids=NAMES)
def test_who_was_there_first_ends_the_start_and_nothing_leaves(net, kind, port, uid):
    with take(net, kind, port, uid=uid):
        instance = net.start(domains=["allowed.test"], ready=None)
        assert instance.wait_exit() == 1
        assert f"another program listens on {'UDP' if kind == UDP else 'TCP'} port {port}," in \
            instance.log()
        with pytest.raises(OSError):
            net.client.connect(ATTACKER, 9000, timeout=0.5)
    assert net.internet.arrived() == 0


def test_without_setuid_it_warns_that_others_may_join(net):
    net.start(domains=["allowed.test"], wrapper=without("setuid"))
    assert "listeners" in net.ringfence.wait_event("startup.exemption")["note"]
