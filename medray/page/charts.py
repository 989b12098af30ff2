"""Charts as inline SVG. Colours are CSS variables, so one drawing serves light and dark pages.

Text stays text: searchable, in the page's font. Equal figures give equal bytes.
"""

from __future__ import annotations

import io
import re

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402  the backend is chosen first
from matplotlib.figure import Figure as Canvas  # noqa: E402

INK, MUTED, GRID = "#010203", "#040506", "#070809"  # stand-ins, replaced by CSS variables in `to_svg`
SERIES = ("#0a0b01", "#0a0b02", "#0a0b03", "#0a0b04", "#0a0b05", "#0a0b06", "#0a0b07", "#0a0b08")
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid", **{c: f"--series-{i}" for i, c in enumerate(SERIES)}}

STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "legend.labelcolor": INK,
}


def to_svg(canvas: Canvas, name: str, title: str) -> str:
    """The drawing as one inline <svg> element: fluid width, colours as CSS variables, ids its own, no metadata."""
    canvas.tight_layout(w_pad=2.2)
    out = io.StringIO()
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        tight = {"bbox_inches": "tight", "pad_inches": 0.04, "transparent": True}
        canvas.savefig(out, format="svg", metadata={"Date": None}, **tight)
    plt.close(canvas)
    svg = out.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    # several drawings share one page: their ids must not meet
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(href="#|url\(#)([^")]+)', rf"\1{name}-\2", svg)
    for stand_in, variable in _VARIABLES.items():
        svg = svg.replace(stand_in, f"var({variable})")
    svg = svg.replace("'DejaVu Sans', ", "").replace("'DejaVu Sans'", "sans-serif")
    viewbox = re.search(r'viewBox="0 0 ([\d.]+) ', svg)
    assert viewbox, "matplotlib writes a viewBox"
    width = float(viewbox.group(1))
    attributes = f'role="img" aria-label="{title}" style="width:100%;max-width:{width:.0f}pt;height:auto"'
    return re.sub(r'<svg ([^>]*?)width="[^"]*"', rf"<svg {attributes} \1", svg, count=1).replace(
        re.search(r' height="[\d.]+pt"', svg).group(),
        "",
        1,  # type: ignore[union-attr]
    )
