#!/usr/bin/env python3
"""plot.py BENCH_JSON FOLDER: draw the curves of a run of the benchmarks as SVG files in FOLDER.

A curve is made of the figures that have `curve` and `x`. Lines that belong together share a
picture; each is drawn over a logarithmic x, from zero up, with its values beside its points."""

import json
import math
import sys
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 300, 70, 30, 44, 50
PICTURES = {
    "start": ("Start of the server among workflows that sleep or have ended", "ms",
              {"start_among": "start"}),
    "memory": ("Resident memory after the start, among workflows", "MB",
               {"memory_among": "resident"}),
    "step": ("A durable step, median", "ms",
             {"step_among": "among workflows", "step_in_a_journal_of": "in a journal of events"}),
    "journal": ("Memory that belongs to no file, while a journal grows", "MB",
                {"memory_in_a_journal_of": "anonymous"}),
}
COLOURS = ["#1f5fa8", "#b3541e"]


def place(x, largest):
    """0 has no logarithm: it stands one power below the least that is drawn."""
    low = 3.0
    at = math.log10(x) if x > 0 else low
    return LEFT + (at - low) / (math.log10(largest) - low) * (WIDTH - LEFT - RIGHT)


def nice(value):
    power = 10 ** math.floor(math.log10(value))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= value)


def text(x, y, what, size=12, anchor="middle", colour="#333"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" '
            f'fill="{colour}">{what}</text>')


def picture(title, unit, lines):
    largest = max(x for points in lines.values() for x, _ in points)
    top = nice(max(y for points in lines.values() for _, y in points) * 1.15)
    def height(y):
        return HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           text(LEFT, 22, f"{title} ({unit})", 14, "start")]
    for i in range(5):
        y = top * i / 4
        out.append(f'<path d="M{LEFT} {height(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(text(LEFT - 8, height(y) + 4, f"{y:g}", anchor="end"))
    free = WIDTH  # to the left of here no number stands yet; the largest comes first
    for x in sorted({x for points in lines.values() for x, _ in points}, reverse=True):
        at, half = place(x, largest), 3.5 * len(f"{x:,}") + 4
        if at + half <= free:
            out.append(text(at, HEIGHT - BOTTOM + 20, f"{x:,}"))
            free = at - half
    for i, (name, points) in enumerate(lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{place(x, largest):.1f},{height(y):.1f}" for x, y in points)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for x, y in points:
            at = place(x, largest)
            out.append(f'<circle cx="{at:.1f}" cy="{height(y):.1f}" r="3" fill="{colour}"/>')
            if len(points) <= 5:
                out.append(text(at, height(y) - 8 if i == 0 else height(y) + 16, f"{y:.3g}", 11,
                                colour=colour))
        out.append(text(LEFT + 10 + 200 * i, HEIGHT - 8, name, anchor="start", colour=colour))
    return "\n".join(out + ["</svg>"]) + "\n"


def curves(report):
    found = {}
    for row in report["figures"]:
        if "curve" in row:
            found.setdefault(row["curve"], []).append((row["x"], row["value"]))
    return {name: sorted(points) for name, points in found.items()}


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    found = curves(json.loads(Path(sys.argv[1]).read_text()))
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (title, unit, wanted) in PICTURES.items():
        lines = {label: found[c] for c, label in wanted.items() if len(found.get(c, [])) > 1}
        if lines:
            (folder / f"{name}.svg").write_text(picture(title, unit, lines))
            print(f"drew {folder / name}.svg")


if __name__ == "__main__":
    main()
