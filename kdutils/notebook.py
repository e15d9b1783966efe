"""What a notebook needs around its experiment: parameters, its ledger, numbers for the prose.

Importing this module costs next to nothing, so that wrong parameters are refused at once.
"""

import ast
import html
import math
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from IPython import display
from IPython.core.formatters import format_display_data

from kdutils import parameters

GLUE_PREFIX = "application/papermill.record/"


def check_parameters(namespace: dict) -> None:
    """Check what papermill, or an edit of the parameters cell, has set.

    papermill writes the values it is given into a cell of its own, unchecked.

    Args:
        namespace: `globals()` of the notebook.

    Raises:
        kdutils.parameters.ParameterError: Naming every unknown parameter and every wrong type.
    """
    declared = namespace["__annotations__"]
    # The last one: in a session it may have been corrected and run again.
    injected = [cell for cell in namespace["In"] if cell.startswith("# Parameters\n")][-1:]
    given = {
        target.id
        for cell in injected
        for line in ast.parse(cell).body
        if isinstance(line, ast.Assign)
        for target in line.targets
    }
    values = {name: namespace[name] for name in [*declared, *sorted(given - set(declared))]}
    parameters.check(values, declared, "parameters")


def begin(profile: str, track: str | None = None):
    """Open the ledger that a notebook works with, and say so where it is not the published one.

    Args:
        profile: `full` for the published protocol; anything else puts a banner on the page.
        track: See `kdutils.data.tracks.resolve`; a simulated one puts a second banner there.

    Returns:
        The `kdutils.ledger.Ledger` in the folder `KDUTILS_LEDGER`, or else of the profile.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from kdutils.data import tracks
    from kdutils.ledger import Ledger

    texts = []
    if profile != "full":
        texts.append(
            f"<strong>Profile “{html.escape(profile)}”.</strong> The numbers on this page come "
            "from a smaller or changed experiment, not from the protocol of the report."
        )
    if track is not None and (simulated := tracks.banner(tracks.resolve(track))):
        title, rest = simulated.split(": ", 1)
        texts.append(f"<strong>{title}.</strong> {rest[0].upper()}{rest[1:]}")
    banner = display.HTML(
        "".join(f'<div class="profile-banner">{text}</div>' for text in texts)
        or "<span hidden></span>"
    )
    if texts:
        display.display(banner)
    glue("banner", banner)
    if folder := os.environ.get("KDUTILS_LEDGER"):
        return Ledger(Path(folder), cache=Path(folder) / "cache")
    return Ledger.of_profile(profile)


def glue(name: str, value) -> None:
    """Make a value available to prose, here and on other pages, as `` {glue:text}`name` ``.

    The same output format as `myst_nb.glue`, without Sphinx in the kernel.

    Args:
        name: Letters, digits and underscores; a colon would read as a format.
        value: A number, a text, or anything that can be displayed.

    Raises:
        ValueError: The name cannot be used in prose.
    """
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"a glued name is made of letters, digits and underscores, not {name!r}")
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()  # NumPy's scalars do not format as numbers do
    data, metadata = format_display_data(value)
    metadata["scrapbook"] = {"name": name, "mime_prefix": GLUE_PREFIX}
    data = {GLUE_PREFIX + mime: content for mime, content in data.items()}
    display.display(data, metadata=metadata, raw=True)


def glue_all(**values) -> None:
    """Glue several values by name."""
    for name, value in values.items():
        glue(name, value)


def glue_figure(name: str, draw: Callable, alt: str) -> None:
    """Draw a figure, for light and dark pages, and glue it.

    Args:
        name: As in `glue`.
        draw: Given an empty Matplotlib figure, draws on it.
        alt: What the figure shows, for those who do not see it.
    """
    from kdutils import figures

    glue(name, figures.themed(draw, alt))


def percent(interval) -> str:
    """Write a `kdutils.evaluation.Interval` of fractions as a percentage with its range."""
    return _ranged(interval, 100, 2, " %")


def points(comparison) -> str:
    """Write a `kdutils.evaluation.Comparison` in percentage points with its range."""
    ends = 100 * comparison.low, 100 * comparison.high
    return _signed(100 * comparison.difference, *ends, comparison.count, 2, " points")


def auc(interval) -> str:
    """Write a `kdutils.evaluation.Interval` of areas or rates from 0 to 1, with its range."""
    return _ranged(interval, 1, 3, "")


def auc_change(comparison) -> str:
    """Write a `kdutils.evaluation.Comparison` of such areas with its range."""
    ends = comparison.low, comparison.high
    return _signed(comparison.difference, *ends, comparison.count, 3, "")


def signed(interval, digits: int, unit: str = "") -> str:
    """Write a difference, as a `kdutils.evaluation.Interval` in its own unit, with its range."""
    return _signed(interval.mean, interval.low, interval.high, interval.count, digits, unit)


def change(value: float, digits: int) -> str:
    """Write a single difference with its sign."""
    return f"{value:+.{digits}f}".replace("-", "−")


def _ranged(interval, scale, digits, unit):
    text = f"{scale * interval.mean:.{digits}f}{unit}"
    if interval.count == 1:
        return f"{text} (one run)"
    return f"{text} ({scale * interval.low:.{digits}f} to {scale * interval.high:.{digits}f})"


def _signed(middle, low, high, count, digits, unit):
    text = f"{change(middle, digits)}{unit}"
    if count > 1:
        text += f" ({change(low, digits)} to {change(high, digits)})"
    return text


def no_difference(comparison) -> str:
    """Say which of the two kinds of "no difference" a `kdutils.evaluation.Comparison` is."""
    if comparison.p_value < 0.05:
        return "it is real but below the ten images in 10,000 that count here"
    return "it may be chance"


def p_value(value: float) -> str:
    """Write a p-value: `p = 0.03`, or `p < 0.001`."""
    if math.isnan(value):
        return "not tested"
    return "p < 0.001" if value < 0.001 else f"p = {value:.2g}"


def provenance(records: Iterable, analyses: Iterable = ()) -> None:
    """Show which records a page was made from, each with the command that repeats it.

    Args:
        records: `kdutils.runs.Record`s; those they rest on are not added.
        analyses: `kdutils.analyses.Analysis`es, measured on the models of those runs.
    """
    unique = {record.key: record for record in records}
    measured = {analysis.key: analysis for analysis in analyses}
    rows = "".join(_provenance_row(record) for record in unique.values())
    stale = sum(each.stale for each in (*unique.values(), *measured.values()))
    warning = f" · {stale} {_STALE}" if stale else ""
    seconds = sum(record.seconds for record in unique.values() if record.prefix_of is None)
    if unique:
        summary = (
            f"Made from {len(unique)} recorded runs, {seconds / 60:.1f} minutes of training"
            f"{warning}. Repeat any of these runs with <code>.venv/bin/kdutils run KEY</code>."
        )
        table = (
            "<table><thead><tr><th>key</th><th>run</th><th>part</th><th>correct</th><th>seconds</th>"
            "<th>finished</th><th>computed with</th><th>file</th></tr></thead>"
            f"<tbody>{rows}</tbody></table>"
        )
    else:
        summary = (
            f"Made from recorded measurements ({len(measured)}) that need no training{warning}. "
            "Repeat them with <code>.venv/bin/kdutils report --fresh --notebook NAME</code>, the "
            "name of this page."
        )
        table = ""
    display.display(
        display.HTML(
            f'<details class="provenance"><summary>{summary}</summary>'
            f"{table}{_measurements(measured.values())}</details>"
        )
    )


def _measurements(analyses) -> str:
    if not analyses:
        return ""
    rows = "".join(_analysis_row(analysis) for analysis in analyses)
    return (
        "<table><thead><tr><th>key</th><th>measured by</th><th>on</th><th>seconds</th>"
        "<th>finished</th><th>computed with</th><th>file</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )


_STALE = (
    '<span class="stale-badge" title="the code has changed since; kdutils runs --stale">'
    "stale</span>"
)


def _provenance_row(record) -> str:
    backend = record.backend
    cells = [
        f"<code>{record.key}</code> {_STALE if record.stale else ''}",
        html.escape(record.run.label),
        record.part,
        f"{record.metrics['correct']} of {record.metrics['count']}",
        "snapshot" if record.prefix_of else f"{record.seconds:.0f}",
        record.finished[:10],
        html.escape(f"{backend} {record.versions[backend]}, {_where(record)}"),
        html.escape(f"{record.study}.jsonl"),
    ]
    return _row(cells)


def _analysis_row(analysis) -> str:
    return _row(
        [
            f"<code>{analysis.key}</code> {_STALE if analysis.stale else ''}",
            html.escape(analysis.function),
            f"{len(analysis.runs)} models",
            f"{analysis.seconds:.0f}",
            analysis.finished[:10],
            html.escape(f"keras {analysis.versions['keras']}, {_where(analysis)}"),
            html.escape(f"{analysis.study}.jsonl"),
        ]
    )


def _where(record) -> str:
    return f"{record.machine['processor']}, {record.machine['cores']} cores"


def _row(cells) -> str:
    return "<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>"
