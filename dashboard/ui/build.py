#!/usr/bin/env python3
"""build.py - the UI: TypeScript and style sheets in, a folder of files out.

    build.py WORK_FOLDER [--table OUTPUT.c OUTPUT.d]
    build.py --here FOLDER

WORK_FOLDER takes node_modules and dist; the source folder stays clean. With --table dist becomes
the C table of ../embed.py. --here is for `npm run build`: node_modules is already beside us."""
import os
import re
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(HERE, "src")
COPIED = ("index.html", "logo.svg")


def die(text):
    sys.exit(f"dashboard/ui: {text}")


def run(words, folder, what):
    done = subprocess.run(words, cwd=folder, text=True, capture_output=True)
    if done.returncode != 0:
        die(f"{what} failed:\n{done.stdout}{done.stderr}")


def install(work):
    """npm ci, once for each state of the lock file."""
    if not shutil.which("npm"):
        die("npm is needed to build the UI (apt-get install npm), "
            "or configure with -Ddashboard=disabled")
    os.makedirs(work, exist_ok=True)
    stamp = os.path.join(work, "node_modules", ".installed")
    with open(os.path.join(HERE, "package-lock.json"), "rb") as file:
        lock = file.read()
    try:
        with open(stamp, "rb") as file:
            if file.read() == lock:
                return
    except FileNotFoundError:
        pass
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copyfile(os.path.join(HERE, name), os.path.join(work, name))
    run(["npm", "ci", "--no-audit", "--no-fund"], work, "npm ci")
    with open(stamp, "wb") as file:
        file.write(lock)


def bundle(work, dist):
    shutil.rmtree(dist, ignore_errors=True)
    os.makedirs(dist)
    esbuild = os.path.join(work, "node_modules", ".bin", "esbuild")
    common = ["--bundle", "--minify", "--log-level=warning", "--charset=utf8"]
    scripts = ["--target=es2022,chrome111,firefox113,safari16.4"]
    for source, output, more in (
            ("main.ts", "app.js", [*scripts, "--format=esm"]),
            ("theme.ts", "theme.js", [*scripts, "--format=iife"]),
            ("style/main.css", "style.css", ["--target=chrome111,firefox113,safari16.4"])):
        run([esbuild, os.path.join(SOURCES, source), *common, *more,
             f"--outfile={os.path.join(dist, output)}"], SOURCES, "esbuild")
    for name in COPIED:
        shutil.copyfile(os.path.join(SOURCES, name), os.path.join(dist, name))


def check(dist):
    """What the content security policy forbids must not be there, or the page stays empty."""
    with open(os.path.join(dist, "index.html"), encoding="utf-8") as file:
        page = file.read()
    if re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", page):
        die("index.html holds an inline script or style")
    with open(os.path.join(dist, "app.js"), encoding="utf-8") as file:
        script = file.read()
    found = re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|"
                      r"new Function\b|DOMParser|srcdoc", script)
    if found:
        die(f"app.js uses {found[0]}: what comes from the wire could become markup")


def sources():
    """Every file that the output depends on."""
    for folder, folders, names in os.walk(HERE):
        folders[:] = sorted(name for name in folders if name not in ("node_modules", "dist"))
        for name in sorted(names):
            yield os.path.join(folder, name)


def main():
    if sys.argv[1] == "--here":
        bundle(HERE, os.path.join(HERE, sys.argv[2]))
        check(os.path.join(HERE, sys.argv[2]))
        return
    work = os.path.abspath(sys.argv[1])
    dist = os.path.join(work, "dist")
    install(work)
    bundle(work, dist)
    check(dist)
    if sys.argv[2:3] == ["--table"]:
        output, depfile = sys.argv[3:]
        embed = os.path.join(os.path.dirname(HERE), "embed.py")
        run([sys.executable, embed, dist, output, depfile], ".", "embed.py")
        with open(depfile, "w", encoding="utf-8") as file:
            names = " ".join(name.replace(" ", "\\ ") for name in [*sources(), embed])
            file.write(f"{output}: {names}\n")


if __name__ == "__main__":
    main()
