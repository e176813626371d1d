"""An analyst: reads a CSV file from /data, draws a chart of it, and says what it shows.

The model only chooses (which columns, which kind of chart) and words the finding. Every number comes from
this program, so a model that answers nonsense costs a less apt chart and nothing else.

    shannon run --dir ./sales::/data python_analyst "How did revenue develop?"

Input: {"query", "file"?: a name in /data (default: the first *.csv), "output"?: the chart's name}"""

import csv
import json
import math
import os
import re
import time

import shannon

DATA = "/data"
ROWS_MAX = 200_000
POINTS_MAX = 40  # more labels nobody can read
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 800, 450, 80, 90, 50


class Failed(Exception):
    """What a person has to change; the message says it."""


def number(text):
    """1234.5, 1,234.5, 1234,5, 12 %, $5; None for what is no number."""
    cleaned = re.sub(r"[\s$€£%]|,(?=\d{3}(\D|$))", "", text or "")
    if re.fullmatch(r"-?\d+,\d{1,2}", cleaned):
        cleaned = cleaned.replace(",", ".")
    try:
        value = float(cleaned)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


# ---- the table ----

def choose_file(given):
    if not os.path.isdir(DATA):
        raise Failed("there is no /data: map the directory of the file, --dir FOLDER::/data")
    names = sorted(n for n in os.listdir(DATA) if n.lower().endswith(".csv"))
    wanted = given.get("file") or (names[0] if names else None)
    if not isinstance(wanted, str) or wanted not in os.listdir(DATA):
        raise Failed(f"expected a CSV file in /data, got {wanted!r}; there are {names[:10]}")
    return wanted


def read_table(name):
    with open(os.path.join(DATA, name), newline="", encoding="utf-8-sig", errors="replace") as file:
        head = file.readline(65536)
        file.seek(0)
        lines = (line.replace("\0", "\ufffd") for line in file)  # the host's JSON knows no NUL
        rows = csv.reader(lines, delimiter=max(",;\t|", key=head.count))
        table = []
        try:
            columns = [c.strip() or f"column {i + 1}" for i, c in enumerate(next(rows, []))]
            for row in rows:
                if len(table) == ROWS_MAX:
                    raise Failed(f"{name} has more than {ROWS_MAX} rows")
                if any(cell.strip() for cell in row):
                    table.append((row + [""] * len(columns))[:len(columns)])
        except csv.Error as error:
            raise Failed(f"{name} is no CSV file: {error}") from None
    if len(columns) < 1 or not table:
        raise Failed(f"{name} has no rows under a line of column names")
    return columns, table


def numeric_columns(columns, table):
    """Those of which most cells that are not empty are numbers."""
    found = []
    for i, name in enumerate(columns):
        cells = [row[i] for row in table[:1000] if row[i].strip()]
        if cells and sum(number(c) is not None for c in cells) * 2 > len(cells):
            found.append(name)
    return found


# ---- what to draw ----

def first_object(text):
    """The first JSON object in a model's text; {} when there is none."""
    for start in [m.start() for m in re.finditer(r"{", text)][:16]:
        try:
            value, _ = json.JSONDecoder().raw_decode(text[start:])
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return {}


class Model:
    """The model, and what it used. A call that fails is answered with ""."""

    def __init__(self):
        self.calls = self.failed = 0
        self.usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
        self.model = self.provider = ""

    def ask(self, prompt, max_tokens):
        self.calls += 1
        try:
            answer = shannon.chat([{"role": "user", "content": prompt}], max_tokens=max_tokens,
                                  temperature=0.2)
        except shannon.Canceled:
            raise
        except shannon.Error as error:
            self.failed += 1
            shannon.log(f"the model could not be asked: {error}")
            return ""
        for name in self.usage:
            self.usage[name] += answer["usage"].get(name, 0)
        self.model, self.provider = answer["model"], answer["provider"]
        return (answer.get("content") or "").strip()


def choose_chart(model, question, columns, numeric, table):
    """x, y, how values of one x become one, and the kind; the model's wishes where they make sense."""
    sample = "\n".join(", ".join(row)[:200] for row in table[:3])
    wish = first_object(model.ask(
        f"Question: {question}\nA table with the columns {json.dumps(columns)}; numeric are "
        f"{json.dumps(numeric)}. Its first rows:\n{sample}\nWhich chart answers the question? Reply with "
        'JSON: {"x": column, "y": numeric column, "total": "sum" or "mean", "chart": "bar" or "line"}',
        120))

    def one_of(name, allowed, otherwise):
        value = wish.get(name)
        return value if isinstance(value, str) and value in allowed else otherwise

    y = one_of("y", numeric, numeric[-1])
    others = [c for c in columns if c != y] or columns
    x = one_of("x", others, next((c for c in others if c not in numeric), others[0]))
    return x, y, one_of("total", ("sum", "mean"), "sum"), one_of("chart", ("bar", "line"), "bar")


def points(columns, table, x, y, total):
    """(label, value) in the order of the file; the smallest are put together where there are too many."""
    xi, yi = columns.index(x), columns.index(y)
    sums = {}
    for row in table:
        value = number(row[yi])
        if value is not None:
            add = sums.setdefault(row[xi].strip() or "(empty)", [0.0, 0])
            add[0] += value
            add[1] += 1
    values = [(k, s / n if total == "mean" else s) for k, (s, n) in sums.items()]
    if not values:
        raise Failed(f"the column {y!r} has no numbers")
    if len(values) > POINTS_MAX:
        kept = {k for k, _ in sorted(values, key=lambda p: -abs(p[1]))[:POINTS_MAX - 1]}
        rest = [v for k, v in values if k not in kept]
        other = sum(rest) / (len(rest) if total == "mean" else 1)
        values = [p for p in values if p[0] in kept] + [(f"{len(rest)} others", other)]
    return values


