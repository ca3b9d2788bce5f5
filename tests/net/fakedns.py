"""fakedns.py - the fake internet's resolver: answers from a table that tests write.

    dns.set("allowed.test", "203.0.113.7", "2001:db8:7::7", ttl=5)
    dns.set("moving.test", *fifty_addresses, rotate=1)     one address a question, in turn
    dns.set("alias.test", cname="allowed.test")
    dns.set("slow.test", "203.0.113.7", delay=2.0)
    dns.set("broken.test", rcode="SERVFAIL")
    dns.set("silent.test", drop=True)
    dns.set("hostile.test", raw=lambda query: b"any bytes")
    dns.set("forged.test", script=lambda query, send, transport: send(b"...", "198.51.100.66"))
A script sends what it likes, as often as it likes; by UDP also from another address or port.
Names can begin with "*.", and "*" is any; an unknown name is NXDOMAIN. Every question is kept in
dns.questions."""
import asyncio
import collections
import contextlib
import ipaddress
import socket
import struct

RCODES = {"NOERROR": 0, "FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4, "REFUSED": 5}
TYPES = {1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA",
         33: "SRV", 65: "HTTPS", 255: "ANY"}
IPV6_PKTINFO, IPV6_RECVPKTINFO, IP_PKTINFO = 50, 49, 8

Question = collections.namedtuple("Question", "name type transport peer local id wire")


class Entry:
    def __init__(self, addrs, ttl, cname, rcode, delay, drop, rotate, raw, script):
        self.addrs = [ipaddress.ip_address(addr) for addr in addrs]
        self.ttl, self.cname, self.rcode = ttl, cname, rcode
        self.delay, self.drop, self.rotate, self.raw = delay, drop, rotate, raw
        self.script = script
        self.turn = 0

    def pick(self, version):
        addrs = [addr for addr in self.addrs if addr.version == version]
        if self.rotate and addrs:
            start = self.turn * self.rotate % len(addrs)
            self.turn += 1
            addrs = (addrs + addrs)[start:start + self.rotate]
        return addrs


def name_bytes(name):
    labels = [label.encode("latin1") for label in name.rstrip(".").split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def parse_question(wire):
    """(name in lower case, type, where the question ends)"""
    at, labels = 12, []
    while wire[at]:
        labels.append(wire[at + 1:at + 1 + wire[at]].decode("latin1").lower())
        at += 1 + wire[at]
    return ".".join(labels), struct.unpack_from("!H", wire, at + 1)[0], at + 5


def record(owner, kind, ttl, data):
    return owner + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


class FakeDns:
    def __init__(self, internet):
        self.internet = internet
        self.reset()

    def reset(self):
        self.names = {}
        self.questions = []

    def set(self, name, *addrs, ttl=60, cname=None, rcode="NOERROR", delay=0, drop=False,
            rotate=0, raw=None, script=None):
        self.names[name.lower()] = Entry(addrs, ttl, cname, rcode, delay, drop, rotate, raw, script)

    def unset(self, name):
        del self.names[name.lower()]

    def lookup(self, name):
        if name in self.names:
            return self.names[name]
        while "." in name:
            name = name.split(".", 1)[1]
            if "*." + name in self.names:
                return self.names["*." + name]
        return self.names.get("*")

    def address(self, name, version=4):
        """The first address of a name, for clients that do not ask."""
        entry = self.lookup(name)
        while entry and entry.cname:
            entry = self.lookup(entry.cname)
        return next((str(a) for a in entry.addrs if a.version == version), None) if entry else None

    def asked(self, name):
        return [question for question in self.questions if question.name == name]

    def answer(self, wire, limit):
        """The answer's bytes, and after how many seconds; None for silence."""
        name, kind, end = parse_question(wire)
        entry = self.lookup(name)
        if entry and entry.drop:
            return None, 0
        if entry and entry.raw:
            return entry.raw(wire), entry.delay
        rcode = RCODES[entry.rcode] if entry else RCODES["NXDOMAIN"]
        owner, records, delay = b"\xc0\x0c", [], entry.delay if entry else 0
        for _ in range(16):             # aliases
            if not entry or not entry.cname:
                break
            records.append(record(owner, 5, entry.ttl, name_bytes(entry.cname)))
            owner, entry = name_bytes(entry.cname), self.lookup(entry.cname)
        if entry and kind in (1, 28):
            records += [record(owner, kind, entry.ttl, addr.packed)
                        for addr in entry.pick(4 if kind == 1 else 6)]
        soa = b"" if records else record(b"\0", 6, 1, b"\0\0" + struct.pack("!5I", 1, 2, 3, 4, 1))
        flags = 0x8180 | struct.unpack_from("!H", wire, 2)[0] & 0x0100 | rcode
        body = wire[12:end] + b"".join(records) + soa
        if 12 + len(body) > limit:      # TC: ask again over TCP
            return wire[:2] + struct.pack("!5H", flags | 0x0200, 1, 0, 0, 0) + wire[12:end], delay
        counts = struct.pack("!5H", flags, 1, len(records), 1 if soa else 0, 0)
        return wire[:2] + counts + body, delay

    def handle(self, wire, transport, peer, local, send):
        if len(wire) < 17 or wire[2] & 0x80:
            return
        try:
            name, kind, _ = parse_question(wire)
        except (IndexError, struct.error):
            return
        question = Question(name, TYPES.get(kind, str(kind)), transport, peer, local,
                            struct.unpack_from("!H", wire)[0], bytes(wire))
        with self.internet.changed:
            self.questions.append(question)
            self.internet.changed.notify_all()
        entry = self.lookup(name)
        if entry and entry.script:
            entry.script(bytes(wire), send, transport)
            return
        edns = struct.unpack_from("!H", wire, 10)[0] > 0
        answer, delay = self.answer(wire, 65535 if transport == "tcp" else 1232 if edns else 512)
        if answer is not None:
            asyncio.get_running_loop().call_later(delay, send, answer)


def reply(wire, *records, rcode="NOERROR", ttl=60, flags=0, authority=b"", additional=b""):
    """An answer to a question: records are addresses, or bytes that record() made."""
    end = parse_question(wire)[2]
    made = [one if isinstance(one, bytes) else address_record(one, ttl) for one in records]
    counts = (1, len(made), 1 if authority else 0, 1 if additional else 0)
    return (wire[:2] + struct.pack("!5H", 0x8180 | flags | RCODES[rcode], *counts) +
            wire[12:end] + b"".join(made) + authority + additional)


def address_record(addr, ttl=60, owner=b"\xc0\x0c"):
    addr = ipaddress.ip_address(addr)
    return record(owner, 1 if addr.version == 4 else 28, ttl, addr.packed)


class DnsTcp(asyncio.Protocol):
    def __init__(self, dns):
        self.dns, self.data = dns, b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data
        while len(self.data) >= 2:
            length = struct.unpack_from("!H", self.data)[0]
            if len(self.data) < 2 + length:
                return
            wire, self.data = self.data[2:2 + length], self.data[2 + length:]
            self.dns.handle(wire, "tcp", self.transport.get_extra_info("peername")[:2],
                            self.transport.get_extra_info("sockname")[0], self.send)

    def send(self, answer, source=None):
        self.transport.write(struct.pack("!H", len(answer)) + answer)


def udp_serve(sock, on_datagram):
    """Call on_datagram(data, peer, local, send) for each; answers leave from where it came to."""
    v4 = sock.family == socket.AF_INET
    if v4:
        sock.setsockopt(socket.SOL_IP, IP_PKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)

    def on_readable():
        while True:
            try:
                data, control, _, peer = sock.recvmsg(65535, 256)
            except OSError:             # nothing more, or an ICMP error of an earlier answer
                return
            info = control[0][2]
            local = info[8:12] if v4 else info[:16]

            def send(answer, source=None, peer=peer, local=local):
                """source: another address than was asked, or another port (a number)."""
                if isinstance(source, str):
                    local = ipaddress.ip_address(source).packed
                with contextlib.suppress(OSError):      # the client has gone
                    if isinstance(source, int):
                        with socket.socket(sock.family, socket.SOCK_DGRAM) as other:
                            other.bind((str(ipaddress.ip_address(local)), source))
                            other.sendto(answer, peer)
                    else:
                        sock.sendmsg([answer], leave_from(local), 0, peer)
            on_datagram(data, peer[:2], str(ipaddress.ip_address(local)), send)
    asyncio.get_running_loop().add_reader(sock, on_readable)


def leave_from(addr):
    """Control data that makes a datagram leave from this address."""
    if len(addr) == 4:
        return [(socket.SOL_IP, IP_PKTINFO, struct.pack("=I4s4s", 0, addr, b"\0" * 4))]
    return [(socket.IPPROTO_IPV6, IPV6_PKTINFO, addr + struct.pack("=I", 0))]
