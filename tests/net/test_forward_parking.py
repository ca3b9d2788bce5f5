"""test_forward_parking.py - clients that wait at MAX_CONNECTIONS: told one by one in the log at
DEBUG, they are served in the order of coming over all workers, or leave, or are too many."""
import contextlib
import resource
import signal
import socket
import subprocess

import pytest

from forwarding import PATIENCE, exchange, read, read_all, reset, until

LIMIT_PARKED_MAX = 4096                 # forward/limit.h
WORKERS = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture
def net(proxied):
    return proxied


@pytest.fixture
def stack():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture
def server(net, stack):
    return stack.enter_context(net.listen(7000))


def start(net, **variables):
    return net.start(TARGET="target.test", PORT=7000, LOG_LEVEL="DEBUG", **variables)


def port_of(sock):
    return sock.getsockname()[1]


def visit(net, stack, server):
    """A client that is served, and the target's end of it."""
    client = stack.enter_context(net.connect(7000))
    return client, stack.enter_context(server.accept())


def wait_in_line(net, stack, count):
    """So many clients, each in the queue before the next comes; each has sent its number."""
    clients = []
    for number in range(count):
        client = stack.enter_context(net.connect(7000))
        client.sendall(b"%03d" % number)
        net.ringfence.wait_event("forward.waits", source_port=port_of(client))
        clients.append(client)
    return clients


def next_served(server, stack):
    upstream = stack.enter_context(server.accept())
    return int(read(upstream, 3)), upstream


@WORKERS
def test_the_order_of_coming_is_the_order_of_service_over_all_workers(net, stack, server, workers):
    start(net, MAX_CONNECTIONS=3, WORKERS=workers)
    places = [visit(net, stack, server) for _ in range(3)]
    clients = wait_in_line(net, stack, 30)
    assert server.nobody_waits()
    for number in range(30):
        for end in places.pop(0):
            end.close()
        served, upstream = next_served(server, stack)
        assert served == number
        exchange(upstream, clients[number], b"welcome")
        assert server.nobody_waits()
        places.append((clients[number], upstream))
    assert net.ringfence.wait_event("forward.at_limit")["level"] == "warn"


@WORKERS
def test_a_client_that_resets_leaves_the_queue_at_once(net, stack, server, workers):
    start(net, MAX_CONNECTIONS=1, WORKERS=workers)
    first = visit(net, stack, server)
    clients = wait_in_line(net, stack, 6)
    for number in 0, 2, 5:                      # the first, one in the middle, the last
        port = port_of(clients[number])
        reset(clients[number])
        event = net.ringfence.wait_event("forward.closed", source_port=port)
        assert event["reason"] == "client-lost"
    place = first
    for number in 1, 3, 4:
        for end in place:
            end.close()
        served, upstream = next_served(server, stack)
        assert served == number
        place = clients[number], upstream
    for end in place:
        end.close()
    client, upstream = visit(net, stack, server)
    exchange(client, upstream)
    assert server.nobody_waits()


def test_a_client_that_ends_without_a_word_leaves_too(net, stack, server):
    start(net, MAX_CONNECTIONS=1)
    visit(net, stack, server)
    mute = stack.enter_context(net.connect(7000))
    port = port_of(mute)
    net.ringfence.wait_event("forward.waits", source_port=port)
    mute.close()
    assert net.ringfence.wait_event("forward.closed", source_port=port)["reason"] == "client-lost"


def test_a_client_that_sent_all_and_its_end_is_still_served(net, stack, server):
    data = b"000" + bytes(range(256)) * 100
    start(net, MAX_CONNECTIONS=1)
    first = visit(net, stack, server)
    client = stack.enter_context(net.connect(7000))
    client.sendall(data)
    client.shutdown(socket.SHUT_WR)
    net.ringfence.wait_event("forward.waits", source_port=port_of(client))
    for end in first:
        end.close()
    upstream = stack.enter_context(server.accept())
    assert read_all(upstream) == data
    upstream.sendall(b"answer")
    upstream.close()
    assert read_all(client) == b"answer"


