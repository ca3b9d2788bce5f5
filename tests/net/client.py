"""client.py - what a workload does, told in one word.

OK           an answer came back (.body, .status say which)
RESET        the connection was cut by RST
CLOSED       it ended without an answer
REFUSED      nobody listens, or a RST to the SYN
UNREACHABLE  an ICMP refusal, or no route
DENIED       the kernel refused to send (EPERM)
TIMEOUT      nothing happened
ALERT        TLS was ended by an alert; BADCERT: the certificate is for another name
404 ...      an HTTP status other than 2xx

Also a program, so that the same can be tried with fewer rights: client.py ADDR PORT MARK DATA"""
import contextlib
import ctypes
import errno
import json
import os
import socket
import ssl
import subprocess
import sys

SO_MARK = 36
WORDS = {errno.ECONNRESET: "RESET", errno.EPIPE: "RESET", errno.ECONNABORTED: "RESET",
         errno.ECONNREFUSED: "REFUSED", errno.EPERM: "DENIED", errno.ETIMEDOUT: "TIMEOUT",
         errno.EHOSTUNREACH: "UNREACHABLE", errno.ENETUNREACH: "UNREACHABLE",
         errno.EACCES: "UNREACHABLE"}       # ICMPv6 admin-prohibited
CURL = {6: "UNRESOLVED", 7: "REFUSED", 28: "TIMEOUT", 52: "CLOSED", 60: "BADCERT"}


class Outcome(str):
    """One word, and what stands behind it: body, status, error."""
    def __new__(cls, word, body=b"", status=0, error=""):
        self = super().__new__(cls, word)
        self.body, self.status, self.error = body, status, error
        return self

    def __repr__(self):
        facts = " ".join(str(fact) for fact in (self.error, self.body[:60]) if fact)
        return f"{str(self)!r}" + (f" ({facts})" if facts else "")


def outcome_of(error):
    if isinstance(error, (TimeoutError, socket.timeout)):
        return Outcome("TIMEOUT", error=error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Outcome("BADCERT", error=error)
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError, EOFError)):
        return Outcome("CLOSED", error=error)
    if isinstance(error, ssl.SSLError):
        return Outcome("ALERT", error=error)
    return Outcome(WORDS.get(error.errno, errno.errorcode.get(error.errno, "ERROR")), error=error)


def outcome(method):
    """The method's errors become words."""
    def told(*args, **options):
        try:
            return method(*args, **options)
        except (OSError, EOFError) as error:
            return outcome_of(error)
    told.__doc__ = method.__doc__
    return told


def read_response(sock):
    """One HTTP response: (status, body)."""
    with sock.makefile("rb") as file:
        status = file.readline()
        if not status:
            raise EOFError("no answer")
        length = None
        while (line := file.readline()) not in (b"\r\n", b""):
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = file.read() if length is None else file.read(length)
        if length is not None and len(body) < length:
            raise EOFError("the answer was cut")
        return int(status.split()[1]), body


