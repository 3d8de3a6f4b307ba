"""Results as JSON and as Markdown that docs/performance.md takes in as it is."""

import dataclasses
import itertools
import json
from pathlib import Path

from pix2pix_tf.photographs import write_atomically

JSON_FILE, MARKDOWN_FILE = "benchmark.json", "benchmark.md"


def write(results, out_dir):
    """Writes benchmark.json and benchmark.md; returns the second one's path.

    Args:
        results: dict of "machine" (`machine.describe`), "settings", "rows" ({subject: [`Row`]}),
            "left_out" and "failed" ([what, reason]).
        out_dir: folder to write into.
    """
    out_dir = Path(out_dir)
    rows = {
        subject: [dataclasses.asdict(row) for row in rows]
        for subject, rows in results["rows"].items()
    }
    text = json.dumps({**results, "rows": rows}, indent=2, ensure_ascii=False) + "\n"
    write_atomically(out_dir / JSON_FILE, text.encode())
    path = out_dir / MARKDOWN_FILE
    write_atomically(path, markdown(results).encode())
    return path


def markdown(results):
    """Machine, versions and one table after the other."""
    parts = [_machine(results)]
    for rows in results["rows"].values():
        for title, group in itertools.groupby(rows, key=lambda row: row.table):
            parts.append(f"### {title}\n\n{table(list(group))}")
    for words, key in (("Left out", "left_out"), ("Failed", "failed")):
        parts += [f"{words}: {what} ({reason})." for what, reason in results[key]]
    return "\n\n".join(parts) + "\n"


def table(rows):
    """Rows of one table: medians, and in brackets the quartiles; goals in the titles, and what
    falls short of them in bold."""
    points = _union(row.point for row in rows)
    figures = _union(row.figures for row in rows)
    ratios = _union(row.ratios for row in rows)
    titles = [*points]
    titles += [_title(name, figure) for name, figure in [*figures.items(), *ratios.items()]]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for row in rows:
        cells = [_plain(row.point.get(name, "")) for name in points]
        cells += [_cell(row.figures.get(name)) for name in figures]
        cells += [_cell(row.ratios.get(name)) for name in ratios]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _union(dicts):
    """{key: the first value} in the order of appearance."""
    merged = {}
    for values in dicts:
        for key, value in values.items():
            merged.setdefault(key, value)
    return merged


def _title(name, figure):
    unit = "" if figure.unit == "×" else f", {figure.unit}"
    goal = ""
    if figure.at_least is not None:
        goal = f" (≥ {figure.at_least:g})"
    if figure.at_most is not None:
        goal = f" (≤ {figure.at_most:,g})"
    return f"{name}{unit}{goal}"


def _plain(value):
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cell(figure):
    if figure is None:
        return ""
    text = _number(figure.value) + ("×" if figure.unit == "×" else "")
    if figure.falls_short:
        text = f"**{text}**"
    if figure.low is not None and figure.unit != "×":
        text += f" [{_number(figure.low)}, {_number(figure.high)}]"
    return text


def _number(value):
    """Three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _machine(results):
    machine, settings = results["machine"], results["settings"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    hardware = [machine["processor"], f"{machine['cores']} cores", f"{machine['memory_gb']} GB"]
    hardware += machine["gpus"] or ["no GPU"]
    return (
        f"{', '.join(hardware)}; {machine['system']}; load before the run {machine['load']}. "
        f"{versions}.\n\n"
        f"`{settings['command']}`; {settings['rounds']} rounds; medians, in brackets quartiles; "
        "bold falls short of the goal in the title."
    )