@WORKERS
def test_a_killed_client_gives_its_place_back(net, stack, server, workers):
    start(net, MAX_CONNECTIONS=1, WORKERS=workers)
    script = ("import socket, sys; s = socket.create_connection(('10.78.0.2', 7000));"
              "s.sendall(b'000'); print(flush=True); sys.stdin.read()")
    for _ in range(5):
        client = subprocess.Popen([*net.workload.prefix(), "python3", "-c", script],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        client.stdout.readline()
        _, upstream = next_served(server, stack)
        waiting = wait_in_line(net, stack, 1)[0]
        client.send_signal(signal.SIGKILL)
        client.communicate()
        upstream.close()
        _, upstream = next_served(server, stack)
        exchange(waiting, upstream)
        waiting.close()
        upstream.close()


@WORKERS
def test_places_are_neither_lost_nor_doubled_when_clients_leave_as_they_are_called(
        net, stack, server, workers):
    """The one that waits resets in the moment in which the place becomes free."""
    start(net, MAX_CONNECTIONS=2, WORKERS=workers)
    places = [visit(net, stack, server) for _ in range(2)]
    for turn in range(40):
        clients = wait_in_line(net, contextlib.ExitStack(), 4)
        last = clients.pop()
        for end in places.pop(0):
            end.close()
        for client in clients[turn % 3:]:
            reset(client)
        for client in clients[:turn % 3]:
            client.close()
        while True:             # those who were dialled for before they left, then the last one
            upstream = server.accept()
            try:
                number = int(read(upstream, 3))
            except (EOFError, ConnectionResetError):
                upstream.close()
                continue
            if number == 3:
                break
            upstream.close()
        places.append((last, upstream))
        for client, end in places[1:]:
            exchange(client, end)
    with net.connect(7000):
        net.ringfence.wait_event("forward.waits", count=161)    # the two places are taken:
        assert server.nobody_waits()                            # no third one is served
    for place in places:
        for end in place:
            end.close()


def test_too_many_waiting_clients_are_refused_by_reset_and_counted(net, stack):
    wanted = LIMIT_PARKED_MAX + 300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * wanted:
        pytest.skip(f"needs {3 * wanted} descriptors, has {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
    net.start(TARGET="target.test", PORT=7000, MAX_CONNECTIONS=1, VERBOSE=1)
    server = stack.enter_context(net.listen(7000))
    first = visit(net, stack, server)
    clients = [stack.enter_context(net.connect(7000)) for _ in range(LIMIT_PARKED_MAX)]
    for _ in range(50):
        with pytest.raises(ConnectionResetError), net.connect(7000) as client:
            client.recv(1)
    net.ringfence.wait_event("forward.refused", reason="overload", count=50)
    assert len(net.ringfence.events("forward.refused")) == 50
    clients[LIMIT_PARKED_MAX // 2].close()              # not noticed: it has only sent its end
    reset(clients[0])
    net.ringfence.wait_event("forward.closed", reason="client-lost")
    last = stack.enter_context(net.connect(7000))       # into the place that this made
    for end in first:
        end.close()
    upstream = stack.enter_context(server.accept())
    exchange(clients[1], upstream)
    for client in clients[2:]:
        if client.fileno() >= 0:
            reset(client)
    clients[1].close()
    upstream.close()
    last.sendall(b"at last")

    def arrived():
        with server.accept() as upstream:
            with contextlib.suppress(EOFError, ConnectionResetError):
                return read(upstream, 7) == b"at last"
    until(arrived, "the last one is served", PATIENCE)


def test_metrics_count_who_waited_and_who_left(net, stack, server):
    instance = start(net, MAX_CONNECTIONS=1)
    first = visit(net, stack, server)
    clients = wait_in_line(net, stack, 3)
    reset(clients[0])
    net.ringfence.wait_event("forward.closed", reason="client-lost")
    for end in first:
        end.close()
    assert next_served(server, stack)[0] == 1
    since = instance.now()
    instance.signal(signal.SIGUSR1)
    fact = instance.wait_event(lambda fact: "conns_parked" in fact, since=since)
    assert (fact["conns_parked"], fact["conns_left"], fact["conns_opened"]) == (3, 1, 4)


def test_who_waits_is_cut_when_we_stop(net, stack, server):
    instance = start(net, MAX_CONNECTIONS=1, WORKERS=2)
    client, upstream = visit(net, stack, server)
    clients = wait_in_line(net, stack, 5)
    instance.signal(signal.SIGTERM)
    for waiting in clients:
        with pytest.raises(ConnectionResetError):
            waiting.recv(1)
    exchange(client, upstream, b"drains")
    client.close()
    upstream.close()
    assert instance.wait_exit() == 143
    assert server.nobody_waits()
    assert len(instance.events("forward.closed", reason="shutdown")) == 5
