"""internet.py - everything outside the box: a namespace where every address answers.

All of IPv4 and IPv6 is local here, so whatever leaves the box arrives, is counted by the kernel
(arrived()) and answered: TLS on 443, HTTP on 80, DNS on 53, and on all other ports, TCP and UDP, a
sink that echoes. So "nothing arrived" is judged on this side, and would have failed without a
filter. The servers are one asyncio loop in a thread of the test process: look at
internet.sessions, internet.datagrams and internet.dns.questions directly."""
import asyncio
import collections
import socket
import threading
import time

from fakedns import DnsTcp, FakeDns, udp_serve
from origins import Http, Origin, Tls, answer_hello

ORIGIN, ORIGIN6 = "203.0.113.7", "2001:db8:7::7"            # where allowed.test is
ATTACKER, ATTACKER6 = "198.51.100.66", "2001:db8:66::66"    # where evil.test is
RESOLVER, RESOLVER6 = "192.0.2.53", "2001:db8:53::53"
GATEWAY, GATEWAY6 = "10.77.0.1", "fd77::1"
SINK_PORT = 9

Datagram = collections.namedtuple("Datagram", "data peer local")

# Up first: an IPv6 address of a link that comes up meanwhile may never become local.
LINKS = """
link set lo up
link set eth0 up
addr add 10.77.0.1/24 dev eth0
addr add fd77::1/64 dev eth0 nodad
route add 10.77.0.0/24 dev eth0 table local
route add local 0.0.0.0/0 dev lo table local
route add fd77::/64 dev eth0 table local
route add fe80::/64 dev eth0 table local
route add local ::/0 dev lo table local
"""

# Sets with counters: one element for each destination, protocol and port that was ever tried.
RULES = """
table inet internet {
    set ports4 { type ipv4_addr . inet_proto . inet_service; size 65535; flags dynamic; counter; }
    set ports6 { type ipv6_addr . inet_proto . inet_service; size 65535; flags dynamic; counter; }
    set other4 { type ipv4_addr . inet_proto; size 65535; flags dynamic; counter; }
    set other6 { type ipv6_addr . inet_proto; size 65535; flags dynamic; counter; }
    set served { type inet_proto . inet_service;
                 elements = { tcp . 53, tcp . 80, tcp . 443, udp . 53 } }
    chain count {
        type filter hook prerouting priority raw;
        iifname != "eth0" accept
        meta l4proto != { tcp, udp } add @other4 { ip daddr . meta l4proto }
        meta l4proto != { tcp, udp } add @other6 { ip6 daddr . meta l4proto }
        meta l4proto { tcp, udp } add @ports4 { ip daddr . meta l4proto . th dport }
        meta l4proto { tcp, udp } add @ports6 { ip6 daddr . meta l4proto . th dport }
    }
    chain sink {
        type nat hook prerouting priority dstnat;
        iifname "eth0" meta l4proto { tcp, udp } meta l4proto . th dport != @served redirect to :%d
    }
}
""" % SINK_PORT


