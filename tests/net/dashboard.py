"""dashboard.py - a running ringfence-dashboard on loopback: ask it, ship to it, read its stream."""
import http.client
import json
import os

from ringfence import PATIENCE, Ringfence

KEY = "a-key-of-the-tests-0123456789abcdef"
JSON = {"Content-Type": "application/json"}


def event(name="evil.example", action="BLOCKED", **more):
    """What an agent ships."""
    return {"msg": f"https.{action.lower()}", "action": action, "component": "https",
            "https": name, "hostname": "host-1", "source_ip": "172.18.0.2", "source_port": 51822,
            "destination_ip": "192.0.2.7", "destination_port": 443, "dst": "192.0.2.7:443",
            "flow_id": "9d1c6e0c1b7f3a52", "version": "0.6.0", "reason": "not-allowlisted",
            "time": "2026-07-05T00:25:09.123456789Z", **more}


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def text(self):
        return self.body.decode()

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]}"


class Stream:
    """Server-sent events, read as they come."""

    def __init__(self, connection, response):
        self.connection, self.response = connection, response
        self.lines = []

    def line(self):
        line = self.response.readline()
        assert line, "the stream has ended"
        return line.decode().rstrip("\n")

    def next(self):
        """The next message that is no comment: (id or None, data)."""
        number = None
        while True:
            line = self.line()
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("data: "):
                assert self.line() == ""
                return number, json.loads(line[6:])

    def close(self):
        self.response.close()
        self.connection.close()


class Dashboard(Ringfence):
    def __init__(self, db, env=None):
        """db: a path, or "" for memory."""
        super().__init__([], ["dashboard"], {
            "PORT": "127.0.0.1:0", "API_KEY": KEY, "LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG",
            "RATE_RPS": "100000", "RATE_BURST": "100000",
            **({"DB_PATH": str(db)} if db else {"EPHEMERAL": "true"}), **(env or {})})
        ready = self.wait_event("startup.ready")
        self.port = int(ready["listen"].rpartition(":")[2]) if ready["listen"] != "off" else None

    def connect(self, source=None):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE,
                                          source_address=(source, 0) if source else None)

    def ask(self, method, path, body=None, key=KEY, source=None, **headers):
        """headers: content_type="..." and the like."""
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            fields["X-Api-Key"] = key
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            fields.setdefault("Content-Type", "application/json")
        connection = self.connect(source)
        try:
            connection.request(method, path, body, fields)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def api(self, path, **more):
        """What a good GET below /api/v1 says."""
        answer = self.get("/api/v1" + path, **more)
        assert answer.status == 200, answer
        return answer.json()

    def ship(self, *events, **more):
        answer = self.ask("POST", "/api/v1/logs", list(events), **more)
        assert answer.status == 201, answer
        return [result["id"] for result in answer.json()["results"]]

    def stream(self, query="", **headers):
        connection = self.connect()
        connection.request("GET", "/api/v1/events" + query, headers={
            "X-Api-Key": KEY, **{name.replace("_", "-"): value for name, value in headers.items()}})
        response = connection.getresponse()
        assert response.status == 200, response.status
        stream = Stream(connection, response)
        while stream.line() != ": connected":
            pass
        return stream

    def password(self):
        return self.wait_event("dashboard.bootstrap_admin")["password"]


def postgres_tools():
    folders = sorted(os.listdir("/usr/lib/postgresql")) if os.path.isdir("/usr/lib/postgresql") \
        else []
    return f"/usr/lib/postgresql/{folders[-1]}/bin" if folders else None
