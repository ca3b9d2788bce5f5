"""shell.py - a shell in a box that may reach only the names given; ./dev shell starts it."""
import os
import subprocess
import sys

from world import World


def main():
    names = sys.argv[1:] or ["allowed.test"]
    world = World()
    decisions = os.path.join(world.folder, "decisions")
    world.start(domains=names, env={"DECISION_LOG_FILE": decisions})
    print(f"Listed: {' '.join(names)}. Others, like evil.test, exist outside too.\n"
          f"Try: curl --cacert {world.authority.file} --resolve allowed.test:443:203.0.113.7 "
          f"https://allowed.test/\nThe policy is {world.policy_path}, decisions are in {decisions}")
    try:
        subprocess.run([*world.box.prefix(), os.environ.get("SHELL", "/bin/sh")])
        world.reset()
    finally:
        world.close()


if __name__ == "__main__":
    main()
