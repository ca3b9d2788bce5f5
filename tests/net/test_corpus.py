"""test_corpus.py - no wrong pass and no wrong stop, whatever the bytes and however they arrive.

Two collections: what vectors_tls.py and vectors_http.py make, and the files in the folder
$RINGFENCE_CORPUS, by default ../shared/corpus beside the repository, where there is one."""
import json
import os

import pytest

import vectors_http
import vectors_tls
from replay import HTTP, IN_FULL, TLS, Vector, replay
from ringfence import ROOT

FOLDER = os.environ.get("RINGFENCE_CORPUS", os.path.join(ROOT, "..", "shared", "corpus"))
FILES = "tls.jsonl", "tls_attacks.jsonl", "http.jsonl", "http_attacks.jsonl"
READ_SIZES = pytest.mark.parametrize("read_size", [1, 7, 16384])


def vector_of(entry):
    expect, data = entry["expect"], bytes.fromhex(entry["hex"])
    verdict, names = expect["verdict"], [expect["name"]] if "name" in expect else []
    names = names or expect.get("hosts") or expect.get("hosts_before") or []
    if verdict == "wait-then-block" and b"\r\n\r\n" in data and entry["proto"] == "http":
        verdict = "hosts-then-wait"             # the head is whole: it passes, its body lacks
        names = [host_of(data)]
    verdict = {"block": "BLOCK", "wait-then-block": "WAIT"}.get(verdict, "PASS")
    return Vector(entry["id"], TLS if entry["proto"] == "tls" else HTTP, data, verdict, names,
                  "lenient_ok" in expect,
                  [IN_FULL if n < 0 else n for n in entry.get("segments") or []])


def host_of(data):
    fields = [line for line in data.split(b"\r\n") if line.lower().startswith(b"host:")]
    return fields[0].split(b":")[1].strip().decode()


def report(capsys, title, count, wrong):
    with capsys.disabled():
        print(f"\n{title}: {count} runs, {len(wrong)} wrong")
    assert not wrong, "\n".join(wrong)


@READ_SIZES
def test_no_vector_of_ours_is_judged_wrong(net, capsys, read_size):
    vectors = vectors_tls.vectors() + vectors_http.vectors()
    assert len({vector.id for vector in vectors}) == len(vectors)
    count, wrong = replay(net, vectors, read_size)
    report(capsys, f"{len(vectors)} own vectors, read {read_size} bytes at a time", count, wrong)


@READ_SIZES
def test_no_shared_vector_is_judged_wrong(net, capsys, read_size):
    missing = [name for name in FILES if not os.path.exists(os.path.join(FOLDER, name))]
    if missing:
        pytest.skip(f"{len(missing)} files of vectors are not in {FOLDER}")
    vectors = []
    for name in FILES:
        with open(os.path.join(FOLDER, name)) as file:
            vectors += [vector_of(json.loads(line)) for line in file]
    count, wrong = replay(net, vectors, read_size)
    report(capsys, f"{len(vectors)} shared vectors, read {read_size} bytes at a time", count, wrong)
