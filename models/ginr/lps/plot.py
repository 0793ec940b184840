"""The LP reports as one picture: similarity, places, norms, reach, and the history of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING
from warnings import catch_warnings

import numpy as np

from ginr.architecture.tokens import window_plan
from ginr.array_types import Doubles
from ginr.checkpoints.checkpoint import Checkpoint
from ginr.errors import GinrError
from ginr.lps.history import LpMoment
from ginr.lps.measures import similarity
from ginr.lps.reach import Reach
from ginr.lps.report import LpReport
from ginr.lps.response import PictureReport
from ginr.pictures import Picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIDE = 4.2  # inches of the page for each chart
DPI = 85
LINE = 48  # letters of a title above a chart
STYLE = {
    "axes.facecolor": "gainsboro",  # seen where a map has no value
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "font.size": 9,
    "text.parse_math": False,  # a file name may contain a dollar sign
}
MOST_SHOWN = 512  # LPs in a similarity matrix; of more, every second, third, ... is shown
FLOOR = 1e-6  # smallest square shown
CIRCLES = (0.5, 0.9, 0.99)  # shares of the sum whose radii are drawn as circles
MOST_PLOTTED = 0.999  # share at which curves of shares end


@dataclass(frozen=True)
class Section:
    """What to draw for one checkpoint."""

    name: str
    checkpoint: Checkpoint
    report: LpReport
    picture: PictureReport | None = None
    history: Sequence[LpMoment] = ()


def draw(sections: Sequence[Section]) -> Picture:
    """One page with all sections, from top to bottom. Raises GinrError without matplotlib."""
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise GinrError("a plot needs matplotlib: pip install 'ginr[plot]'") from None

    n_rows = [1 + (one.picture is not None) + bool(one.history) for one in sections]
    with rc_context(STYLE), catch_warnings(action="ignore"):  # of letters that the font lacks
        figure = Figure((5 * SIDE, SIDE * sum(n_rows)), DPI, layout="constrained")
        parts = figure.subfigures(len(sections), 1, squeeze=False, height_ratios=n_rows)
        for part, section, n_row in zip(parts[:, 0], sections, n_rows, strict=True):
            report = section.report
            about = f"{report.n_lp} position tokens (LPs) of width {report.width} "
            about += f"in every {'token' if report.bank == 'place' else 'window'}, windows of "
            about += f"{report.window}x{report.window} pixels, placement {report.placement}"
            part.suptitle(f"{section.name}: {about}", fontsize="large")
            rows = part.subplots(n_row, 5, squeeze=False)
            _checkpoint(rows[0], section)
            if section.picture is not None:
                _picture(rows[1], section.picture)
            if section.history:
                _history(rows[-1], section.history)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
    return Picture(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))


def _checkpoint(row: "Sequence[Axes]", section: Section) -> None:
    report = section.report
    every = -(-report.n_lp // MOST_SHOWN)
    matrix = similarity(section.checkpoint.weights["lps"][::every]).numpy()
    note = "cosine, in the order of the sequence" + f", every {every}th" * (every > 1)
    _map(row[0], f"Similarity\n{note}", matrix, cmap="RdBu_r", vmin=-1, vmax=1)
    _placement(row[1], section)
    side = report.lp_side or report.token_side
    norms = _on_grid(
        np.array(report.places), np.array(report.norms), report.window / side, (side, side)
    )
    note = "at the place of each LP" if report.lp_side else "mean over the LPs at each token"
    _map(row[2], f"Norms\n{note}", norms, vmin=0)
    values = report.singular_values
    title = "Singular values\nof the matrix of LPs"
    _curves(row[3], title, "number", {"": (range(1, len(values) + 1), values)})
    _numbers(row[4], report)


def _placement(axes: "Axes", section: Section) -> None:
    """The tokens of a window, the curve they are read along, and the LPs."""
    report = section.report
    pitch = report.window / report.token_side
    y, x = np.divmod(window_plan(section.checkpoint.config).curves[0], report.token_side)
    axes.plot((x + 0.5) * pitch - 0.5, (y + 0.5) * pitch - 0.5)
    places, counts = np.unique(np.array(report.places), axis=0, return_counts=True)
    axes.scatter(places[:, 1], places[:, 0], counts * min(40, 5000 / report.n_lp), "C1", zorder=2)
    ends = -0.5, report.window - 0.5
    axes.set_title("Placement\nthe curve through the tokens, a dot per vector")
    axes.set(box_aspect=1, facecolor="white", xlim=ends, ylim=ends[::-1])
    borders = np.linspace(*ends, report.token_side + 1)
    axes.set_xticks(borders, [""] * len(borders))
    axes.set_yticks(borders, [""] * len(borders))
    axes.grid(color="gainsboro")
    axes.tick_params(length=0)


def _numbers(axes: "Axes", report: LpReport) -> None:
    rows = [
        ("diversity", f"{report.diversity:.4f}"),
        ("effective rank", f"{report.effective_rank:.1f} of {min(report.n_lp, report.width)}"),
        ("norm, mean", f"{report.norm_mean:.3f}"),
        ("norm, smallest to largest", f"{report.norm_min:.3f} to {report.norm_max:.3f}"),
    ]
    if report.nearest:
        rows.append(("most similar pair", f"{report.nearest[0].similarity:.3f}"))
    if (explained := report.explained) is not None:
        rows += [
            ("explained by the row", f"{explained.row:.0%}"),
            ("by the column", f"{explained.column:.0%}"),
            ("by row and column", f"{explained.row_and_column:.0%}"),
            ("by chance", f"{explained.by_chance:.0%}"),
        ]
    _table(axes, "Numbers", rows)


def _picture(row: "Sequence[Axes]", report: PictureReport) -> None:
    height, width = report.part.shape[:2]
    changes = [f"{change.replace('_', ' ')} {db:+.2f}" for change, db in report.changed_db.items()]
    note = f"{width}x{height} pixels"
    if changes:
        note += "\n" + fill(f"dB at x2: {', '.join(changes)}", LINE)
    row[0].imshow(report.part)
    row[0].set_axis_off()
    row[0].set_title(f"Encoded: {report.picture}\n{note}")
    note = f"diversity {report.diversity:.3f}, effective rank {report.effective_rank:.1f}"
    shape = len(np.unique(report.places[:, 0])), len(np.unique(report.places[:, 1]))
    norms = _on_grid(report.places, report.norms, report.pitch, shape)
    most = float(np.nanquantile(norms, 0.99))
    _map(row[1], f"Norms of the encoded LPs\n{note}", norms, vmin=0, vmax=most)
    effect, sight = report.effect, report.sight
    _around(row[2], "Changed when an LP is zeroed", "the change", effect)
    _around(row[3], "Seen by an LP", "the gradient", sight)
    title = "Share of the squares within a radius\nof the two maps on the left"
    n = 1 + max(reach.radii.index(reach.radius(MOST_PLOTTED)) for reach in (effect, sight))
    shares = {
        label: (reach.radii[:n], reach.share[:n])
        for label, reach in (("changed", effect), ("seen", sight))
    }
    _curves(row[4], title, "LR pixels from the LP", shares, high=1.02)


def _around(axes: "Axes", title: str, what: str, reach: Reach) -> None:
    """Squares around an LP on a logarithmic scale, with circles that contain a share of them."""
    from matplotlib.patches import Circle

    note = f"99% of {what} within {reach.radius(0.99):g} px, {reach.own_window:.0%} in its window"
    end = len(reach.around) / 2 / reach.per_pixel
    squares, extent = np.maximum(reach.around, FLOOR), (-end, end, end, -end)
    _map(axes, f"{title}\n{note}", squares, norm="log", vmin=FLOOR, vmax=1, extent=extent)
    for share in CIRCLES:
        axes.add_patch(Circle((0, 0), reach.radius(share), fill=False, color="white"))


def _history(row: "Sequence[Axes]", history: Sequence[LpMoment]) -> None:
    steps = [moment.step for moment in history]
    diversity = [moment.diversity for moment in history]
    _curves(row[0], "Diversity\nof the run", "step", {"": (steps, diversity)}, high=1.02)
    ranks = [moment.effective_rank or 0.0 for moment in history]  # 0 where none was logged
    _curves(row[1], "Effective rank\nof the run", "step", {"": (steps, ranks)})
    last = history[-1]
    rows = [("steps", str(last.step)), ("minutes", f"{last.minutes:.1f}")]
    _table(row[2], "The run so far", rows)
    for axes in row[3:]:
        axes.set_axis_off()


def _map(axes: "Axes", title: str, values: Doubles, **style: object) -> None:
    """Values (h, w) as colours, with a colour bar."""
    image = axes.imshow(values, **{"cmap": "inferno"} | style)
    axes.set_title(title)
    axes.set(xticks=[], yticks=[], box_aspect=1)
    axes.figure.colorbar(image, cax=axes.inset_axes((1.03, 0, 0.04, 1)), format="{x:g}")


def _curves(
    axes: "Axes",
    title: str,
    x_label: str,
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    high: float | None = None,
) -> None:
    """Curves (x, y) by their labels, over axes that start at zero."""
    for label, (x, y) in curves.items():
        axes.plot(x, y, label=label)
    axes.set_title(title)
    high = high or 1.05 * max(max(y) for _, y in curves.values()) or 1.0
    axes.set(box_aspect=1, facecolor="white", xlabel=x_label, xlim=(0, None), ylim=(0, high))
    axes.grid(color="gainsboro")
    if len(curves) > 1:
        axes.legend()


def _table(axes: "Axes", title: str, rows: Sequence[tuple[str, str]]) -> None:
    axes.set_title(title)
    axes.set(box_aspect=1)
    axes.set_axis_off()
    for k, (name, number) in enumerate(rows):
        axes.text(0, 0.9 - 0.1 * k, name, color="dimgray")
        axes.text(1, 0.9 - 0.1 * k, number, ha="right")


def _on_grid(places: Doubles, values: Doubles, pitch: float, shape: tuple[int, int]) -> Doubles:
    """Values (n,) at places (n, 2) in LR pixels as means in the cells of a grid; NaN if empty."""
    y, x = np.clip(np.floor((places + 0.5) / pitch).astype(int), 0, np.array(shape) - 1).T
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (y, x), values)
    np.add.at(count, (y, x), 1)
    grid: Doubles = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return grid
