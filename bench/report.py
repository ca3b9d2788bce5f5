#!/usr/bin/env python3
"""report.py - from a bench's JSON to Markdown tables and SVG plots.

    bench/report.py FILE.json...        write FILE.md and plots beside each"""
import json
import os
import sys

import plot

OURS = "ringfence"
LABELS = {"direct": "no proxy", "haproxy-auto": "haproxy, splice-auto",
          "haproxy-splice": "haproxy, forced splice",
          "haproxy-splice-1m": "haproxy, forced splice, 1 MiB pipes"}
UNITS = {"gib": ("CPU s/GiB", "Gb/s"), "100k": ("CPU s/100k", "ops/s")}

# scenario, against, figure, must, stretch: the most that ringfence's median may be of theirs. The
# best configuration of a peer counts, and "best" is the best of all peers. What is cheap per byte
# because it moves little is no peer's best: one with less than AS_FAST of what the same peer moves
# otherwise is left out (pipes of 1 MiB cost HAProxy half of its throughput with 64 streams).
AS_FAST = 0.9
RATIOS = [
    *((name, *rest) for name in ("bulk-1", "bulk-8") for rest in (
        ("haproxy", "cpu", 0.65, 0.50), ("nginx", "cpu", 0.15, 0.10),
        ("socat", "cpu", 0.25, 0.13))),
    *((name, *rest) for name in ("bulk-64", "bulk-8-both") for rest in (
        ("haproxy", "cpu", 0.70, 0.50), ("nginx", "cpu", 0.15, 0.10))),
    ("ping-64-64", "haproxy", "cpu", 0.90, 0.80), ("ping-64-64", "nginx", "cpu", 1.0, 0.88),
    ("ping-64-64", "best", "p99_us", 1.0, None),
    ("ping-64-1024", "haproxy", "cpu", 0.90, 0.80), ("ping-64-1024", "nginx", "cpu", 1.0, 0.88),
    ("ping-512-64", "best", "cpu", 0.75, 0.63),
    ("ping-1-64", "best", "cpu", 1.0, 0.95), ("ping-64-16384", "best", "cpu", 1.0, 0.95),
    ("short-64", "haproxy", "cpu", 0.90, 0.80), ("short-64", "nginx", "cpu", 0.92, 0.82),
    ("short-64", "sniproxy", "cpu", 1.0, 0.90),
    ("mixed", "best", "p999_us", 2.0, None), ("mixed-8g", "best", "p999_us", 2.0, None),
    ("udp-8-64", "nginx", "cpu", 0.75, 0.57), ("udp-8-64", "socat", "cpu", 0.40, 0.29),
    *((f"udp-8-{size}-trains", peer, "cpu", 0.05, 0.03) for size in (64, 1200)
      for peer in ("nginx", "socat")),
    ("sni-short-64", "best", "cpu", 0.80, 0.70), ("sni-bulk-8", "best", "cpu", 0.65, 0.50),
]
STEADY = 0.5                # no run falls below this share of the median throughput
FLAT = 1.15                 # cost with many connections open, of that with few


def label(name):
    return LABELS.get(name, name)


def shown(value):
    """Three digits that count."""
    if value is None:
        return "-"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{value:.4f}"


def cell(one, figure):
    stat = one.get(figure)
    if not stat:
        return "-"
    return f"{shown(stat['median'])} [{shown(stat['min'])}-{shown(stat['max'])}]"


def peer_of(name):
    """Of several configurations of a peer the name has its own first."""
    return name.split("-")[0]


def rival(proxies, against, figure):
    """(name, median) of the best that counts, or None."""
    measured = {name: one for name, one in proxies.items()
                if name not in ("direct", OURS) and one.get(figure)}
    fastest = {}
    for name, one in measured.items():
        rate = one["rate"]["median"]
        fastest[peer_of(name)] = max(rate, fastest.get(peer_of(name), 0))
    found = [(one[figure]["median"], name) for name, one in measured.items()
             if against in ("best", peer_of(name))
             and (figure != "cpu" or one["rate"]["median"] >= AS_FAST * fastest[peer_of(name)])]
    return min(found)[::-1] if found else None


def ratios(result):
    """Rows of the ratio table, those that could be computed."""
    for scenario in result["scenarios"]:
        for name, against, figure, must, stretch in RATIOS:
            ours = scenario["proxies"].get(OURS, {}).get(figure)
            other = rival(scenario["proxies"], against, figure)
            if name == scenario["name"] and ours and other:
                yield (f"{scenario['place']}/{name}", other[0], figure,
                       ours["median"] / other[1], must, stretch)


def ratio_table(result):
    rows = list(ratios(result))
    if not rows:
        return []
    lines = ["", f"## Ratios: {OURS} to the best configuration of each peer", "",
             "| work | against | figure | ratio | must | stretch | |",
             "| --- | --- | --- | --- | --- | --- | --- |"]
    for name, other, figure, ratio, must, stretch in rows:
        verdict = "missed" if ratio > must else \
            "stretch" if stretch and ratio <= stretch else "met"
        lines.append(f"| {name} | {label(other)} | {figure} | {ratio:.2f} | {must:.2f} | "
                     f"{'-' if stretch is None else f'{stretch:.2f}'} | {verdict} |")
    return lines


