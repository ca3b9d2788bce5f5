"""test_dashboard_auth.py - who may do what with the dashboard: rows W01, W02, W04, W06 to W09, W13
to W15 of the security matrix, seen from outside."""
import contextlib
import os
import subprocess

import pytest

from dashboard import KEY, Dashboard, event
from ringfence import binary, until

BCRYPT = "$2b$05$abcdefghijklmnopqrstuu5s1KTmyZqIK0rVoXzA9rZAYUUNgEh2y"    # no known password
READS = "/logs", "/logs/1", "/logs/browse", "/events", "/config", "/aggregates", \
    "/unblocks/status", "/fleet/instances", "/audit", "/apikeys", "/auth/me"
CHANGES = ("DELETE", "/logs"), ("POST", "/unblocks"), ("DELETE", "/unblocks/x"), \
    ("POST", "/unblocks/ack"), ("POST", "/sync"), ("POST", "/logs"), ("POST", "/apikeys"), \
    ("DELETE", "/apikeys/x"), ("DELETE", "/fleet/instances/x"), ("GET", "/unblocks")


@pytest.fixture
def start(tmp_path):
    running = []

    def start(**env):
        running.append(Dashboard(tmp_path / "events.db", env))
        return running[-1]
    yield start
    for dashboard in running:
        dashboard.finish()


def fails(**env):
    """It does not start: the one line that says why."""
    done = subprocess.run([binary(), "dashboard"], capture_output=True, text=True, timeout=60,
                          env={"PATH": os.environ["PATH"], "PORT": "127.0.0.1:0",
                               "EPHEMERAL": "true", **env})
    assert done.returncode == 1, done
    assert done.stderr.startswith("ringfence-dashboard: ") and done.stderr.count("\n") == 1, done
    return done.stderr


def login(dashboard, password, username="admin", **headers):
    return dashboard.ask("POST", "/api/v1/auth/login", {"username": username,
                                                        "password": password},
                         key=None, **headers)


def cookie_of(answer):
    return answer.headers["Set-Cookie"].partition(";")[0]


def test_without_a_key_nothing_is_read_or_changed(start):
    dashboard = start()
    dashboard.ship(event())
    for path in READS:
        answer = dashboard.get("/api/v1" + path, key=None)
        assert (answer.status, answer.text) == (401, '{"error":"unauthorized"}\n'), path
    for method, path in CHANGES:
        answer = dashboard.ask(method, "/api/v1" + path, {}, key=None,
                               authorization="Bearer " + KEY)
        assert (answer.status, answer.text) == (401, '{"error":"unauthorized"}\n'), path
    assert len(dashboard.api("/logs")) == 1
    assert dashboard.get("/health", key="a wrong one").status == 200


def test_the_first_password_is_told_once_and_opens_a_session(start):
    dashboard = start()
    password = dashboard.password()
    answer = login(dashboard, password)
    assert answer.status == 200
    attributes = answer.headers["Set-Cookie"]
    assert attributes.startswith("__Host-g0e_session=") and attributes.endswith(
        "; Path=/; Max-Age=86400; HttpOnly; SameSite=Strict; Secure")
    cookie = cookie_of(answer)
    me = dashboard.api("/auth/me", key=None, cookie=cookie)
    assert me == {"kind": "session", "may": ["read", "change"], "username": "admin"}
    assert dashboard.get("/api/v1/unblocks", key=None, cookie=cookie).status == 401
    dashboard.stop()
    again = start()                                     # the session lives on, the password too
    assert not again.events("dashboard.bootstrap_admin")
    assert again.get("/api/v1/logs", key=None, cookie=cookie).status == 200
    assert login(again, password).status == 200
    assert again.ask("POST", "/api/v1/auth/logout", key=None, cookie=cookie).status == 204
    assert again.get("/api/v1/logs", key=None, cookie=cookie).status == 401


def test_a_stream_ends_when_its_session_does(start):
    dashboard = start()
    cookie = cookie_of(login(dashboard, dashboard.password()))
    connection = dashboard.connect()
    connection.request("GET", "/api/v1/events", headers={"Cookie": cookie})
    response = connection.getresponse()
    assert response.readline().startswith(b"retry:")
    dashboard.ask("POST", "/api/v1/auth/logout", key=None, cookie=cookie)
    rest = response.read()                              # returns: the stream has ended
    assert rest.endswith(b": connected\n\n")
    connection.close()


