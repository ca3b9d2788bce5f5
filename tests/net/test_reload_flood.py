"""test_reload_flood.py - policies come and go while answers are on their way: nothing of a policy
that was replaced is looked at again.

The policies are large, so that their memory goes back to the kernel when they are freed, and who
looks at it then does not live on."""
import pytest

from dnsflood import Flood
from ringfence import sanitized, until

RELOADS = 8 if sanitized() else 25      # which are slow, and need no memory to be gone
FILLER = [f"f{number}.filler-name-of-some-length.example"
          for number in range(5000 if sanitized() else 20000)]
ENV = {"DNS_HARDENING": "false", "WORKERS": 2, "LOG_LEVEL": "INFO",
       "MALLOC_MMAP_THRESHOLD_": 65536, "MALLOC_PERTURB_": 165}


@pytest.mark.parametrize("mode", ["https", "dns", "dns-strict"])
def test_a_reload_under_a_flood_of_new_names_uses_nothing_of_the_policy_before(net, mode):
    """Also of a name that is taken off and put on again all the while, and of one that has another
    port each time: what was on its way by the old one is judged anew, and no failure."""
    flood = Flood(net)
    net.start(domains=["*.wild.test", *FILLER], env={"FILTER_MODE": mode, **ENV})
    with flood:
        for number in range(RELOADS):
            names = [f"x{number}.example", f"*.wild.test:{80 + 363 * (number % 2)}"]
            names += ["*.off.test"] if number % 2 else []
            applied = net.reload(domains=[*names, *FILLER])
            assert f"+x{number}.example" in applied["changes"]
            # What waited for the policy before has had its turn by then.
            until(lambda: flood.dns.ask(f"n{number}.wild.test").addrs, "an answer")
    told = {(event["qname"].split(".", 1)[1], event.get("rule"))
            for event in net.ringfence.events("dns.allowed")}
    assert ("wild.test", "*.wild.test") in told
    assert told <= {("wild.test", "*.wild.test"), ("off.test", "*.off.test")}
    assert not net.ringfence.events("dns_strict.set_update_failed", err="Stale file handle")
