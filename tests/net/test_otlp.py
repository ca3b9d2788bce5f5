"""test_otlp.py - events as log records of an OpenTelemetry collector."""
import pytest

from collector import Collector, answer
from internet import ATTACKER


@pytest.fixture
def server(net):
    server = Collector(net)
    server.records = []
    server.otlp_status = 200

    def take(post):
        if server.otlp_status == 200:
            for resource in post.json()["resourceLogs"]:
                for scope in resource["scopeLogs"]:
                    server.records += [(resource["resource"], record)
                                       for record in scope["logRecords"]]
        return answer(server.otlp_status, b"{}")
    server.routes["/v1/logs"] = take
    return server


def start(net, server, **env):
    net.start(domains=["allowed.test"], env={
        "OTEL_EXPORTER_OTLP_ENDPOINT": server.url, "HOSTNAME": "host-01",
        "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=a%20b, authorization=Bearer%20abc", **env})


def values(attributes):
    return {item["key"]: next(iter(item["value"].values())) for item in attributes}


def test_a_block_is_a_log_record(net, server):
    start(net, server, OTEL_SERVICE_NAME="egress")
    assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    server.wait(lambda: server.records)
    resource, record = server.records[0]
    assert values(resource["attributes"])["service.name"] == "egress"
    assert values(resource["attributes"])["host.name"] == "host-01"
    assert record["severityText"] == "WARN" and record["severityNumber"] == 13
    assert record["body"] == {"stringValue": "https.blocked"}
    assert record["timeUnixNano"].isdigit() and len(record["timeUnixNano"]) == 19
    found = values(record["attributes"])
    assert found["server.address"] == "evil.test" and found["destination.address"] == ATTACKER
    assert found["destination.port"] == "443" and found["action"] == "BLOCKED"
    post = server.to("/v1/logs")[0]
    assert post.header("x-tenant") == "a b" and post.header("authorization") == "Bearer abc"
    assert post.header("content-type") == "application/json"


def test_records_wait_for_a_collector_that_is_away(net, server):
    server.otlp_status = 503
    start(net, server)
    for _ in range(5):
        assert net.client.tls("evil.test", to=ATTACKER) == "RESET"
    net.ringfence.wait_event("otlp.send_failed")
    server.otlp_status = 200
    server.wait(lambda: len(server.records) >= 5)
    net.ringfence.wait_event("otlp.send_resumed")
    assert len(server.records) == 5
    assert not server.to("/api/v1/logs")        # there is no dashboard


def test_headers_that_are_none_end_the_start_and_are_not_shown(net):
    instance = net.start(domains=["allowed.test"], ready=None, env={
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://dash.test:4318",
        "OTEL_EXPORTER_OTLP_HEADERS": "good=1,Authorization: Bearer c2VjcmV0Cg=="})
    assert instance.wait_exit() == 1
    assert "OTEL_EXPORTER_OTLP_HEADERS: entry 2 is not name=value" in instance.log()
    assert "Bearer" not in instance.log() and "c2Vj" not in instance.log()


@pytest.mark.parametrize("option", ["DASHBOARD_HOST", "OTEL_EXPORTER_OTLP_ENDPOINT",
                                    "NOTIFICATION_HOST"])
def test_a_url_that_is_refused_is_shown_without_its_secrets(net, option):
    instance = net.start(domains=["allowed.test"], ready=None, env={
        "NOTIFICATION_KEY": "k", option: "ftp://joe:p@s?s@dash.test/x?token=c2VjcmV0"})
    assert instance.wait_exit() == 1
    assert f'{option}: "ftp://***@dash.test/x?***"' in instance.log()
    for secret in "joe", "p@s", "c2Vj":
        assert secret not in instance.log()