def bcrypt(password):
    make = f"import crypt; print(crypt.crypt({password!r}, crypt.mksalt(crypt.METHOD_BLOWFISH, " \
        "rounds=16)))"
    done = subprocess.run(["/usr/bin/python3", "-W", "ignore", "-c", make], capture_output=True,
                          text=True)
    if done.returncode != 0:
        pytest.skip("python without crypt makes no bcrypt hash")
    return done.stdout.strip()


def test_another_password_or_name_ends_all_sessions(start):
    old, new = bcrypt("correct horse"), bcrypt("another horse")

    def opens(dashboard, cookie):
        status = dashboard.get("/api/v1/apikeys", key=None, cookie=cookie).status
        dashboard.stop()
        return status == 200
    first = start(ADMIN_PASSWORD_HASH=old)
    cookie = cookie_of(login(first, "correct horse"))
    assert opens(first, cookie)
    assert opens(start(ADMIN_PASSWORD_HASH=old), cookie)
    assert not opens(start(ADMIN_PASSWORD_HASH=old, ADMIN_USERNAME="ops"), cookie)
    changed = start(ADMIN_PASSWORD_HASH=new)
    fresh = cookie_of(login(changed, "another horse"))
    assert changed.get("/api/v1/logs", key=None, cookie=fresh).status == 200
    assert not opens(changed, cookie)


def test_bcrypt_and_argon2id_hashes_are_taken(start):
    dashboard = start(ADMIN_PASSWORD_HASH=bcrypt("correct horse"), ADMIN_USERNAME="ops")
    assert not dashboard.events("dashboard.bootstrap_admin")
    assert login(dashboard, "correct horse", "ops").status == 200
    assert login(dashboard, "wrong horse", "ops").status == 401
    assert login(dashboard, "correct horse", "admin").status == 401


def test_the_first_key_is_told_once(start):
    dashboard = start(API_KEY="")
    key = dashboard.wait_event("dashboard.bootstrap_api_key")["key"]
    assert len(key) >= 43
    dashboard.ship(event(), key=key)
    assert dashboard.get("/api/v1/logs").status == 401
    dashboard.stop()
    again = start(API_KEY="")
    assert not again.events("dashboard.bootstrap_api_key")
    assert len(again.api("/logs", key=key)) == 1


def test_keys_have_scopes_and_can_be_removed(start):
    dashboard = start()

    def make(scope):
        answer = dashboard.ask("POST", "/api/v1/apikeys", {"label": scope, "scope": scope})
        assert answer.status == 201
        return answer.json()
    agent, read = make("agent"), make("read")
    dashboard.ship(event(), key=agent["key"])
    assert dashboard.get("/api/v1/logs", key=agent["key"]).status == 403
    assert dashboard.get("/api/v1/logs", key=read["key"]).status == 200
    for method, path in CHANGES:
        assert dashboard.ask(method, "/api/v1" + path, {}, key=read["key"]).status == 403, path
    assert dashboard.ask("POST", "/api/v1/unblocks", {"type": "domain", "value": "a.example"},
                         key=agent["key"]).status == 403
    assert [key["label"] for key in dashboard.api("/apikeys")] == ["agent", "read"]
    assert agent["key"] not in dashboard.get("/api/v1/apikeys").text
    path = "/api/v1/apikeys/" + agent["api_key"]["id"]
    assert dashboard.ask("DELETE", path).status == 200
    assert dashboard.ask("DELETE", path).status == 404
    assert dashboard.ask("POST", "/api/v1/logs", [event()], key=agent["key"]).status == 401


def test_where_nobody_needs_a_key_nobody_gets_one(start):
    """It would be good for longer than AUTH_MODE=none."""
    dashboard = start(AUTH_MODE="none")
    wanted = {"label": "mine", "scope": "admin"}
    made = dashboard.ask("POST", "/api/v1/apikeys", wanted).json()
    for method, path in ("POST", ""), ("GET", ""), ("DELETE", "/" + made["api_key"]["id"]):
        answer = dashboard.ask(method, "/api/v1/apikeys" + path, wanted, key=None)
        assert answer.status == 403 and "API_KEY" in answer.text, answer
    assert [key["label"] for key in dashboard.api("/apikeys")] == ["mine"]
    assert dashboard.ask("DELETE", "/api/v1/logs", key=None).status == 200


