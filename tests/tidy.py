#!/usr/bin/env python3
"""tidy.py - the rules of the house that a machine can check.

    tests/tidy.py [--binary build/ringfence [--write-readme]] [--cc COMMAND ...]

Without --cc headers are not compiled, without --binary the README's option tables are not
compared. Prints file:line: what is wrong, and ends with the number of findings."""
import argparse
import concurrent.futures
import os
import re
import subprocess
import sys
import unicodedata

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FEATURES = {"netfilter", "forward", "health", "dashboard"}
MAY_INCLUDE = {             # proto < core < features < jobs
    "proto": set(),
    "core": {"proto"},
    **{feature: {"proto", "core"} for feature in FEATURES},
    "jobs": {"proto", "core"} | FEATURES,
    "tests": {"proto", "core", "jobs"} | FEATURES,
    "bench": {"proto", "core"},
}
GENERATED = {"corpus", "results", "__pycache__", ".pytest_cache", "node_modules", "dist"}
FILE_LINES, FUNCTION_LINES, COLUMNS, TAB = 500, 70, 100, 8
FORBIDDEN = re.compile(r"\b(strcpy|strcat|sprintf|vsprintf|gets|system|popen|alloca)\s*\(")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|XX" r"X|HA" r"CK)\b")
TYPEDEF = re.compile(r"^\s*typedef\s+(struct|union)\b[^()]*(;|\{|$)")
INCLUDE = re.compile(r'\s*#\s*include\s+"([^"]*)"')
TOKENS = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
OPTIONS = re.compile(r"<!-- options:begin ?([a-z ]*)-->\n(.*?)<!-- options:end -->", re.S)
LEADING = re.compile(r"^[ \t]*")

findings = []


def finding(path, line, text):
    findings.append(f"{path}:{line}: {text}")


def sources():
    """Our own text files, as paths from the root."""
    for name in sorted(os.listdir(ROOT)):
        path = os.path.join(ROOT, name)
        if os.path.isfile(path) and (name == "dev" or name.endswith((".build", ".txt", ".md"))):
            yield name
        elif os.path.isdir(path) and (name in MAY_INCLUDE or name in (".ci", "packaging")):
            for folder, folders, names in os.walk(path):
                folders[:] = sorted(name for name in folders if name not in GENERATED)
                for name in sorted(names):
                    yield os.path.relpath(os.path.join(folder, name), ROOT)


def code_only(text):
    """The text with comments blank and strings empty, line for line; of // the mark stays."""
    def blank(match):
        token = match[0]
        if token[0] in "\"'":
            return token[0] * 2
        return "//" if token.startswith("//") else re.sub(r"[^\n]", " ", token)
    return TOKENS.sub(blank, text)


def width(line):
    return sum(0 if unicodedata.combining(char) else 1 for char in line.expandtabs(TAB))


def check_text(path, lines):
    """What holds for every language."""
    if path.endswith(".md"):
        return
    for number, line in enumerate(lines, 1):
        if line != line.rstrip():
            finding(path, number, "blanks at the end of the line")
        # A row of a table (.def) stays one line.
        if width(line) > COLUMNS and not path.endswith((".def", ".css", ".html", ".json")):
            finding(path, number, f"{width(line)} columns; at most {COLUMNS}")
        if UNFINISHED.search(line):
            finding(path, number, "unfinished by its own words")
    if len(lines) > FILE_LINES and path.endswith((".c", ".h", ".py")):
        finding(path, FILE_LINES, f"{len(lines)} lines; at most {FILE_LINES}: one file, one idea")


def check_indent(path, lines, code):
    """Tabs indent; blanks only align, after them or in a line that goes on from the one before."""
    before = ";"
    for number, (line, bare) in enumerate(zip(lines, code), 1):
        indent = LEADING.match(line)[0]
        if " \t" in indent:
            finding(path, number, "a blank before a tab")
        if " " * TAB in indent:
            finding(path, number, f"{TAB} blanks in the indent where a tab belongs")
        elif indent.startswith(" ") and bare.strip() and before[-1] in ";{}":
            finding(path, number, "indented by blanks")
        before = bare.strip() or before


