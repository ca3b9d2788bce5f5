"""test_forward_bulk.py - bulk on connections whose other half has ended, runs bulk too, or is
stuck: while a direction is pumped no request is under way for it, and nothing else may end the
connection, or keep it."""
import contextlib
import hashlib
import socket
import threading
import time

import pytest

from forwarding import exchange, read_all, reset, until

PIECE = bytes(range(256)) * 256
SECONDS = 2.5                           # longer than TCP_KEEPALIVE, which a timer waits for once


@pytest.fixture
def net(proxied):
    return proxied


class Pour(threading.Thread):
    """Send for a while and say that it was all."""
    def __init__(self, sock):
        super().__init__(daemon=True)
        self.sock, self.digest = sock, hashlib.sha256()
        self.start()

    def run(self):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            self.sock.sendall(PIECE)
            self.digest.update(PIECE)
        self.sock.shutdown(socket.SHUT_WR)


def drink(sock):
    digest = hashlib.sha256()
    while data := sock.recv(1 << 20):
        digest.update(data)
    return digest.digest()


def test_bulk_goes_on_when_the_client_has_said_all(net):
    with net.conversation(7000, TCP_KEEPALIVE="1s") as (client, upstream):
        client.shutdown(socket.SHUT_WR)
        assert read_all(upstream) == b""
        pour = Pour(upstream)
        assert drink(client) == pour.digest.digest()


def test_bulk_goes_on_both_ways_at_once(net):
    with net.conversation(7000, TCP_KEEPALIVE="1s") as (client, upstream):
        up, down = Pour(client), Pour(upstream)
        got = []
        reader = threading.Thread(target=lambda: got.append(drink(upstream)), daemon=True)
        reader.start()
        assert drink(client) == down.digest.digest()
        reader.join()
        assert got == [up.digest.digest()]


@pytest.mark.parametrize("piece", [20000, 200000])
def test_two_peers_that_read_nothing_and_reset_leave_nothing_behind(net, piece):
    with net.conversation(7000, TCP_KEEPALIVE="1s") as (client, upstream):
        fds = net.ringfence.fds() - 2 - 2 * len(net.ringfence.pipes())
        for sock in client, upstream:
            sock.setblocking(False)
        for _ in range(100):            # until both are full, and for some turns after that
            for sock in client, upstream:
                with contextlib.suppress(BlockingIOError):
                    sock.send(b"y" * piece)
            time.sleep(0.002)
        reset(client)
        reset(upstream)
        until(lambda: net.ringfence.fds() - 2 * len(net.ringfence.pipes()) == fds,
              "its descriptors are given back")
    with net.listen(7000) as server, net.connect(7000) as client, server.accept() as upstream:
        exchange(client, upstream)
