"""dnsstub.py - a stub resolver in a namespace: questions made byte by byte, answers taken apart.

    dns = DnsClient(net.client)
    dns.ask("allowed.test").addrs == ["203.0.113.7"]
    dns.ask("evil.test", "AAAA", tcp=True).rcode == "NXDOMAIN"
"""
import contextlib
import ipaddress
import itertools
import socket
import struct

from fakedns import RCODES, TYPES, name_bytes

NUMBERS = {**{name: number for number, name in TYPES.items()}, "NULL": 10, "SVCB": 64, "CAA": 257,
           "DNSKEY": 48}
NAMES = {number: name for name, number in RCODES.items()}
ids = itertools.count(1000)


def question(name, kind="A", edns=1232, rd=True, number=None, wire=None):
    """edns: the size we say we take; None: no OPT. wire: the name's bytes."""
    number = next(ids) & 0xffff if number is None else number
    head = struct.pack("!6H", number, 0x0100 if rd else 0, 1, 0, 0, 0 if edns is None else 1)
    body = (wire or name_bytes(name)) + struct.pack("!2H", NUMBERS.get(kind, kind), 1)
    return head + body + (b"" if edns is None else struct.pack("!BHHIH", 0, 41, edns, 0, 0))


def read_name(wire, at):
    labels, end = [], None
    while wire[at]:
        if wire[at] >= 0xc0:
            end = end or at + 2
            at = struct.unpack_from("!H", wire, at)[0] & 0x3fff
            continue
        labels.append(wire[at + 1:at + 1 + wire[at]].decode("latin1"))
        at += 1 + wire[at]
    return ".".join(labels), end or at + 1


class Record:
    def __init__(self, wire, at):
        self.owner, at = read_name(wire, at)
        kind, self.cls, self.ttl, length = struct.unpack_from("!HHIH", wire, at)
        self.type = {number: name for name, number in NUMBERS.items()}.get(kind, str(kind))
        self.data_at, self.end = at + 10, at + 10 + length
        self.data = wire[self.data_at:self.end]
        self.text = None
        if kind in (1, 28):
            self.text = str(ipaddress.ip_address(self.data))
        elif kind in (5, 12, 2):
            self.text = read_name(wire, self.data_at)[0]


class Answer:
    def __init__(self, wire):
        self.wire = wire
        self.id, flags, questions, *counts = struct.unpack_from("!6H", wire)
        self.rcode = NAMES.get(flags & 15, str(flags & 15))
        self.qr, self.tc, self.rd, self.ra = (bool(flags & bit)
                                              for bit in (0x8000, 0x0200, 0x0100, 0x0080))
        at, self.name = 12, None
        for _ in range(questions):
            self.name, at = read_name(wire, at)
            at += 4
        sections = []
        for count in counts:
            sections.append([])
            for _ in range(count):
                sections[-1].append(Record(wire, at))
                at = sections[-1][-1].end
        assert at == len(wire)
        self.answers, self.authority, self.additional = sections

    @property
    def addrs(self):
        return [record.text for record in self.answers if record.type in ("A", "AAAA")]

    @property
    def error(self):
        """The extended error's number, None without."""
        for record in self.additional:
            if record.type == "41" and record.data[:2] == b"\0\x0f":
                return struct.unpack_from("!H", record.data, 4)[0]
        return None

    @property
    def soa(self):
        return any(record.type == "SOA" for record in self.authority)


def frame(message):
    return struct.pack("!H", len(message)) + message


class DnsClient:
    """Asks the server at `to`, whatever that is: it is redirected."""
    def __init__(self, client, to="8.8.8.8", timeout=10):
        self.client, self.to, self.timeout = client, to, timeout

    def socket(self, tcp=False, to=None):
        return self.client.connect(to or self.to, 53,
                                   socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM,
                                   self.timeout)

    def exchange(self, message, tcp=False, to=None):
        """The answer's bytes."""
        with self.socket(tcp, to) as sock:
            if not tcp:
                sock.send(message)
                return sock.recv(65536)
            sock.sendall(frame(message))
            return receive(sock)

    def ask(self, name, kind="A", tcp=False, to=None, **options):
        message = question(name, kind, **options)
        answer = Answer(self.exchange(message, tcp, to))
        assert answer.qr and answer.id == struct.unpack_from("!H", message)[0]
        return answer

    @contextlib.contextmanager
    def stream(self, to=None):
        with self.socket(True, to) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield sock


def receive_exactly(sock, length):
    data = b""
    while len(data) < length:
        more = sock.recv(length - len(data))
        if not more:
            raise EOFError(f"ended after {len(data)} of {length} bytes")
        data += more
    return data


def receive(sock):
    """One message over TCP."""
    return receive_exactly(sock, struct.unpack("!H", receive_exactly(sock, 2))[0])