class Internet:
    def __init__(self, namespace, authority):
        self.namespace, self.authority = namespace, authority
        self.changed = threading.Condition(threading.RLock())   # wakes wait()
        self.dns = FakeDns(self)
        self.served = []
        self.reset_answers()
        self.sessions, self.datagrams = [], []
        namespace.sysctl(ipv4__tcp_congestion_control="reno", ipv6__ip_nonlocal_bind=1)
        namespace.ip(LINKS)
        namespace.nft(RULES)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.run, name="internet", daemon=True).start()
        self.call(self.listen())

    def run(self):
        self.namespace.enter()
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def call(self, coroutine):
        """Run a coroutine in the internet's thread, give its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(10)

    async def listen(self):
        await self.listen_tcp(53, lambda: DnsTcp(self.dns))
        await self.listen_tcp(80, lambda: self.http(self))
        await self.listen_tcp(443, lambda: self.tls(self))
        await self.listen_tcp(SINK_PORT, lambda: Origin(self))
        for family, everywhere in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
            self.listen_udp(family, everywhere, 53, self.on_question)
            self.listen_udp(family, everywhere, SINK_PORT, self.on_datagram)

    async def listen_tcp(self, port, factory):
        for everywhere in "0.0.0.0", "::":      # two sockets: SO_ORIGINAL_DST is per family
            await self.loop.create_server(factory, everywhere, port, backlog=4096,
                                          reuse_address=True)

    def listen_udp(self, family, everywhere, port, on_datagram):
        sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((everywhere, port))
        udp_serve(sock, on_datagram)

    def on_question(self, data, peer, local, send):
        self.dns.handle(data, "udp", peer, local, send)

    def on_datagram(self, data, peer, local, send):
        with self.changed:
            self.datagrams.append(Datagram(data, peer, local))
            self.changed.notify_all()
        send(data)

    # What tests change

    def serve(self, port, factory):
        """Serve a TCP port by an asyncio protocol: serve(22, lambda: MyOrigin(net.internet))."""
        self.call(self.listen_tcp(port, factory))
        self.namespace.nft(f"add element inet internet served {{ tcp . {port} }}")

    def rules(self, *rules):
        """More of the internet's own nftables rules, until the end of the test."""
        self.namespace.nft("add table inet extra\nadd chain inet extra input "
                           "{ type filter hook input priority 0; }\n"
                           + "".join(f"add rule inet extra input {rule}\n" for rule in rules))

    def silence(self, addr):
        """No answer from this address, as from a machine that is switched off."""
        self.rules(f"{'ip6' if ':' in addr else 'ip'} daddr {addr} drop")

    def refuse(self, addr):
        """Nobody listens at this address."""
        self.rules(f"{'ip6' if ':' in addr else 'ip'} daddr {addr} meta l4proto tcp "
                   "reject with tcp reset")

    def reset_answers(self):
        self.http, self.tls = Http, Tls         # who serves 80 and 443; see origins.py
        self.http_answer = answer_hello
        self.tls_curve = None                   # "secp384r1": every client is asked to retry
        self.dns.reset()
        self.dns.set("allowed.test", ORIGIN, ORIGIN6)
        self.dns.set("*.wild.test", ORIGIN, ORIGIN6)
        self.dns.set("evil.test", ATTACKER, ATTACKER6)

    def reset(self):
        """Forget what arrived, answer as in the beginning."""
        self.call(self.hang_up())
        with self.changed:
            self.reset_answers()
            self.sessions, self.datagrams = [], []
        self.namespace.nft("add table inet extra\ndelete table inet extra\n"
                           + "".join(f"flush set inet internet {name}\n"
                                     for name in ("ports4", "ports6", "other4", "other6")))

    async def hang_up(self):
        for session in self.sessions:
            if session.closed is None:
                session.transport.abort()

    # What tests ask

    def at(self, addr, port=None):
        """Connections that reached an address."""
        with self.changed:
            return [session for session in self.sessions
                    if session.local == addr and port in (None, session.port)]

    def received(self, addr, port=None):
        """Every byte that TCP connections brought to an address, in one string."""
        return b"".join(bytes(session.raw) for session in self.at(addr, port))

    def requests(self, addr=None):
        """HTTP requests, also those inside TLS, in order of connections."""
        with self.changed:
            return [request for session in self.sessions if addr in (None, session.local)
                    for request in session.requests]

    def arrivals(self):
        """Packets by (address, protocol, port), counted by the kernel: {("198.51.100.66", "tcp",
        443): 3}; port 0 for protocols without ports."""
        counts = {}
        for row in self.namespace.nft_json("list", "table", "inet", "internet"):
            for element in row.get("set", {}).get("elem", []):
                if "counter" in element.get("elem", {}):
                    key = element["elem"]["val"]["concat"]
                    port = key[2] if len(key) > 2 else 0
                    counts[key[0], str(key[1]), port] = element["elem"]["counter"]["packets"]
        return counts

    def arrived(self, *addrs, protocol=None, port=None):
        """Packets that reached any of these addresses; none named: any but the gateway's own."""
        own = (GATEWAY, GATEWAY6)
        return sum(packets for (addr, kind, to), packets in self.arrivals().items()
                   if (addr in addrs if addrs else addr not in own and not is_neighbour(addr))
                   and protocol in (None, kind) and port in (None, to))

    def wait(self, condition, timeout=10, what="the internet to see it"):
        """Until condition() is true; it is asked again whenever something arrives."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not (result := condition()):
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError(f"waited {timeout} s for {what}; sessions: {self.sessions}")
                self.changed.wait(left)
            return result


def is_neighbour(addr):
    """Link-local and multicast: neighbour discovery and the like, never beyond the wire."""
    return addr.startswith(("fe80:", "ff02:", "224.0.0."))