def test_guessing_keys_is_slowed_down_but_not_for_those_who_know_one(start):
    dashboard = start()
    dashboard.ship(event(), source="127.0.0.2")         # known there from before
    statuses = {dashboard.get("/api/v1/logs", key=f"guess-{number}", source="127.0.0.2").status
                for number in range(100)}
    assert statuses == {401, 429}

    def guess():                        # one in five seconds is looked at
        answer = dashboard.get("/api/v1/logs", key="guess", source="127.0.0.2")
        return answer.status == 429 and answer
    assert int(until(guess, "a refusal").headers["Retry-After"]) > 0
    assert dashboard.wait_event("auth.backoff")["source"] == "127.0.0.2"
    assert dashboard.get("/api/v1/logs", source="127.0.0.3").status == 200
    assert dashboard.get("/api/v1/logs", source="127.0.0.2").status == 200
    for number in range(30):
        dashboard.get("/api/v1/logs", key="guess", source="127.0.0.4")
    assert dashboard.get("/api/v1/logs", source="127.0.0.4").status == 429  # never seen there


def test_who_guesses_from_everywhere_locks_nobody_out_that_knows_a_key(start):
    dashboard = start(TRUSTED_PROXIES="127.0.0.2")

    def get(source, key="guess"):
        return dashboard.get("/api/v1/logs", key=key, source="127.0.0.2",
                             x_forwarded_for=source).status
    assert {get(f"198.51.{number // 200}.{number % 200}") for number in range(300)} == {401}
    assert get("203.0.113.7", KEY) == 200
    # A network of IPv6 is one source.
    assert [get(f"2001:db8::{number}") for number in range(1, 12)][-1] == 429
    assert get("2001:db8:0:1::1") == 401


def test_a_stream_and_a_waiting_agent_end_when_their_key_does(start):
    dashboard = start()
    keys = [dashboard.ask("POST", "/api/v1/apikeys", {"label": scope, "scope": scope}).json()
            for scope in ("read", "agent")]
    stream, agent = dashboard.connect(), dashboard.connect()
    stream.request("GET", "/api/v1/events", headers={"X-Api-Key": keys[0]["key"]})
    response = stream.getresponse()
    assert response.readline()
    agent.request("POST", "/api/v1/sync?wait=30", '{"hostname":"a"}', {
        "X-Api-Key": keys[1]["key"], "Content-Type": "application/json"})
    until(lambda: dashboard.api("/fleet/instances"), "it waits")
    for key in keys:
        id = key["api_key"]["id"]
        assert dashboard.ask("DELETE", f"/api/v1/apikeys/{id}").status == 200
    response.read()                                     # to its end
    dashboard.ask("POST", "/api/v1/unblocks", {"type": "ip", "value": "192.0.2.7"})
    assert agent.getresponse().status == 401


def test_guessing_passwords_is_slowed_down(start):
    dashboard = start(COOKIE_SECURE="false")
    statuses = []
    while 429 not in statuses:          # ten, and one in five seconds
        statuses.append(login(dashboard, "guess", source="127.0.0.2").status)
        assert len(statuses) < 30
    assert statuses[:10] == [401] * 10
    assert login(dashboard, dashboard.password()).status == 200     # from elsewhere


def test_other_sites_pages_change_nothing_and_read_nothing(start):
    dashboard = start(AUTH_MODE="none", ALLOWED_HOSTS="dash.example.com",
                      CORS_ALLOWED_ORIGINS="https://tools.example.com")
    unblock = {"type": "domain", "value": "a.example"}

    def post(body=unblock, **headers):
        return dashboard.ask("POST", "/api/v1/unblocks", body, key=None, **headers).status
    own = f"http://127.0.0.1:{dashboard.port}"
    assert post() == 201 and post(origin=own) == 201
    assert post(origin="http://evil.test") == 403
    assert post(origin="null") == 403
    assert post(origin=own, sec_fetch_site="cross-site") == 403
    assert post(sec_fetch_site="same-site") == 403
    assert post(b'{"type":"domain","value":"b.example"}', content_type="text/plain") == 415
    assert post(b"type=domain", content_type="application/x-www-form-urlencoded") == 415
    assert post(b'{"type":"domain","value":"b.example"}') == 415    # no type at all
    for host in "evil.test", "evil.test:8081", "dash.example.com.evil.test":
        answer = dashboard.get("/api/v1/logs", key=None, host=host)
        assert answer.status == 403 and "ALLOWED_HOSTS" in answer.text
        assert dashboard.get("/", key=None, host=host).status == 403
    for host in "dash.example.com", "DASH.example.com:8081", "g0efilter-dashboard:8081", \
            "localhost", "[::1]:8081", "192.0.2.1":
        assert dashboard.get("/api/v1/logs", key=None, host=host).status == 200
    assert post(origin="https://tools.example.com", sec_fetch_site="cross-site") == 201
    asked = dashboard.ask("OPTIONS", "/api/v1/unblocks", key=None,
                          origin="https://tools.example.com")
    assert asked.status == 204
    assert asked.headers["Access-Control-Allow-Origin"] == "https://tools.example.com"
    assert "Access-Control-Allow-Origin" not in dashboard.get("/api/v1/logs", key=None,
                                                              origin=own).headers
    # An agent names the dashboard as it likes: it has a key.
    assert dashboard.ask("POST", "/api/v1/logs", [event()], host="anything.test").status == 201


