"""plot.py - bars with whiskers as SVG, readable on light and dark pages, no library needed."""
import html

WIDTH, LABEL_WIDTH, BAR_WIDTH = 760, 230, 400
ROW, BAR, GAP, TOP = 18, 12, 14, 34
STYLE = """text { font: 12px sans-serif; fill: #444 }
.title { font-weight: bold; font-size: 14px }
.head { font-weight: bold }
.bar { fill: #9ab }
.ours { fill: #d5652b }
.spread { stroke: #555; stroke-width: 1.2 }
@media (prefers-color-scheme: dark) { text { fill: #ccc } .spread { stroke: #eee } }"""


def bars(title, groups):
    """groups: (heading, [(label, {"median", "min", "max"}, ours)]); one scale for each group,
    because what is compared stands in one group."""
    out, y = [], TOP
    for heading, rows in groups:
        most = max(stat["max"] for _, stat, _ in rows) or 1
        scale = BAR_WIDTH / most
        out.append(f'<text class="head" x="8" y="{y + 12}">{html.escape(heading)}</text>')
        y += ROW
        for label, stat, ours in rows:
            middle = y + ROW / 2
            out.append(f'<text x="{LABEL_WIDTH - 8}" y="{middle + 4}" text-anchor="end">'
                       f'{html.escape(label)}</text>')
            out.append(f'<rect class="{"ours" if ours else "bar"}" x="{LABEL_WIDTH}" '
                       f'y="{middle - BAR / 2}" width="{stat["median"] * scale:.1f}" '
                       f'height="{BAR}"/>')
            out.append(f'<line class="spread" x1="{LABEL_WIDTH + stat["min"] * scale:.1f}" '
                       f'x2="{LABEL_WIDTH + stat["max"] * scale:.1f}" y1="{middle}" '
                       f'y2="{middle}"/>')
            out.append(f'<text x="{LABEL_WIDTH + stat["max"] * scale + 6:.1f}" '
                       f'y="{middle + 4}">{stat["median"]:.3g}</text>')
            y += ROW
        y += GAP
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" '
            f'viewBox="0 0 {WIDTH} {y}">\n<style>{STYLE}</style>\n'
            f'<text class="title" x="8" y="20">{html.escape(title)}</text>\n'
            + "\n".join(out) + "\n</svg>\n")
