#!/usr/bin/env python3
"""embed.py - a folder of files as a C table: dashboard/ui_files.h says what is in it.

    embed.py FOLDER OUTPUT.c OUTPUT.d

The depfile names every file, so that a change of any of them builds the table anew."""
import gzip
import hashlib
import os
import re
import sys

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain; charset=utf-8",
    ".map": "application/json",
    ".woff2": "font/woff2",
}
HASHED = re.compile(r"[-.](?=[^.]*\d)[0-9a-zA-Z_-]{8,}\.[a-z0-9]+$")


def files(folder):
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            yield os.path.join(place, name)


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def main():
    folder, output, depfile = sys.argv[1:]
    rows, arrays, seen = [], [], sorted(files(folder))
    for path in sorted(seen, key=lambda path: os.path.relpath(path, folder).encode()):
        extension = os.path.splitext(path)[1]
        if extension not in TYPES:
            sys.exit(f"{path}: no Content-Type for {extension or 'a name without extension'}: "
                     "add it to dashboard/embed.py")
        with open(path, "rb") as file:
            plain = file.read()
        packed = gzip.compress(plain, 9, mtime=0)
        etag = hashlib.sha256(plain).hexdigest()[:16]
        number = len(arrays)
        body = ",".join(map(str, packed))
        arrays.append(f"static const uint8_t file_{number}[] = {{ {body} }};\n")
        rows.append("\t{ " + ", ".join([
            c_string("/" + os.path.relpath(path, folder)), c_string(TYPES[extension]),
            c_string(f'"{etag}"'),
            "true" if HASHED.search(os.path.basename(path)) else "false",
            f"file_{number}", f"sizeof(file_{number})", str(len(plain))]) + " },\n")
    if not any("/index.html" in row for row in rows):
        sys.exit(f"{folder}: no index.html: has the UI been built?")
    with open(output, "w", encoding="utf-8") as file:
        file.write('/* Made by embed.py. */\n#include "dashboard/ui_files.h"\n\n')
        file.writelines(arrays)
        file.write("\nconst struct ui_file ui_files[] = {\n" + "".join(rows) + "};\n")
        file.write("const size_t ui_files_len = sizeof(ui_files) / sizeof(ui_files[0]);\n")
    with open(depfile, "w", encoding="utf-8") as file:
        file.write(f"{output}: {' '.join(path.replace(' ', chr(92) + ' ') for path in seen)}\n")


if __name__ == "__main__":
    main()