def test_a_proxy_that_puts_its_own_host_into_requests_is_no_other_site(start):
    """As nginx does by default: proxy_pass http://dashboard:8081."""
    public = {"host": "dashboard:8081", "origin": "https://dash.example.com"}
    dashboard = start()
    answer = login(dashboard, dashboard.password(), sec_fetch_site="same-origin", **public)
    assert answer.status == 200
    cookie = cookie_of(answer)

    def change(of, **headers):
        return of.ask("POST", "/api/v1/unblocks", {"type": "domain", "value": "a.example"},
                      key=None, cookie=cookie, **{**public, **headers})
    assert change(dashboard, sec_fetch_site="same-origin").status == 201
    for site in "cross-site", "same-site":
        assert change(dashboard, sec_fetch_site=site).status == 403
    refused = change(dashboard)                         # plain http: browsers do not say it
    assert refused.status == 403 and "ALLOWED_HOSTS" in refused.text
    dashboard.stop()
    named = start(ALLOWED_HOSTS="dash.example.com")
    assert change(named).status == 201
    assert change(named, origin="https://dash.example.com.evil.test").status == 403
    assert change(named, sec_fetch_site="cross-site").status == 403
    named.stop()
    # Without any login a name that an attacker points at the proxy must not be enough.
    open_one = start(AUTH_MODE="none")
    assert change(open_one, sec_fetch_site="same-origin").status == 403


def test_forwarded_addresses_count_only_from_trusted_proxies(start):
    dashboard = start()
    for number in range(20):
        dashboard.get("/api/v1/logs", key="guess", source="127.0.0.2",
                      x_forwarded_for=f"203.0.113.{number}")
    assert dashboard.get("/api/v1/logs", key="guess", source="127.0.0.2",
                         x_forwarded_for="203.0.113.99").status == 429
    dashboard.stop()
    trusting = start(TRUSTED_PROXIES="127.0.0.2, 10.0.0.0/8")
    for number in range(20):
        trusting.get("/api/v1/logs", key="guess", source="127.0.0.2",
                     x_forwarded_for="203.0.113.5, 10.1.2.3")
    assert trusting.get("/api/v1/logs", key="guess", source="127.0.0.2",
                        x_forwarded_for="spoofed, 203.0.113.5, 10.1.2.3").status == 429
    assert trusting.get("/api/v1/logs", key="guess", source="127.0.0.2",
                        x_forwarded_for="203.0.113.6").status == 401


def get_with(dashboard, path, *headers):
    """From 127.0.0.2, with headers of which some are there twice."""
    connection = dashboard.connect("127.0.0.2")
    connection.putrequest("GET", "/api/v1" + path)
    for name, value in headers:
        connection.putheader(name, value)
    connection.endheaders()
    with contextlib.closing(connection):
        return connection.getresponse().status


def test_a_proxy_that_adds_a_line_of_its_own_is_the_one_believed(start):
    dashboard = start(TRUSTED_PROXIES="127.0.0.2, 10.0.0.0/8", AUTH_MODE="forward",
                      FORWARD_AUTH_HEADER="X-Remote-User")
    statuses = [get_with(dashboard, "/logs", ("X-Api-Key", "guess"),
                         ("X-Forwarded-For", f"203.0.113.{number}"),
                         ("X-Forwarded-For", "198.51.100.5"), ("X-Forwarded-For", "10.1.2.3"))
                for number in range(20)]
    assert statuses[0] == 401 and statuses[-1] == 429
    assert dashboard.wait_event("auth.backoff")["source"] == "198.51.100.5"
    assert get_with(dashboard, "/logs", ("X-Remote-User", "bob")) == 200
    assert get_with(dashboard, "/logs", ("X-Remote-User", "admin"), ("x-remote-user", "bob")) == 401