# ---- the picture ----

def escape(text, most=60):
    """For XML; what XML 1.0 cannot hold is replaced."""
    text = re.sub(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", str(text)[:most])
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def nice_step(span):
    """1, 2 or 5 times a power of ten: about five lines."""
    power = 10 ** math.floor(math.log10(span / 5))
    return next(m * power for m in (1, 2, 5, 10) if m * power * 5 >= span)


def short(value):
    return f"{value:,.6g}" if abs(value) < 1e6 else f"{value:.3g}"


def draw(values, title, x, y, chart):
    low, high = min(0.0, *(v for _, v in values)), max(0.0, *(v for _, v in values))
    step = nice_step(high - low or 1.0)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step or step
    plot_w, plot_h = WIDTH - LEFT - 20, HEIGHT - TOP - BOTTOM
    slot = plot_w / len(values)

    def at(value):
        return TOP + plot_h * (high - value) / (high - low)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f"<title>{escape(title, 200)}</title>",
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
           f'<text x="{WIDTH / 2:g}" y="28" text-anchor="middle" font-size="16">{escape(title, 90)}</text>']
    for i in range(round((high - low) / step) + 1):
        tick = low + i * step
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - 20}" y1="{at(tick):.1f}" y2="{at(tick):.1f}" '
                   f'stroke="{"#333" if abs(tick) < step / 2 else "#ddd"}"/>')
        out.append(f'<text x="{LEFT - 8}" y="{at(tick) + 4:.1f}" text-anchor="end">{short(tick)}</text>')
    middle = [(LEFT + slot * (i + 0.5), at(v)) for i, (_, v) in enumerate(values)]
    for (px, py), (label, value) in zip(middle, values):
        if chart == "bar":
            top, bottom = min(py, at(0)), max(py, at(0))
            out.append(f'<rect x="{px - slot * 0.4:.1f}" y="{top:.1f}" width="{slot * 0.8:.1f}" '
                       f'height="{bottom - top:.1f}" fill="#3b6ea8">'
                       f"<title>{escape(label)}: {short(value)}</title></rect>")
        out.append(f'<text transform="translate({px + 4:.1f},{HEIGHT - BOTTOM + 12}) rotate(-40)" '
                   f'text-anchor="end">{escape(label, 16)}</text>')
    if chart == "line":
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in middle)
        out.append(f'<polyline points="{path}" fill="none" stroke="#3b6ea8" stroke-width="2"/>')
    out.append(f'<text x="14" y="{TOP + plot_h / 2:g}" transform="rotate(-90 14 {TOP + plot_h / 2:g})" '
               f'text-anchor="middle">{escape(y)}</text>')
    out.append(f'<text x="{WIDTH / 2:g}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x)}</text></svg>\n')
    return "\n".join(out)


# ---- the task ----

def chart_name(given, source):
    name = given.get("output") or os.path.splitext(source)[0] + ".svg"
    if not isinstance(name, str) or os.path.basename(name) != name or not name.endswith(".svg"):
        raise Failed(f"output: expected the name of a file that ends with .svg, got {name!r}")
    return name


def analyse(given):
    question = given.get("query") or "What does this table show?"
    model, started = Model(), time.time()
    source = choose_file(given)
    target = chart_name(given, source)
    shannon.progress(f"reading {source}")
    columns, table = read_table(source)
    numeric = numeric_columns(columns, table)
    if not numeric:
        raise Failed(f"{source} has no column of numbers; its columns are {columns[:20]}")
    shannon.progress(f"{len(table)} rows, {len(columns)} columns: choosing a chart")
    x, y, total, chart = choose_chart(model, question, columns, numeric, table)
    values = points(columns, table, x, y, total)
    with open(os.path.join(DATA, target), "w", encoding="utf-8") as file:
        file.write(draw(values, f"{total} of {y} by {x}", x, y, chart))
    shannon.progress(f"{target} is written")
    largest, smallest = max(values, key=lambda p: p[1]), min(values, key=lambda p: p[1])
    facts = (f"{total} of {y} by {x}: {len(values)} values, largest {largest[0]} ({short(largest[1])}), "
             f"smallest {smallest[0]} ({short(smallest[1])}), first {values[0][0]} "
             f"({short(values[0][1])}), last {values[-1][0]} ({short(values[-1][1])}).")
    words = model.ask(f"Question: {question}\nFacts: {facts}\nAnswer the question from the facts in two "
                      "sentences.", 160)
    return {
        "answer": f"{words or 'The chart shows the ' + facts} ({target})",
        "confidence": 0.7 if words else 0.5,
        "reasoning_steps": [
            {"step": 1, "title": f"read {source}", "reasoning": f"{len(table)} rows; columns {columns}"},
            {"step": 2, "title": f"drew a {chart} chart", "reasoning": facts}],
        "sources": [{"title": source, "url": f"file://{DATA}/{source}", "snippet": ", ".join(columns)}],
        "token_usage": model.usage, "model_used": model.model, "provider": model.provider,
        "duration_ms": None if given.get("reproducible") else round((time.time() - started) * 1000),
        "metadata": {"strategy": "python_analyst", "llm_calls": model.calls, "tool_calls": 0,
                     "failed_calls": model.failed, "rows": len(table), "chart": target,
                     "x": x, "y": y, "total": total, "kind": chart}}


def main():
    given = shannon.input()
    try:
        result = analyse(given if isinstance(given, dict) else {})
    except Failed as failed:
        raise SystemExit(f"python_analyst: {failed}")
    print(result["answer"])
    shannon.output(result)


if __name__ == "__main__":
    main()
