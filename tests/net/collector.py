"""collector.py - a dashboard, a collector, alert services: one HTTP server in the fake internet
that remembers what it was sent, and answers as a test wants.

    server = Collector(net)
    net.start(env={"DASHBOARD_HOST": server.url, "DASHBOARD_API_KEY": KEY, ...})
    server.wait_event(msg="https.blocked", https="evil.test")
"""
import gzip
import json

from origins import Http, answer_hello

ADDRESS, NAME, PORT = "192.0.2.81", "dash.test", 8081
KEY = "0123456789abcdef0123456789abcdef"
SHIP = {"DASHBOARD_API_KEY": KEY, "DASHBOARD_START_DELAY": "0s"}


class Post:
    """One request."""
    def __init__(self, request):
        self.method = request.method.decode()
        self.path, _, self.query = request.target.decode().partition("?")
        self.fields = request.fields
        self.wire = request.body
        self.packed = request.fields.get("content-encoding") == b"gzip"
        self.body = gzip.decompress(request.body) if self.packed else request.body

    def json(self):
        return json.loads(self.body)

    def header(self, name):
        return self.fields.get(name, b"").decode()


def answer(status=200, body=b"", fields=()):
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


class Collector:
    """status: what it answers to events; key: what it wants; arrays, packed: does it take them?"""
    def __init__(self, net, name=NAME, address=ADDRESS):
        self.net, self.internet, self.address = net, net.internet, address
        self.url = f"http://{name}:{PORT}"
        self.status, self.key, self.arrays, self.packed = 201, None, True, False
        self.ours = False               # is it a ringfence-dashboard?
        self.posts, self.events, self.probes = [], [], 0
        self.routes = {}                # path: function of a Post that gives an answer()
        self.internet.dns.set(name, address)
        if not getattr(self.internet, "collects", False):
            self.internet.serve(PORT, lambda: Http(self.internet))
            self.internet.collects = True
        self.internet.http_answer = self.answer

    def answer(self, request):
        if request.session.local != self.address:
            return answer_hello(request)
        post = Post(request)
        self.posts.append(post)
        fields = ["Accept-Encoding: gzip"] if self.packed else []
        fields += ["Server: ringfence-dashboard/0.1.0"] if self.ours else []
        route = self.routes.get(post.path)
        if route:
            return route(post)
        if self.key and post.header("x-api-key") != self.key:
            return answer(401, {"error": "unauthorized"}, fields)
        if post.path != "/api/v1/logs":
            return answer(404, b"404 page not found", fields)
        if self.status >= 300:
            return answer(self.status, b"", fields)
        return self.take(post, fields)

    def take(self, post, fields):
        items = post.json()
        if isinstance(items, list) and not self.arrays:
            return answer(400, {"error": "invalid json"}, fields)
        items = items if isinstance(items, list) else [items]
        kept = [item for item in items if not item["msg"].startswith("_dashboard_")]
        self.probes += len(items) - len(kept)
        self.events += kept
        return answer(self.status, {"created": len(kept), "results": []}, fields)

    # What tests ask

    def to(self, path):
        return [post for post in self.posts if post.path == path]

    def wait(self, condition, what="the collector", timeout=30):
        return self.internet.wait(condition, timeout, what)

    def found(self, **facts):
        return [event for event in self.events
                if all(event.get(key) == value for key, value in facts.items())]

    def wait_event(self, count=1, **facts):
        return self.wait(lambda: len(self.found(**facts)) >= count and self.found(**facts),
                         f"{count} events like {facts}")[count - 1]

    def wait_post(self, path, count=1):
        return self.wait(lambda: len(self.to(path)) >= count and self.to(path),
                         f"{count} requests for {path}")[count - 1]

    # Trouble

    def die(self):
        """Nobody listens there any more, and what was open is cut."""
        self.internet.refuse(self.address)

    def revive(self):
        self.internet.namespace.nft("flush chain inet extra input")