class Client:
    """Clients in a namespace (None: this process's own)."""
    def __init__(self, namespace=None, authority=None, dns=None, resolv_conf=None):
        self.namespace, self.authority, self.dns = namespace, authority, dns
        self.resolv_conf = resolv_conf
        self.timeout = 10

    # Sockets

    def open(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, protocol=0, mark=0, uid=None):
        """A socket of this namespace, by mark and owner if told."""
        inside = self.namespace.entered() if self.namespace else contextlib.nullcontext()
        with inside, owned_by(uid):
            sock = socket.socket(family, kind, protocol)
        sock.settimeout(self.timeout)
        if mark:
            sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        return sock

    def connect(self, to, port, kind=socket.SOCK_STREAM, timeout=None, **options):
        """A connected socket, or OSError."""
        sock = self.open(family_of(to), kind, **options)
        try:
            sock.settimeout(timeout or self.timeout)
            sock.connect((to, port))
        except OSError:
            sock.close()
            raise
        return sock

    def address(self, name, to):
        return to or (self.dns.address(name) if self.dns else None) or name

    # Conversations

    @outcome
    def tcp(self, to, port, data=b"hello", segments=(), timeout=None, **options):
        """Send bytes (cut into segments of these lengths), OK when anything comes back."""
        with self.connect(to, port, timeout=timeout, **options) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            at = 0
            for length in segments:
                sock.sendall(data[at:at + length])
                at += length
            if data[at:]:
                sock.sendall(data[at:])
            answer = sock.recv(65536) if data else b"connected"
            return Outcome("OK" if answer else "CLOSED", answer)

    @outcome
    def udp(self, to, port, data=b"hello", timeout=2, **options):
        with self.connect(to, port, socket.SOCK_DGRAM, timeout, **options) as sock:
            try:
                sock.send(data)
            except PermissionError:     # a reject rule says so too, and sends its ICMP beside it
                refusal = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                raise OSError(refusal or errno.EPERM, "refused") from None
            return Outcome("OK", sock.recv(65536))

    @outcome
    def http(self, host, to=None, port=80, path="/", method="GET", head=None, timeout=None,
             **options):
        """One request; head: these bytes instead of an ordinary one."""
        request = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        with self.connect(self.address(host, to), port, timeout=timeout, **options) as sock:
            return exchange(sock, head or request.encode())

    @outcome
    def tls(self, name, to=None, port=443, path="/", verify=True, alpn=("http/1.1",), timeout=None,
            **options):
        """Handshake and one request; name "": without SNI."""
        context = self.authority.client()
        if not verify or not name:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(list(alpn))
        request = f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        with self.connect(self.address(name, to), port, timeout=timeout, **options) as sock:
            with context.wrap_socket(sock, server_hostname=name or None) as tls:
                return exchange(tls, request.encode())

    # Programs

    def run(self, *argv, uid=None, caps=None, timeout=30, stdin=None):
        """A command in the namespace, with the workload's resolv.conf. caps: the only capabilities
        it can have, like "+net_raw,+setuid" or "" for none."""
        rights = ["--reuid", str(uid), "--clear-groups"] if uid is not None else []
        if caps is not None:
            sets = ",".join(["-all"] + [cap for cap in caps.split(",") if cap])
            rights += [f"--bounding-set={sets}", f"--inh-caps={sets}"]
            rights += [f"--ambient-caps={sets}"] if uid is not None else []
        bind = 'mount --bind "$1" /etc/resolv.conf && shift && exec "$@"'
        return subprocess.run(
            [*self.namespace.prefix(), "unshare", "-m", "sh", "-c", bind, "sh", self.resolv_conf,
             *(["setpriv", *rights, "--"] if rights else []), *argv],
            text=True, capture_output=True, timeout=timeout, input=stdin)

    def probe(self, to, port, mark=0, data="hello", **rights):
        """tcp() by a process of its own, with the rights that run() takes."""
        with open(__file__) as file:
            done = self.run(sys.executable, "-c", file.read(), to, str(port), str(mark), data,
                            **rights)
        return Outcome(done.stdout.strip() or "ERROR", error=done.stderr)

    def curl(self, *args, timeout=10):
        """curl -sS with the test authority: OK, or the word for its exit code."""
        done = self.run("curl", "-sS", "--max-time", str(timeout), "--cacert", self.authority.file,
                        "-w", "%{stderr}%{json}", *args, timeout=timeout + 10)
        text, _, facts = done.stderr.rpartition("{\"")
        status = json.loads("{\"" + facts)["http_code"] if facts else 0
        word = CURL.get(done.returncode, f"CURL{done.returncode}")
        if done.returncode == 0:
            word = "OK" if 200 <= status < 300 else str(status)
        elif "reset by peer" in text:
            word = "RESET"
        return Outcome(word, done.stdout.encode(), status, text.strip())


def family_of(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def exchange(sock, request):
    sock.sendall(request)
    status, body = read_response(sock)
    return Outcome("OK" if 200 <= status < 300 else str(status), body, status)


@contextlib.contextmanager
def owned_by(uid):
    """Files and sockets made in the block by this thread belong to uid."""
    if uid is None:
        yield
        return
    libc = ctypes.CDLL(None)
    before = libc.setfsuid(uid)
    try:
        yield
    finally:
        libc.setfsuid(before)


if __name__ == "__main__":
    addr, port, mark, data = sys.argv[1:]
    print(Client().tcp(addr, int(port), data.encode(), mark=int(mark)))
