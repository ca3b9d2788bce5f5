#!/usr/bin/env python3
"""embed_text.py - a JSON file as a C text, without blanks: INPUT.json OUTPUT.c NAME"""
import json
import sys

with open(sys.argv[1], encoding="utf-8") as file:
    text = json.dumps(json.load(file), separators=(",", ":"), ensure_ascii=True)
body = ",".join(str(byte) for byte in text.encode() + b"\n\0")
with open(sys.argv[2], "w", encoding="utf-8") as file:
    file.write(f"/* Made by embed_text.py. */\nextern const char {sys.argv[3]}[];\n"
               f"const char {sys.argv[3]}[] = {{ {body} }};\n")
