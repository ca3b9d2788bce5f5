"""test_notify.py - alerts for what was blocked: as the seed sends them, and to other services."""
import base64
import urllib.parse

import pytest

from collector import NAME, PORT, Collector, answer
from internet import ATTACKER, ORIGIN
from origins import Origin

TOKEN = "AbCdEf-token"


@pytest.fixture
def server(net):
    server = Collector(net)
    for path in "/message", "/sub/message", "/alerts", "/hook":
        server.routes[path] = lambda post: answer(200, {"id": 1})
    return server


def gotify(server, **env):
    return {"NOTIFICATION_HOST": server.url + "/", "NOTIFICATION_KEY": TOKEN,
            "HOSTNAME": "host-01", **env}


def start(net, env):
    return net.start(domains=["allowed.test"], env=env)


def block(net, name="evil.test", count=1):
    for _ in range(count):
        assert net.client.tls(name, to=ATTACKER) == "RESET"


def form(post):
    return {key: values[0] for key, values in urllib.parse.parse_qs(post.body.decode()).items()}


def test_gotify_gets_the_seeds_alert(net, server):
    start(net, gotify(server))
    net.ringfence.wait_event("notifications.enabled")
    block(net)
    post = server.wait_post("/message")
    assert post.method == "POST" and post.header("x-gotify-key") == TOKEN
    assert post.header("content-type") == "application/x-www-form-urlencoded"
    assert post.header("user-agent") == "g0efilter/1.0"
    fields = form(post)
    port = net.ringfence.wait_event("https.blocked")["source_port"]
    assert fields == {
        "title": "host-01 - HTTPS Connection Blocked",
        "message": f"Blocked https connection from 10.77.0.2:{port} to evil.test "
                   f"({ATTACKER}:443). Reason: not-allowlisted",
        "priority": "8"}


def test_packets_are_alerted_too_and_what_is_allowed_is_not(net, server):
    start(net, gotify(server))
    assert net.client.tls("allowed.test", to=ORIGIN) == "OK"
    net.client.tcp(ATTACKER, 2222)
    fields = form(server.wait_post("/message"))
    assert fields["title"] == "host-01 - NFLOG Connection Blocked"
    assert f"to {ATTACKER}:2222. Reason: blocked by policy" in fields["message"]


def test_the_same_connection_is_alerted_once_in_the_back_off_time(net, server):
    start(net, gotify(server))
    block(net, count=5)
    block(net, name="other.test")       # the same address: the same key
    assert net.client.http("evil.test", to=ATTACKER) == "RESET"         # another component
    server.wait_post("/message", count=2)
    net.ringfence.wait_event("https.blocked", count=6)
    net.ringfence.stop()                # with a digest of what was not alerted
    titles = [form(post)["title"] for post in server.to("/message")]
    assert titles[:2] == ["host-01 - HTTPS Connection Blocked", "host-01 - HTTP Connection Blocked"]
    assert titles[2:] == ["host-01 - 5 more Connections Blocked"]
    message = form(server.to("/message")[-1])["message"]
    assert "4x evil.test" in message and "1x other.test" in message


def test_after_the_back_off_time_it_is_alerted_again_and_a_digest_comes(net, server):
    start(net, gotify(server, NOTIFICATION_BACKOFF_SECONDS=1))
    block(net, count=3)
    server.wait_post("/message")

    def again():
        block(net)
        return [post for post in server.to("/message") if "more" not in form(post)["title"]][1:]
    server.wait(again, "a second alert")
    server.wait(lambda: [post for post in server.to("/message") if "more" in form(post)["title"]],
                "the digest")


def test_a_flood_of_names_makes_no_flood_of_alerts(net, server):
    start(net, gotify(server))
    for i in range(100):
        assert net.client.tls(f"evil{i}.test", to=f"198.51.100.{i + 1}") == "RESET"
    net.ringfence.wait_event("https.blocked", count=100)
    net.ringfence.stop()
    titles = [form(post)["title"] for post in server.to("/message")]
    assert len(titles) < 50 and "more Connections Blocked" in titles[-1]
    alone = len(titles) - 1
    assert titles[-1] == f"host-01 - {100 - alone} more Connections Blocked"


@pytest.mark.parametrize("ignored", ["evil.test", "*.test", "198.51.100.0/24", "component:https",
                                     "private", "local", "a b, EVIL.test"])
def test_what_is_to_be_ignored_is_not_alerted(net, server, ignored):
    start(net, gotify(server, NOTIFICATION_IGNORE_DOMAINS=ignored))
    block(net)
    net.client.tcp("203.0.113.99", 2222) if ignored != "private" and ignored != "local" else \
        net.client.tcp("8.8.4.4", 2222)
    assert "NFLOG" in form(server.wait_post("/message"))["title"]
    assert len(server.to("/message")) == 1


def test_a_server_that_refuses_or_is_dead_is_said(net, server):
    server.routes["/message"] = lambda post: answer(403)
    start(net, gotify(server))
    block(net)
    fact = net.ringfence.wait_event("notification.rejected")
    assert fact["err"] == "status 403" and TOKEN not in net.ringfence.log()
    server.die()
    net.ringfence.stop()
    start(net, gotify(server))
    block(net)
    net.ringfence.wait_event("notification.post_failed")


