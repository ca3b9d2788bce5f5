"""sums.py - more keys than one answer of /aggregates holds, whichever store has them."""
import datetime

from dashboard import event

KEYS = 1100


def check_orders(dashboard):
    """Who has the fewest events is first by what it has the most of."""
    now = datetime.datetime.now(datetime.timezone.utc)
    times = [(now - datetime.timedelta(minutes=minutes)).isoformat() for minutes in (9, 8, 7, 6)]
    dashboard.ship(*(event(f"n{number:04}.example", "ALLOWED", bytes_up=1, time=times[0])
                     for number in reversed(range(KEYS)) for _ in range(2)))
    dashboard.ship(event("exfil.example", "ALLOWED", bytes_up=10**9, time=times[1]),
                   event("stopped.example", hostname="Z", time=times[2]),
                   event("told.example", "AUDIT", hostname="a-1", time=times[3]))

    def ask(terms):
        answer = dashboard.api("/aggregates?range=1h&" + terms)
        return [row["key"] for row in answer["rows"]], answer["more"]

    numbered = [f"n{number:04}.example" for number in range(KEYS)]
    rare = ["told.example", "stopped.example", "exfil.example"]     # the newest first
    assert ask("limit=1000") == ask("limit=1000&order=total&direction=desc") == (
        numbered[:1000], True)
    for order, first in (("bytes", ["exfil.example", *numbered[:999]]),
                         ("blocked", ["stopped.example", *numbered[:999]]),
                         ("audit", ["told.example", *numbered[:999]]),
                         ("last_seen", [*rare, *numbered[:997]]),
                         ("key", ["exfil.example", *numbered[:999]])):
        assert ask(f"limit=1000&order={order}") == (first, True), order
    assert ask("limit=3&order=total&direction=asc") == (rare, True)
    assert ask("limit=3&order=key&direction=desc") == ([*rare[:2], numbered[-1]], True)
    assert ask("limit=10&order=bytes&q=n000") == (numbered[:10], False)    # exactly the limit
    assert ask("limit=9&order=bytes&q=n000") == (numbered[:9], True)
    # Byte by byte, in any language: no letter is sorted as another.
    assert ask("order=key&dimension=client") == (["Z", "a-1", "host-1"], False)
    assert ask("order=bytes&dimension=ip") == (["192.0.2.7"], False)
