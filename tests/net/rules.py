"""rules.py - two namespaces with nothing in them but the rules: what test_rules*.py look at.

    box      10.77.0.2, fd77::2     the rules, put there by nft_tool
     | eth0
    outside  10.77.0.1, fd77::1, and LISTED

A namespace is entered by thread, so sockets are made with `with net.box.entered()`."""
import contextlib
import ctypes
import errno
import os
import select
import socket
import struct
import subprocess

import pytest

import netns
from netns import value_text
from ringfence import until

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOOL = os.path.abspath(os.environ.get("RINGFENCE_NFT_TOOL",
                                      os.path.join(ROOT, "build", "tests", "nft_tool")))
PATIENCE = 20
BOX = {socket.AF_INET: "10.77.0.2", socket.AF_INET6: "fd77::2"}
OUTSIDE = {socket.AF_INET: "10.77.0.1", socket.AF_INET6: "fd77::1"}
LISTED = {socket.AF_INET: "10.88.0.1", socket.AF_INET6: "fd88::1"}
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
ALLOWED = "allowed=10.88.0.0/16,fd88::/16"
MARK, UID = 1, 65380
SO_ORIGINAL_DST = 80
ETH_IP, ETH_IP6, PACKET_OUTGOING = 0x0800, 0x86dd, 4
DISCOVERY = range(133, 137)             # ICMPv6 types
REFUSED = errno.ECONNREFUSED
PROHIBITED = {errno.EPERM, errno.EACCES, errno.EHOSTUNREACH}
libc = ctypes.CDLL(None, use_errno=True)
families = pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6], ids=["v4", "v6"])


