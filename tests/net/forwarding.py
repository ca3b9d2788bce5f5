"""forwarding.py - `ringfence forward` between a workload and the internet, as in a compose file.

    workload  10.78.0.9, fd78::9       may reach the proxy and nothing else
     | inside
    proxy     10.78.0.2, fd78::2       towards the workload: where clients connect to
     | eth0   10.77.0.2, fd77::2       towards the internet
    internet                           every address there is; see internet.py

    def test_bytes_pass(net):
        with net.conversation(7000) as (client, upstream):
            exchange(client, upstream, b"ping")

The proxy runs as in a container: own /etc/resolv.conf, /etc/hosts, /run and trusted authorities.
Most tests play the target themselves (listen()); on other ports the internet's sink echoes."""
import asyncio
import contextlib
import os
import shutil
import signal
import socket
import struct
import subprocess

import netns
from client import Client
from fakedns import FakeDns, parse_question, udp_serve
from internet import ORIGIN, ORIGIN6, RESOLVER
from ringfence import PASSED_ON, PATIENCE, Ringfence, binary, until

PROXY, PROXY6 = "10.78.0.2", "fd78::2"
OUTSIDE, OUTSIDE6 = "10.77.0.2", "fd77::2"              # what the target sees as its client
WORKLOAD, WORKLOAD6 = "10.78.0.9", "fd78::9"
OTHER, OTHER6 = "10.78.0.66", "fd78::66"                # the workload's second address
TARGET2 = "203.0.113.77"
DOCKER_DNS = "127.0.0.11"
INSIDE = {
    "workload": f"""
link set lo up
link set inside up
addr add {WORKLOAD}/24 dev inside
addr add {OTHER}/24 dev inside
addr add {WORKLOAD6}/64 dev inside nodad
addr add {OTHER6}/64 dev inside nodad preferred_lft 0
""",
    "proxy": f"""
link set inside up
addr add {PROXY}/24 dev inside
addr add {PROXY6}/64 dev inside nodad
"""}
DEFAULTS = {"WORKERS": "1", "LOG_FORMAT": "json"}
# $0 is the container's folder; the command follows.
CONTAINER = ("mount --bind $0/resolv.conf /etc/resolv.conf && mount --bind $0/hosts /etc/hosts && "
             "mount --bind $0/run /run && "
             "mount --bind $0/ca.pem /etc/ssl/certs/ca-certificates.crt && exec \"$@\"")
AS_PROXY = ["bash", "-c", 'exec -a /usr/local/bin/proxy "$0" "$@"']
AS_HEALTHCHECK = ["bash", "-c", 'exec -a /usr/local/bin/healthcheck "$0" "$@"']
TO_RESET = struct.pack("ii", 1, 0)                      # SO_LINGER: close by RST


class Proxy(Ringfence):
    """One running `ringfence forward`. It ends with 143, as the original's container does."""
    def stop(self):
        """SIGTERM twice: whatever is still open is not waited for. (Two at once would be one.)"""
        self.signal(signal.SIGTERM)
        self.wait(lambda: self.ended or "shutdown.signal" in self.log(), PATIENCE, "its end")
        self.signal(signal.SIGTERM)
        code = self.wait_exit()
        assert code == 143, f"ended with {code} after SIGTERM\n{self.log()}"