def test_a_trusted_proxy_names_the_user(start):
    dashboard = start(AUTH_MODE="forward", TRUSTED_PROXIES="127.0.0.2",
                      FORWARD_AUTH_HEADER="X-Remote-User")
    named = {"key": None, "x_remote_user": "alice"}
    assert dashboard.api("/auth/me", source="127.0.0.2", **named)["username"] == "alice"
    assert dashboard.get("/api/v1/logs", source="127.0.0.3", **named).status == 401
    assert dashboard.get("/api/v1/logs", source="127.0.0.2", key=None).status == 401
    dashboard.ask("POST", "/api/v1/unblocks", {"type": "ip", "value": "192.0.2.7"},
                  source="127.0.0.2", **named)
    record, = dashboard.api("/audit")
    assert (record["who"], record["action"]) == ("alice", "unblock.request")


@pytest.mark.parametrize("env,words", [
    ({"API_KEY": "short"}, ["API_KEY", "5 bytes", "openssl rand"]),
    ({"API_KEY_FILE": "/nowhere/key"}, ["API_KEY_FILE", "/nowhere/key"]),
    ({"AUTH_MODE": "jwt"}, ["AUTH_MODE", "jwt", "set session"]),
    ({"AUTH_MODE": "what"}, ["AUTH_MODE", "session, none, forward"]),
    ({"AUTH_MODE": "forward", "API_KEY": KEY}, ["TRUSTED_PROXIES"]),
    ({"TRUSTED_PROXIES": "moon", "API_KEY": KEY}, ["TRUSTED_PROXIES", "moon"]),
    ({"ADMIN_PASSWORD_HASH": "secret", "API_KEY": KEY}, ["ADMIN_PASSWORD_HASH", "$$"]),
    ({"CORS_ALLOWED_ORIGINS": "*", "API_KEY": KEY}, ["CORS_ALLOWED_ORIGINS"]),
    ({"PORT": "nine", "API_KEY": KEY}, ["PORT", "nine"]),
    ({"EPHEMERAL": "", "DB_PATH": "/nowhere/x.db", "API_KEY": KEY}, ["/nowhere/x.db"]),
    ({"DATABASE_URL": "postgres://127.0.0.1:1/x", "EPHEMERAL": "", "API_KEY": KEY},
     ["DATABASE_URL"]),
], ids=lambda value: "-".join(value) if isinstance(value, dict) else None)
def test_what_cannot_be_is_said_at_the_start(env, words):
    said = fails(**env)
    for word in words:
        assert word in said, said


def test_a_key_can_come_from_a_file_and_a_short_one_is_warned_of(start, tmp_path):
    (tmp_path / "key").write_text("sixteen-bytes-ok\n")
    dashboard = start(API_KEY="", API_KEY_FILE=str(tmp_path / "key"))
    dashboard.wait_event("dashboard.short_api_key")
    assert dashboard.get("/api/v1/logs", key="sixteen-bytes-ok").status == 200


def test_login_over_plain_http_from_elsewhere_says_what_to_set(start):
    dashboard = start()
    answer = login(dashboard, dashboard.password(), origin="http://10.0.0.9:8081",
                   host="10.0.0.9:8081")
    assert answer.status == 400 and "COOKIE_SECURE=false" in answer.text
    dashboard.stop()
    open_one = start(COOKIE_SECURE="false")
    password = dashboard.password()
    answer = login(open_one, password, origin="http://10.0.0.9:8081", host="10.0.0.9:8081")
    assert answer.status == 200 and "Secure" not in answer.headers["Set-Cookie"]


