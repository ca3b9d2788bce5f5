"""conftest.py - the fixtures of the whole-program tests.

net: the world, empty before and checked after each test. A file whose tests all look at one
running ringfence can have its own, by `fresh`:

    @pytest.fixture(scope="module")
    def net(fresh):
        with fresh() as net:
            net.start(domains=["allowed.test"])
            yield net
"""
import contextlib
import os
import shutil
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

NEEDED = "ip", "nft", "nsenter", "unshare", "setpriv"


def pytest_configure(config):
    config.addinivalue_line("markers", "smoke: also run without newer kernel features")


@pytest.fixture(scope="session")
def world():
    missing = [tool for tool in NEEDED if not shutil.which(tool)]
    if os.geteuid() != 0 or missing:
        pytest.skip("needs root" if not missing else f"needs {' '.join(missing)}")
    from world import World
    world = World()
    yield world
    world.close()


@pytest.fixture(scope="session")
def fresh(world):
    @contextlib.contextmanager
    def story():
        world.reset()
        yield world
        world.reset()
    return story


@pytest.fixture
def net(fresh):
    with fresh() as world:
        yield world


@pytest.fixture(scope="module")
def forwarding(world):
    from forwarding import Forwarding
    forwarding = Forwarding(world)
    yield forwarding
    forwarding.close()


@pytest.fixture
def proxied(fresh, forwarding):
    """The world of `ringfence forward`; files that test it have it as net."""
    with fresh():
        forwarding.reset()
        yield forwarding


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows what ringfence said."""
    report = (yield).get_result()
    net = getattr(item, "funcargs", {}).get("net")
    if report.failed and net is not None:
        for instance in net.started:
            tail = instance.log().splitlines()[-60:]
            report.sections.append((f"ringfence {instance.pid}", "\n".join(tail)))