def scenario_table(scenario):
    cpu, rate = UNITS[scenario["unit"]]
    proxies = scenario["proxies"]
    timed = scenario["unit"] == "100k" and any(
        one.get("p99_us", {}).get("max") for one in proxies.values())
    mixed = any("gbps" in one for one in proxies.values())
    heads = ["proxy", cpu, rate] + (["p50 µs", "p99 µs", "p99.9 µs"] if timed else []) + \
        (["bulk Gb/s"] if mixed else []) + ["runs"]
    lines = ["", f"### {scenario['place']}/{scenario['name']}", "",
             f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    for name, one in proxies.items():
        cells = ["-" if name == "direct" else cell(one, "cpu"), cell(one, "rate")]
        if timed:
            cells += [cell(one, figure) for figure in ("p50_us", "p99_us", "p999_us")]
        if mixed:
            cells.append(cell(one, "gbps"))
        runs = str(one["runs"])
        if one["failed"]:
            runs += f", {one['failed']} failed"
        if one["noisy"]:
            runs += f", {one['noisy']} disturbed"
        bold = f"**{label(name)}**" if name == OURS else label(name)
        lines.append(f"| {bold} | {' | '.join(cells)} | {runs} |")
    return lines


def steadiness(result):
    lines = []
    for scenario in result["scenarios"]:
        one = scenario["proxies"].get(OURS, {})
        if scenario["name"].startswith("steady") and one.get("rate"):
            rate = one["rate"]
            share = rate["min"] / rate["median"]
            sums = [sum(run.get(name, 0) for run in one["each"])
                    for name in ("retransmits", "prunes")]
            lines.append(
                f"* {scenario['place']}, {scenario['name'][7:]} streams, {one['runs']} runs: the "
                f"slowest has {share:.2f} of the median throughput "
                f"({'met' if share >= STEADY else 'missed'}: {STEADY}); {sums[0]} segments "
                f"retransmitted, {sums[1]} receive queues pruned.")
    return ["", "## Steadiness", "", *lines] if lines else []


def flatness(result):
    """Cost of work beside few and beside many idle connections."""
    found, lines = {}, []
    for scenario in result["scenarios"]:
        base, word, count = scenario["name"].partition("-idle-")
        if word:
            for name, one in scenario["proxies"].items():
                if one.get("cpu") and name != "direct":
                    found.setdefault((base, name), []).append((int(count), one["cpu"]["median"]))
    for (base, name), points in found.items():
        points.sort()
        if len(points) > 1:
            ratio = points[-1][1] / points[0][1]
            verdict = f" ({'met' if ratio <= FLAT else 'missed'}: {FLAT})" if name == OURS else ""
            lines.append(f"* {base}, {label(name)}: {ratio:.2f} times the CPU with {points[-1][0]} "
                         f"idle connections open of that with {points[0][0]}{verdict}.")
    return ["", "## Cost with many open", "", *lines] if lines else []


def idle_table(result):
    if not result.get("idle"):
        return []
    lines = ["", "## Memory of an idle connection", "",
             "| proxy | connections | resident KiB | kernel slab KiB beyond no proxy |",
             "| --- | --- | --- | --- |"]
    for name, one in result["idle"].items():
        beyond = "-" if name == "direct" else f"{one['slab_beyond_direct']:.2f}"
        lines.append(f"| {label(name)} | {one['connections']} | {one['resident']:.2f} | "
                     f"{beyond} |")
    return lines


def text(result):
    machine = result["machine"]
    lines = [f"# {result['bench']}", "",
             f"{machine['date']}, {machine['cpu']}, {machine['cores']} cores, {machine['system']}, "
             f"kernel {machine['kernel']}, congestion control {machine['congestion_control']}; "
             f"proxy and load generator each on a core of its own; "
             f"windows of {result['window_ms']} ms.",
             "", "Median [least-most] over the runs. CPU is the proxy's own, the kernel's work on "
             "its behalf included. Compare only within a table.", ""]
    lines += [f"* {said}" for said in result["versions"].values()]
    lines += ratio_table(result) + flatness(result) + steadiness(result) + idle_table(result)
    lines += ["", "## Figures"]
    for scenario in result["scenarios"]:
        lines += scenario_table(scenario)
    return "\n".join(lines) + "\n"


def plots(result):
    """{file name: SVG}: one plot a place and unit, and one of tail latency."""
    groups = {}
    for scenario in result["scenarios"]:
        if scenario["name"].startswith("steady"):
            continue
        family = "mixed" if scenario["name"].startswith("mixed") else \
            "idle" if "-idle-" in scenario["name"] else \
            scenario["name"].removeprefix("sni-").split("-")[0]
        groups.setdefault((scenario["place"], family), []).append(scenario)
    for (place, family), some in groups.items():
        figure, unit = ("p999_us", "p99.9 µs") if family == "mixed" else \
            ("cpu", UNITS[some[0]["unit"]][0])
        bars = [(scenario["name"],
                 [(label(name), one[figure], name == OURS)
                  for name, one in scenario["proxies"].items()
                  if one.get(figure) and (name != "direct" or figure != "cpu")])
                for scenario in some]
        bars = [(title, some) for title, some in bars if some]
        if bars:
            yield f"{result['bench']}-{place}-{family}.svg", \
                plot.bars(f"{place}: {family}, {unit}, less is better", bars)


def write(result, folder):
    os.makedirs(folder, exist_ok=True)
    drawn = dict(plots(result))
    for name, svg in drawn.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(svg)
    with open(os.path.join(folder, result["bench"] + ".md"), "w") as file:
        file.write(text(result) + "".join(f"\n![{name}]({name})\n" for name in drawn))


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    for path in sys.argv[1:]:
        with open(path) as file:
            write(json.load(file), os.path.dirname(os.path.abspath(path)))


if __name__ == "__main__":
    main()