def test_several_services_get_each_alert(net, server):
    host = f"{NAME}:{PORT}"
    start(net, {"HOSTNAME": "host-01", "NOTIFICATION_URLS": " ".join([
        f"gotify://{host}/sub/{TOKEN}?disabletls=yes&priority=5",
        f"ntfy://me:secret@{host}/alerts?scheme=http&tags=a,b",
        f"generic+http://{host}/hook?template=json&@X-Own=value&$extra=more&kept=1"])})
    block(net)
    post = server.wait_post("/sub/message")
    assert form(post)["priority"] == "5" and post.header("x-gotify-key") == TOKEN
    post = server.wait_post("/alerts")
    assert post.header("title") == "host-01 - HTTPS Connection Blocked"
    assert post.header("authorization") == "Basic " + base64.b64encode(b"me:secret").decode()
    assert post.header("tags") == "a,b" and post.body.startswith(b"Blocked https connection from")
    post = server.wait_post("/hook")
    assert post.header("x-own") == "value" and post.query == "kept=1"
    assert post.json()["title"] == "host-01 - HTTPS Connection Blocked"
    assert post.json()["extra"] == "more" and "evil.test" in post.json()["message"]


def test_services_with_a_place_of_their_own(net, server):
    net.internet.dns.set("hooks.slack.com", "192.0.2.90")
    net.internet.dns.set("slack.com", "192.0.2.90")
    net.internet.dns.set("discord.com", "192.0.2.90")
    net.internet.dns.set("api.telegram.org", "192.0.2.90")
    server.address = "192.0.2.90"
    for path in ("/services/T0/B0/XyZ", "/api/chat.postMessage", "/api/webhooks/123/tok",
                 "/bot1:AbC/sendMessage"):
        server.routes[path] = lambda post: answer(200, {"ok": True})
    start(net, {"SSL_CERT_FILE": net.authority.file, "NOTIFICATION_URLS":
                "slack://hook:T0-B0-XyZ@webhook slack://xoxb:1-2-3@C001 discord://tok@123 "
                "telegram://1:AbC@telegram?chats=@a,-5"})
    block(net)
    assert "to evil.test (" in server.wait_post("/services/T0/B0/XyZ").json()["text"]
    post = server.wait_post("/api/chat.postMessage")
    assert post.json()["channel"] == "C001" and post.header("authorization") == "Bearer xoxb-1-2-3"
    assert server.wait_post("/api/webhooks/123/tok").json()["allowed_mentions"] == {"parse": []}
    server.wait_post("/bot1:AbC/sendMessage", count=2)
    assert {post.json()["chat_id"] for post in server.to("/bot1:AbC/sendMessage")} == {"@a", "-5"}


class Mail(Origin):
    """As much of a mail server as one mail needs."""
    service = "smtp"
    answers = {b"EHLO": b"250-box\r\n250 8BITMIME\r\n", b"MAIL": b"250 ok\r\n",
               b"RCPT": b"250 ok\r\n", b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}

    def connection_made(self, transport):
        super().connection_made(transport)
        self.pending, self.in_data = b"", False
        transport.write(b"220 box ESMTP\r\n")

    def on_data(self, data):
        self.pending += data
        while b"\r\n" in self.pending:
            line, _, self.pending = self.pending.partition(b"\r\n")
            if self.in_data:
                self.in_data = line != b"."
                if not self.in_data:
                    self.transport.write(b"250 taken\r\n")
                continue
            self.in_data = line[:4] == b"DATA"
            self.transport.write(self.answers.get(line[:4], b"502 no\r\n"))


def test_a_mail_is_sent(net, server):
    if not getattr(net.internet, "takes_mail", False):
        net.internet.serve(2525, lambda: Mail(net.internet))
        net.internet.takes_mail = True
    start(net, {"HOSTNAME": "host-01", "NOTIFICATION_URLS":
                f"smtp://{NAME}:2525/?from=rf@box.test&to=a@b.test,c@d.test&starttls=no"})
    block(net)
    raw = net.internet.wait(lambda: b"\r\n.\r\n" in net.internet.received(server.address, 2525) and
                            net.internet.received(server.address, 2525))
    assert b"MAIL FROM:<rf@box.test>" in raw and b"RCPT TO:<c@d.test>" in raw
    assert b"Subject: host-01 - HTTPS Connection Blocked\r\n" in raw
    assert b"Blocked https connection from 10.77.0.2:" in raw


@pytest.mark.parametrize("url, word", [
    ("matrix://host/x", "not known"), ("gotify://host", "token"), ("ntfy://host", "topic"),
    ("slack://x", "token"), ("smtp://host/?from=a", "sender"), ("no-url", "scheme"),
    ("generic+http://8.8.4.4/x", "https"),
])
def test_a_url_that_cannot_be_meant_ends_the_start(net, url, word):
    instance = net.start(domains=["allowed.test"], ready=None,
                         env={"NOTIFICATION_URLS": f"ntfy://host/topic {url}"})
    assert instance.wait_exit() == 1
    assert "NOTIFICATION_URLS: URL 2" in instance.log() and word in instance.log()