def test_unblocks_are_checked_kept_acknowledged_and_undone(start):
    dashboard = start()

    def post(**body):
        return dashboard.ask("POST", "/api/v1/unblocks", body)

    def ack(**body):
        return dashboard.ask("POST", "/api/v1/unblocks/ack", body)
    for value in "*", "*.com", "*.co.uk", "co.uk", "*.github.io", "*.local", "/.*/", "192.0.2.7", \
            "a..b", "<script>", "x" * 300:
        assert post(type="domain", value=value).status == 400, value
    for body, text in (({}, "type must be 'domain' or 'ip'"),
                       ({"type": "ip", "value": " "}, "value cannot be empty"),
                       ({"type": "domain", "value": "foo bar"}, "invalid domain"),
                       ({"type": "ip", "value": "10.0.0.0/8"}, "invalid ip address")):
        assert post(**body).text == '{"error":"%s"}\n' % text
    assert ack(id="").text == '{"error":"id cannot be empty"}\n'
    assert ack(id="x").text == '{"error":"unblock request not found"}\n'
    answer = post(type="domain", value="Api.Example", target_hostname="host-1")
    number = answer.json()["id"]
    assert answer.status == 201 and answer.text == '{"id":"%s","status":"pending"}\n' % number
    assert post(type="domain", value="api.example", target_hostname="HOST-1").json()["id"] == number
    once = post(type="ip", value="192.0.2.7", once=True, expires_in=3600).json()["id"]
    pending = dashboard.api("/unblocks?hostname=Host-1")["pending"]
    assert [item["id"] for item in pending] == [number]
    assert dashboard.api("/unblocks?hostname=other")["pending"] == []
    seen = dashboard.api("/unblocks?hostname=other&features=1")["pending"]
    assert [item["id"] for item in seen] == [once] and seen[0]["once"] and seen[0]["expires_at"]
    dashboard.stop()
    again = start()                                     # the list survives
    assert len(again.api("/unblocks/status")["pending"]) == 2
    assert again.ask("POST", "/api/v1/unblocks/ack", {"id": number}).text == '{"status":"ok"}\n'
    failed = {"id": once, "status": "failed", "error": "the policy is read-only"}
    assert again.ask("POST", "/api/v1/unblocks/ack", failed).status == 200
    status = again.get("/api/v1/unblocks/status")
    assert '"pending":[]' in status.text
    done = {item["id"]: item for item in status.json()["completed"]}
    assert done[number]["status"] == "applied" and done[number]["value"] == "api.example"
    assert done[once]["status"] == "failed" and done[once]["error"] == "the policy is read-only"
    undo = again.ask("DELETE", f"/api/v1/unblocks/{number}").json()["id"]
    assert again.api("/unblocks?hostname=host-1")["pending"] == []      # not for old agents
    item, = again.api("/unblocks?hostname=host-1&features=1")["pending"]
    assert item["remove"] and item["undoes"] == number and item["id"] == undo
    again.ask("POST", "/api/v1/unblocks/ack", {"id": undo, "policy_hash": "abc"})
    done = {item["id"]: item for item in again.api("/unblocks/status")["completed"]}
    assert done[number]["status"] == "undone"
    assert again.ask("DELETE", f"/api/v1/unblocks/{number}").status == 409
    actions = [record["action"] for record in again.api("/audit")]
    assert actions[:3] == ["unblock.applied", "unblock.undo", "unblock.failed"]


def test_an_unblock_for_all_waits_for_every_instance(start):
    dashboard = start()

    def sync(name, wait=0):
        return dashboard.ask("POST", f"/api/v1/sync?wait={wait}", {
            "hostname": name, "version": "1", "filter_mode": "https", "config_hash": "h",
            "counters": {"allowed": 1}, "policy": {"domains": []}}).json()
    assert sync("a") == {"changed": False, "managed": False, "pending": []}
    sync("b")
    number = dashboard.ask("POST", "/api/v1/unblocks", {"type": "domain",
                                                        "value": "x.example"}).json()["id"]
    assert [item["id"] for item in sync("a", wait=30)["pending"]] == [number]
    dashboard.ask("POST", "/api/v1/unblocks/ack", {"id": number, "hostname": "a"})
    assert sync("a")["pending"] == [] and len(sync("b")["pending"]) == 1
    dashboard.ask("POST", "/api/v1/unblocks/ack", {"id": number, "hostname": "b"})
    assert dashboard.api("/unblocks/status")["pending"] == []
    fleet = dashboard.api("/fleet/instances")
    assert [instance["hostname"] for instance in fleet] == ["a", "b"]
    assert fleet[0]["mode"] == "https" and fleet[0]["policy_hash"] == "h"
    assert dashboard.ask("DELETE", "/api/v1/fleet/instances/" + fleet[0]["id"]).status == 200
    assert len(dashboard.api("/fleet/instances")) == 1
