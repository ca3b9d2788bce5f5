"""test_bulk.py - bulk goes through pipes where there are some and is copied where there are none:
the same bytes arrive, and who does not read holds one pipe and nothing else."""
import pytest

from bulk import (MIB, Bulk, content, new_user, no_descriptors, no_pages, pipes_of_a_user,
                  steady)
from ringfence import sanitized, until

PIPES_MAX = 256                         # of a worker
WINDOW = 256 << 10                      # of a socket, at most
SMALL_WINDOW = 16 << 10                 # less than a direction's queue
SEGMENT = 64 << 10                      # that a socket takes although it is nearly full
SOCKETS = 4                             # between a server's write and a client's read
LARGE = 48 * MIB
LIMITED = pytest.mark.skipif(pipes_of_a_user() is None, reason="fs.pipe-user-pages-soft is 0")


@pytest.fixture(params=["filter", "forward"])
def bulk(net, request):
    with Bulk(net, request.param) as bulk, net.small_sockets(WINDOW):
        yield bulk


def test_bulk_is_spliced_and_intact_in_both_directions(net, bulk):
    bulk.start()
    bulk.finish(bulk.mixed(12))
    pipes = net.ringfence.pipes()
    assert pipes and [pipe.held for pipe in pipes] == [0] * len(pipes)
    if bulk.kind == "filter":
        assert net.client.tls("allowed.test", path=f"/1/{8 * MIB}").body == content(1, 8 * MIB)


@pytest.mark.parametrize("limit", [pytest.param(no_pages, marks=LIMITED), no_descriptors])
def test_without_pipes_bulk_is_copied_and_spliced_when_there_are_some_again(net, bulk, limit):
    uid = new_user() if limit is no_pages else None
    bulk.start(uid)
    transfers = bulk.mixed(12, 1)
    bulk.go_on(transfers)               # all are connected, all the way

    def again():
        for transfer in transfers:
            transfer.ask(4 * MIB)
        bulk.go_on(transfers)
        return net.ringfence.pipes()
    with limit(uid, net.ringfence.pid):
        assert [again() for _ in range(3)] == [[], [], []]
    until(again, "no pipe is used although there are some")
    bulk.finish(transfers)


def test_more_bulk_than_pipes_is_copied_and_intact(net, bulk):
    bulk.start(new_user())
    transfers = [bulk.download(number, 2 * MIB) for number in range(PIPES_MAX + 16)]

    def all_taken():                    # readers that go on and stop: nobody gives its pipe back
        for transfer in transfers:
            transfer.may = min(transfer.may + WINDOW, len(transfer.expect) - MIB)
        bulk.go_on(transfers)
        return len(net.ringfence.pipes()) == PIPES_MAX
    for transfer in transfers:
        transfer.may = 0
    until(all_taken, "not all pipes are used")
    bulk.finish(transfers)
    pipes = net.ringfence.pipes()
    assert len(pipes) == PIPES_MAX and sum(pipe.held for pipe in pipes) == 0


def test_bulk_that_pauses_goes_on_whether_much_or_little_comes_next(net, bulk):
    bulk.start()
    kinds = [bulk.download, bulk.upload] + ([bulk.echo] if bulk.kind == "forward" else [])
    transfers = [kind(number) for number, kind in enumerate(kinds)]
    for size in 4 * MIB, 1, 4 * MIB, 100_000, 4 * MIB, 40_000, 20, 4 * MIB:
        for transfer in transfers:
            transfer.ask(size)
        bulk.go_on(transfers)
        steady(lambda: [pipe.held for pipe in net.ringfence.pipes()])       # it dozes
    bulk.finish(transfers)


@pytest.mark.parametrize("size", [16384, 60_000])
def test_large_messages_in_turn_are_spliced_and_small_ones_are_not(net, bulk, size):
    bulk.start()
    transfer = bulk.echo(1, 1000) if bulk.kind == "forward" else bulk.upload(1, 1000)

    def exchange(size, times):
        for _ in range(times):
            transfer.ask(size)
            bulk.go_on([transfer])
        return net.ringfence.pipes()
    assert exchange(1000, 20) == []
    assert len(exchange(size, 20)) == 1 or bulk.kind == "filter"    # it looks at every head
    exchange(100, 20)                   # copied again
    exchange(size, 20)
    exchange(2 * MIB, 2)                # a stream after all
    exchange(size, 20)
    bulk.finish([transfer])
    assert [pipe.held for pipe in net.ringfence.pipes() if pipe.held] == []


def test_what_is_still_being_sent_is_not_overtaken(net, bulk):
    if bulk.kind == "filter":
        pytest.skip("it echoes nothing")
    with net.small_sockets(SMALL_WINDOW):
        bulk.start()
        transfers = [bulk.echo(number, 1) for number in range(20)]
        for _ in range(5):                      # large messages in turn, and then a stream
            bulk.go_on(transfers)
            for transfer in transfers:
                transfer.ask(16384)
        bulk.go_on(transfers)
        for transfer in transfers:
            transfer.ask(MIB // 2)
        bulk.finish(transfers)


def test_a_reader_that_stops_in_mid_bulk_holds_one_pipe_and_no_memory(net, bulk):
    bulk.start()
    transfer, other = bulk.download(1, LARGE), bulk.download(2)
    transfer.may = 0

    def stalled():
        transfer.may += 4 * MIB
        bulk.go_on([transfer])
        return steady(lambda: (net.ringfence.pipes(), bulk.left()))
    before, memory = stalled(), net.ringfence.memory_kib()
    pipes, left = before
    if not any(pipe.held for pipe in pipes):        # it stopped while it was copying
        pipes, left = stalled()
    assert [pipe.held > 0 for pipe in pipes] == [True]
    on_the_way = len(transfer.expect) - left - transfer.got
    assert on_the_way <= pipes[0].size + SOCKETS * WINDOW + SEGMENT
    bulk.finish([other])
    assert net.client.http("allowed.test", *bulk.place(), path="/3/9") == "OK"
    grown = net.ringfence.memory_kib() - memory
    bulk.finish([transfer])
    print(f"\n{memory} KiB, {grown:+} KiB for a reader that stands still, {on_the_way // 1024} KiB "
          f"on their way to it; {net.ringfence.memory_kib() - memory:+} KiB in the end")
    assert grown < 512 or sanitized()
    assert net.ringfence.memory_kib() - memory < 512 or sanitized()