class Server:
    """A port of the internet, on every address of it, where the test itself is the target."""
    def __init__(self, internet, port, backlog=128):
        self.internet, self.port = internet, port
        with internet.namespace.entered():
            self.listener = socket.create_server(("::", port), family=socket.AF_INET6,
                                                 dualstack_ipv6=True, backlog=backlog)
        self.listener.settimeout(PATIENCE)
        self.element = f"element inet internet served {{ tcp . {port} }}"
        internet.namespace.nft(f"add {self.element}")

    def accept(self):
        sock, self.peer = self.listener.accept()
        sock.settimeout(PATIENCE)
        return sock

    def nobody_waits(self):
        """Has nobody connected who was not accepted?"""
        self.listener.setblocking(False)
        try:
            self.listener.accept()[0].close()
            return False
        except BlockingIOError:
            return True
        finally:
            self.listener.settimeout(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.listener.shutdown(socket.SHUT_RDWR)        # wakes a thread that accepts
        self.listener.close()
        self.internet.namespace.nft(f"delete {self.element}")


class Forwarding:
    def __init__(self, world):
        self.world, self.internet, self.authority = world, world.internet, world.authority
        self.folder = os.path.join(world.folder, "container")
        os.makedirs(os.path.join(self.folder, "run"), exist_ok=True)
        shutil.copy(world.authority.file, os.path.join(self.folder, "ca.pem"))
        self.proxy, self.workload = world.box, netns.Namespace("workload")
        self.workload.sysctl(ipv6__conf__default__accept_dad=0, ipv6__conf__all__disable_ipv6=0)
        self.workload.ip(f"link add inside type veth peer name inside netns {self.proxy.name}\n")
        self.workload.ip(INSIDE["workload"])
        self.proxy.ip(INSIDE["proxy"])
        self.client = Client(self.workload, world.authority, None,
                             os.path.join(self.folder, "workload.conf"))
        self.write("workload.conf", [f"nameserver {DOCKER_DNS}"])
        self.docker_dns = FakeDns(self.internet)
        self.docker_socks = [self.answer_for_docker(space) for space in (self.proxy, self.workload)]

    def close(self):
        for sock in self.docker_socks:
            self.internet.loop.call_soon_threadsafe(self.internet.loop.remove_reader, sock)
        self.internet.call(asyncio.sleep(0))
        for sock in self.docker_socks:
            sock.close()
        self.proxy.ip("link del inside\n")  # the kernel empties a namespace when it has time
        self.workload.remove()

    def answer_for_docker(self, namespace):
        """Docker's resolver, which each container has on its loopback: knows aliases (docker_dns),
        and asks outside for what it does not know."""
        def on_question(data, peer, local, send):
            known = self.docker_dns.lookup(parse_question(data)[0])
            (self.docker_dns if known else self.internet.dns).handle(data, "udp", peer, local, send)
        with namespace.entered():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.bind((DOCKER_DNS, 53))
        self.internet.loop.call_soon_threadsafe(udp_serve, sock, on_question)
        return sock

    def reset(self):
        """Before each test."""
        self.workload.forget_flows()
        for folder, folders, names in os.walk(os.path.join(self.folder, "run")):
            for name in names:                  # the folder stays: it is mounted
                os.unlink(os.path.join(folder, name))
        self.resolv_conf(f"nameserver {RESOLVER}")
        self.hosts()
        self.env = {}
        self.docker_dns.reset()
        self.internet.dns.set("target.test", ORIGIN, ORIGIN6)

    # The proxy and its container

    @property
    def started(self):
        return self.world.started

    @property
    def ringfence(self):
        """The one started last."""
        return self.started[-1]

    def resolv_conf(self, *lines):
        self.write("resolv.conf", [*lines, "options timeout:1 attempts:2"])

    def hosts(self, *lines):
        self.write("hosts", ["127.0.0.1 localhost", "::1 localhost", *lines])

    def write(self, name, lines):
        with open(os.path.join(self.folder, name), "w") as file:        # in place: it is mounted
            file.write("\n".join(lines) + "\n")

    def inside(self):
        """What to put before a command to run it in the proxy's container."""
        return [*self.proxy.prefix(), "unshare", "-m", "sh", "-c", CONTAINER, self.folder]

    def start(self, *args, ready="startup.ready", wrapper=(), **variables):
        """Start it with these variables (None unsets) and wait until it says it is ready."""
        env = {**DEFAULTS, **variables}
        self.env = {name: str(value) for name, value in env.items() if value is not None}
        instance = Proxy([*self.inside(), *wrapper], args, self.env)
        if ready:
            try:
                instance.wait_text(ready)
            except AssertionError:
                instance.kill()
                raise
        self.started.append(instance)
        return instance

    def run(self, *args, wrapper=(), timeout=60, **variables):
        """A command of ringfence in the container that ends by itself; env: of start(), and
        these variables."""
        passed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        env = {name: str(value) for name, value in {**self.env, **variables}.items()
               if value is not None}
        return subprocess.run([*self.inside(), *wrapper, binary(), *args], env={**passed, **env},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=timeout)

    def healthcheck(self, **variables):
        return self.run(wrapper=AS_HEALTHCHECK, **variables)

    # Clients and targets

    def connect(self, port, to=PROXY, timeout=PATIENCE):
        return self.client.connect(to, port, timeout=timeout)

    def listen(self, port):
        return Server(self.internet, port)

    @contextlib.contextmanager
    def conversation(self, port=7000, to=PROXY, **variables):
        """A client connected by way of the proxy with a target that the test plays."""
        self.start(TARGET="target.test", PORT=port, **variables)
        with self.listen(port) as server, self.connect(port, to) as client:
            with server.accept() as upstream:
                yield client, upstream

    def refuse(self, addr):
        """Nobody listens at this address of the internet, whatever the port."""
        self.internet.rules(f"{original(addr)} meta l4proto tcp reject with tcp reset")

    def silence(self, addr):
        """No answer from this address."""
        self.internet.rules(f"{original(addr)} drop")

    def say(self, port, data=b"hello", to=PROXY, timeout=PATIENCE):
        """What the echo of an internet's sink is, in one word (client.py)."""
        return self.client.tcp(to, port, data, timeout=timeout)

    def sockets(self, *options):
        """What ss says of the proxy's sockets, a line each."""
        return netns.command(*self.proxy.prefix(), "ss", "-Hn", *options).splitlines()


def original(addr):
    """An address before the internet's redirect to its sink."""
    return f"ct original {'ip6' if ':' in addr else 'ip'} daddr {addr}"


def exchange(one, other, data=b"ping"):
    """Bytes from one end come out of the other."""
    one.sendall(data)
    assert read(other, len(data)) == data


def read(sock, length):
    data = b""
    while len(data) < length:
        part = sock.recv(length - len(data))
        if not part:
            raise EOFError(f"ended after {len(data)} of {length} bytes: {data[:60]}")
        data += part
    return data


def read_all(sock):
    """Until it ends; an end by RST is an OSError."""
    parts = []
    while part := sock.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, TO_RESET)
    sock.close()


def ending(sock):
    """How a connection ends that should say nothing more: FIN or RST."""
    try:
        return "FIN" if sock.recv(1) == b"" else "data"
    except ConnectionResetError:
        return "RST"