class Rules:
    """The two namespaces, and the rules in one of them."""
    started = ()                        # no ringfence runs here: for conftest.py

    def __init__(self):
        netns.sweep()
        self.box, self.outside = netns.Namespace("rules-box"), netns.Namespace("rules-out")
        for namespace in self.box, self.outside:
            namespace.sysctl(ipv6__conf__default__accept_dad=0,
                             ipv4__ping_group_range="0 2147483647")
        self.outside.ip(f"link add eth0 type veth peer name eth0 netns {self.box.name}\n")
        for namespace, here, there in (self.box, BOX, OUTSIDE), (self.outside, OUTSIDE, BOX):
            namespace.ip(f"link set lo up\nlink set eth0 up\n"
                         f"addr add {here[socket.AF_INET]}/24 dev eth0\n"
                         f"addr add {here[socket.AF_INET6]}/64 dev eth0 nodad\n"
                         f"route add 0.0.0.0/0 via {there[socket.AF_INET]}\n"
                         f"route add ::/0 via {there[socket.AF_INET6]}\n")
        self.outside.ip(f"addr add {LISTED[socket.AF_INET]}/32 dev lo\n"
                        f"addr add {LISTED[socket.AF_INET6]}/128 dev lo nodad\n")
        for namespace in self.box, self.outside:
            until(lambda namespace=namespace: link_local(namespace), "a link-local address")
        self.closing = contextlib.ExitStack()

    def close(self):
        self.box.remove()
        self.outside.remove()

    def reset(self):
        """No rules, nobody listening, no connection remembered."""
        self.closing.close()
        self.closing = contextlib.ExitStack()
        for namespace in self.box, self.outside:
            namespace.nft("flush ruleset")
        self.box.forget_flows()

    def tool(self, *words):
        """Run nft_tool in the box, return its lines; it must succeed."""
        return netns.command(*self.box.prefix(), TOOL, *words).splitlines()

    def install(self, *words):
        assert self.tool(*words, "install")[-1] == "install 0"

    def elements(self, name):
        """What a set holds: {value: (its timeout, what is left of it)} in seconds; values are as
        nft's JSON has them, as text."""
        found = {}
        for row in self.box.nft_json("list", "table", "inet", "ringfence"):
            held = row.get("set", {})
            if held.get("name") in (name, name + "_b"):
                for element in (one["elem"] for one in held.get("elem", [])):
                    found[value_text(element["val"])] = element["timeout"], element["expires"]
        return found

    def listing(self):
        return netns.command(*self.box.prefix(), "nft", "list", "table", "inet", "ringfence")

    def held(self, *words):
        return self.closing.enter_context(Held(self, words))

    def make(self, namespace, family, kind=socket.SOCK_STREAM, protocol=0, mark=None):
        with namespace.entered():
            made = self.closing.enter_context(socket.socket(family, kind, protocol))
        made.settimeout(PATIENCE)
        if mark is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        return made

    def ours(self, family, kind=socket.SOCK_STREAM):
        """A socket as ringfence makes its own."""
        with as_uid(UID):
            return self.make(self.box, family, kind, mark=MARK)

    def listen(self, namespace, family, address, port):
        listener = self.make(namespace, family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
        return listener

    def accept(self, listener):
        """The next connection, closed at the end of the test."""
        made = self.closing.enter_context(listener.accept()[0])
        made.settimeout(PATIENCE)
        return made

    def bound(self, namespace, family, address, port):
        """A UDP socket that has this address."""
        made = self.make(namespace, family, socket.SOCK_DGRAM)
        made.bind((address, port))
        return made

    def sniff(self):
        """What reaches the outside from now on."""
        return Sniffer(self)


class Held:
    """An nft_tool that stops at each "wait" until told to go on."""

    def __init__(self, net, words):
        self.process = subprocess.Popen([*net.box.prefix(), TOOL, *words], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def line(self):
        return self.process.stdout.readline().strip()

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def rest(self):
        """Let it run to its end, return what it has to say."""
        return self.process.communicate(timeout=PATIENCE)[0].splitlines()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()


class Sniffer:
    """Packets that come in at the outside's end of the wire, but for neighbour discovery."""

    def __init__(self, net):
        self.net = net
        self.socket = net.make(net.outside, socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
        self.socket.bind(("eth0", 3))
        self.drain()

    def drain(self):
        packets = []
        self.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, (_, ethertype, kind, _, _) = self.socket.recvfrom(65536)
                packets += [packet[14:]] if kind != PACKET_OUTGOING and wanted(
                    ethertype, packet[14:]) else []
        return packets

    def arrived(self):
        """Everything that has come since the last call: a packet of ours marks the end."""
        end = self.net.ours(socket.AF_INET, socket.SOCK_DGRAM)
        packets = []
        end.sendto(b"end of the list", (OUTSIDE[socket.AF_INET], 9))
        while True:
            assert select.select([self.socket], [], [], PATIENCE)[0], "the last packet is missing"
            packets += self.drain()
            if any(packet.endswith(b"end of the list") for packet in packets):
                return [packet for packet in packets if not packet.endswith(b"end of the list")]


def wanted(ethertype, packet):
    return ethertype == ETH_IP or ethertype == ETH_IP6 and not (
        packet[6] == socket.IPPROTO_ICMPV6 and packet[40] in DISCOVERY)


def link_local(namespace):
    """It comes with the link, a moment after that is up."""
    with namespace.entered():
        return any(address.startswith("fe80") for address in netns.addresses6())


def refusal(made, address):
    """The errno with which a connection is refused; fails when it is not."""
    error = made.connect_ex(address)
    assert error != 0, "connected"
    return error


def send_refusal(made, data, address):
    """The errno with which a datagram is refused."""
    with pytest.raises(OSError) as failure:
        made.sendto(data, address)
    return failure.value.errno


@contextlib.contextmanager
def as_uid(uid):
    """Sockets made by this thread belong to uid."""
    libc.setfsuid(uid)
    try:
        yield
    finally:
        libc.setfsuid(os.getuid())


def original_destination(connection):
    if connection.family == socket.AF_INET:
        raw = connection.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), struct.unpack_from("!H", raw, 2)[0]
    raw = connection.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28)
    return socket.inet_ntop(socket.AF_INET6, raw[8:24]), struct.unpack_from("!H", raw, 2)[0]


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def tcp_syn(source, destination):
    """A SYN for a raw IPv4 socket."""
    head = struct.pack("!HHIIBBHHH", source[1], destination[1], 12345, 0, 5 << 4, 2, 65535, 0, 0)
    pseudo = (socket.inet_aton(source[0]) + socket.inet_aton(destination[0]) +
              struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head)))
    return head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]


# For tests to import: the rules' own world instead of conftest.py's.

@pytest.fixture(scope="module")
def rules():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    assert os.path.exists(TOOL), f"{TOOL} is not built; RINGFENCE_NFT_TOOL names another"
    rules = Rules()
    yield rules
    rules.close()


@pytest.fixture
def net(rules):
    rules.reset()
    yield rules
    rules.reset()
