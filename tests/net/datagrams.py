"""datagrams.py - clients and targets of `ringfence forward` with MODE=udp.

    def test_only_the_target_can_answer(net, stack):
        target = stack.enter_context(Target(net, 7000))
        serve(net)
        sock = client(net, stack)
        sock.send(b"question")
        target.answer(target.receive(), b"answer")
        assert sock.recv(100) == b"answer"
"""
import collections
import contextlib
import signal
import socket
import struct

from forwarding import PROXY
from ringfence import PATIENCE

UDP_SEGMENT, IP_PKTINFO, IP_FREEBIND = 103, 8, 15

Datagram = collections.namedtuple("Datagram", "data peer local")


class Target:
    """A UDP port of the internet, on every address of it, where the test itself answers."""
    def __init__(self, net, port, family=socket.AF_INET):
        self.net, self.port, self.family = net, port, family
        self.element = f"element inet internet served {{ udp . {port} }}"
        net.internet.namespace.nft(f"add {self.element}")
        self.sock = self.open()

    def open(self):
        with self.net.internet.namespace.entered():
            sock = socket.socket(self.family, socket.SOCK_DGRAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        if self.family == socket.AF_INET:
            sock.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
        sock.bind(("" if self.family == socket.AF_INET else "::", self.port))
        sock.settimeout(PATIENCE)
        return sock

    def receive(self):
        data, control, _, peer = self.sock.recvmsg(70000, 256)
        local = socket.inet_ntoa(control[0][2][8:12]) if control else None
        return Datagram(data, peer[:2], local)

    def answer(self, datagram, data, source=None):
        """source: another address, or port, than the one that was spoken to."""
        source, port = source if isinstance(source, tuple) else (source or datagram.local, None)
        if port:
            with self.net.internet.namespace.entered():
                sock = socket.socket(self.family, socket.SOCK_DGRAM)
            with sock:
                sock.setsockopt(socket.SOL_IP, IP_FREEBIND, 1)
                sock.bind((source, port))
                sock.sendto(data, datagram.peer)
            return
        control = [(socket.SOL_IP, IP_PKTINFO,
                    struct.pack("=I4s4s", 0, socket.inet_aton(source), b"\0" * 4))]
        self.sock.sendmsg([data], control if source else [], 0, datagram.peer)

    def echo(self, count=1):
        for _ in range(count):
            datagram = self.receive()
            self.answer(datagram, datagram.data)

    def quiet(self):
        """Does nothing wait to be received?"""
        return is_quiet(self.sock)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.sock.close()
        self.net.internet.namespace.nft(f"delete {self.element}")


def is_quiet(sock):
    sock.setblocking(False)
    try:
        sock.recv(1)
        return False
    except BlockingIOError:
        return True
    finally:
        sock.settimeout(PATIENCE)


@contextlib.contextmanager
def standing_still(proxy):
    """What comes meanwhile is found all at once."""
    proxy.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        proxy.signal(signal.SIGCONT)


def serve(net, **variables):
    """ringfence as UDP forwarder of port 7000, told of every flow."""
    return net.start(**{"TARGET": "target.test", "PORT": 7000, "MODE": "udp",
                        "LOG_LEVEL": "DEBUG", **variables})


def client(net, stack, to=PROXY, port=7000, source=None):
    """A connected socket: the kernel gives it only what comes from where it sent to."""
    with net.workload.entered():
        sock = stack.enter_context(socket.socket(
            socket.AF_INET6 if ":" in to else socket.AF_INET, socket.SOCK_DGRAM))
    if source:
        sock.bind((source, 0))
    sock.connect((to, port))
    sock.settimeout(PATIENCE)
    return sock


def ask(sock, data=b"question"):
    sock.send(data)
    return sock.recv(70000)