def check_includes(path, lines):
    room = path.split("/")[0]
    for number, line in enumerate(lines, 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        target = match[1].split("/")[0]
        if match[1] == "version.h":         # made by meson.build
            continue
        if "/" not in match[1] or target not in MAY_INCLUDE:
            finding(path, number, f'"{match[1]}": include by full path, like "core/addr.h"')
        elif target != room and target not in MAY_INCLUDE[room]:
            finding(path, number, f"{room} may not include {target}")
        elif not os.path.exists(os.path.join(ROOT, match[1])):
            finding(path, number, f"{match[1]} does not exist")


def check_opening(path, text):
    name = os.path.basename(path)
    if not text.startswith(f"/* {name} - ") and not path.endswith(".def"):
        finding(path, 1, f"begin with: /* {name} - one idea. */")


def check_guard(path, lines):
    guard = re.sub(r"[^A-Z0-9]", "_", path.upper())
    directives = [line for line in lines if line.startswith("#")]
    if directives[:2] != [f"#ifndef {guard}", f"#define {guard}"]:
        finding(path, 1, f"the guard must be {guard}")


def check_functions(path, code):
    """A function's body stands between { and } in the first column."""
    start = None
    for number, line in enumerate(code, 1):
        if line.rstrip() == "{":
            start = number
        elif line.startswith("}") and start:
            length = number - start + 1
            if length > FUNCTION_LINES:
                finding(path, start, f"a function of {length} lines; at most {FUNCTION_LINES}")
            start = None


def check_code(path, code):
    for number, line in enumerate(code, 1):
        if FORBIDDEN.search(line):
            finding(path, number, f"{FORBIDDEN.search(line)[1]}() has a safer sister")
        if TYPEDEF.match(line):
            finding(path, number, "no typedef for structs")
        if "//" in line:
            finding(path, number, "comments are /* like this */")


def check_c(path, text):
    lines, code = text.split("\n"), code_only(text).split("\n")
    check_opening(path, text)
    check_indent(path, lines, code)
    check_includes(path, lines)
    check_functions(path, code)
    check_code(path, code)
    if path.endswith(".h"):
        check_guard(path, lines)


def compile_header(cc, path):
    """A header that compiles alone can be included first."""
    done = subprocess.run(
        [*cc, "-std=gnu11", "-D_GNU_SOURCE", "-I.", "-Wall", "-Wextra", "-Wno-unused-function",
         "-Werror", "-fsyntax-only", "-x", "c", "-"], cwd=ROOT, text=True, capture_output=True,
        input=f'#include "{path}"\n#include "{path}"\n')
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if "error:" in line] or [done.stderr]
        finding(path, 1, f"does not compile alone: {lines[0]}")


def check_headers(cc, headers):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda path: compile_header(cc, path), headers))


def option_table(binary, words):
    """What belongs between <!-- options:begin WORDS --> and <!-- options:end -->."""
    done = subprocess.run([binary, *words.split(), "--help-readme"], text=True,
                          capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{binary} {words} --help-readme: {done.stderr}")
    return done.stdout.strip() + "\n"


def check_readme(binary, write):
    """The option tables are what the program prints: compare them, or write them."""
    path = os.path.join(ROOT, "README.md")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    tables = list(OPTIONS.finditer(text))
    if not tables:
        finding("README.md", 1, "no option table: <!-- options:begin --> <!-- options:end -->")
    for table in reversed(tables):
        wanted = option_table(binary, table[1])
        if write:
            text = text[:table.start(2)] + wanted + text[table.end(2):]
        elif wanted != table[2]:
            finding("README.md", text[:table.start()].count("\n") + 1,
                    "the options have changed: ./dev readme writes this table anew")
    if write:
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary")
    parser.add_argument("--write-readme", action="store_true")
    parser.add_argument("--cc", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    headers = []
    for path in sources():
        with open(os.path.join(ROOT, path), "rb") as file:
            raw = file.read()
        if b"\0" in raw:
            continue            # a picture or the like
        text = raw.decode("utf-8", "replace")
        if text and not text.endswith("\n"):
            finding(path, text.count("\n") + 1, "no newline at the end of the file")
        check_text(path, text.split("\n")[:-1])
        if path.endswith((".c", ".h", ".def")):
            check_c(path, text)
        if path.endswith(".h"):
            headers.append(path)
    if args.cc:
        check_headers(args.cc, headers)
    if args.binary:
        check_readme(args.binary, args.write_readme)
    print("\n".join(findings + [f"{len(findings)} findings"]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
