"""The LP reports as one picture: similarity, places, norms, reach, and the history of a run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ginr.architecture.tokens import window_plan
from ginr.checkpoints.checkpoint import Checkpoint
from ginr.lps.chart import DIVERGING, FAINT, GREY, LINES, SEQUENTIAL, Curve, Frame, Page, Values
from ginr.lps.history import LpMoment
from ginr.lps.measures import similarity
from ginr.lps.reach import Reach
from ginr.lps.report import LpReport
from ginr.lps.response import PictureReport
from ginr.pictures import Picture

SIDE = 256  # of a chart, in pixels of the page
COLUMN, ROW = SIDE + 78, SIDE + 106
LEFT, HEAD, FOOT = 40, 112, 8
WIDTH = LEFT + 5 * COLUMN
MOST_SHOWN = 512  # LPs in a similarity matrix; of more, every second, third, ... is shown
FLOOR = -6  # smallest power of ten shown in maps of squares
CIRCLES = (0.5, 0.9, 0.99)  # shares of the sum whose radii are drawn as circles
MOST_PLOTTED = 0.999  # share at which curves of shares end
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Section:
    """What is drawn for one checkpoint."""

    name: str
    checkpoint: Checkpoint
    report: LpReport
    picture: PictureReport | None = None
    history: Sequence[LpMoment] = ()


def draw(sections: Sequence[Section]) -> Picture:
    """One page with all sections, from top to bottom."""
    n_rows = [1 + (one.picture is not None) + bool(one.history) for one in sections]
    page = Page(WIDTH, sum(HEAD + ROW * n - 56 + FOOT for n in n_rows) + 24)
    y = 0
    for section, n_row in zip(sections, n_rows, strict=True):
        report = section.report
        page.text(LEFT, y + 16, section.name, 24)
        about = f"{report.n_lp} position tokens (LPs) of width {report.width} in a window of "
        about += f"{report.window}x{report.window} pixels, placement {report.placement}"
        page.text(WIDTH - 40, y + 24, about, 13, GREY, "ra")
        _checkpoint(page, y + HEAD, section)
        if section.picture is not None:
            _picture(page, y + HEAD + ROW, section.picture)
        if section.history:
            _history(page, y + HEAD + (n_row - 1) * ROW, section.history)
        y += HEAD + ROW * n_row - 56 + FOOT
    return Picture(np.ascontiguousarray(page.pixels()))


def _frame(y: int, column: int, title: str, note: str = "") -> Frame:
    return Frame(LEFT + column * COLUMN, y, SIDE, title, note)


def _checkpoint(page: Page, y: int, section: Section) -> None:
    report = section.report
    every = -(-report.n_lp // MOST_SHOWN)
    matrix = similarity(section.checkpoint.weights["lps"][::every]).numpy()
    note = "cosine, in the order of the sequence" + f", every {every}th" * (every > 1)
    page.heat_map(_frame(y, 0, "Similarity", note), matrix, -1, 1, DIVERGING)
    _placement(
        page, _frame(y, 1, "Placement", "the curve through the tokens, a dot per LP"), section
    )
    side = report.lp_side or report.token_side
    norms = _on_grid(
        np.array(report.places), np.array(report.norms), report.window / side, (side, side)
    )
    note = "at the place of each LP" if report.lp_side else "mean over the LPs at each token"
    high = float(np.nanmax(norms))
    page.heat_map(_frame(y, 2, "Norms", note), norms, 0, high, SEQUENTIAL)
    values = report.singular_values
    curve = Curve(range(1, len(values) + 1), values)
    page.curves(_frame(y, 3, "Singular values", "of the matrix of LPs"), [curve], "number")
    _numbers(page, _frame(y, 4, "Numbers"), report)


def _placement(page: Page, frame: Frame, section: Section) -> None:
    """The tokens of a window, the curve they are read along, and the LPs."""
    report = section.report
    blank = np.full((report.token_side, report.token_side, 3), 255, np.uint8)
    left, top, cell = page.picture(frame, blank)
    end = cell * report.token_side
    for k in range(report.token_side + 1):
        page.line([(left, top + k * cell), (left + end, top + k * cell)], FAINT, 0.8)
        page.line([(left + k * cell, top), (left + k * cell, top + end)], FAINT, 0.8)
    y, x = np.divmod(window_plan(section.checkpoint.config).curves[0], report.token_side)
    steps = zip((left + (x + 0.5) * cell).tolist(), (top + (y + 0.5) * cell).tolist(), strict=True)
    page.line(list(steps), LINES[0], 1.2)
    pixel = end / report.window
    places, counts = np.unique(np.array(report.places), axis=0, return_counts=True)
    radius = max(1.0, min(3.0, 0.22 * end / max(1.0, report.n_lp**0.5)))
    for (y, x), count in zip(places.tolist(), counts.tolist(), strict=True):
        size = min(radius * count**0.5, cell / 2)
        page.circle(left + (x + 0.5) * pixel, top + (y + 0.5) * pixel, size, LINES[1], full=True)


def _numbers(page: Page, frame: Frame, report: LpReport) -> None:
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
    _table(page, frame, rows)


def _picture(page: Page, y: int, report: PictureReport) -> None:
    height, width = report.part.shape[:2]
    worth = report.equal_lps_db
    note = f"{width}x{height} pixels" + (
        "" if worth is None else f"; all LPs made equal: {worth:+.3f} dB at x2"
    )
    page.picture(_frame(y, 0, f"Encoded: {report.picture}", note), report.part)
    note = f"diversity {report.diversity:.3f}, effective rank {report.effective_rank:.1f}"
    frame = _frame(y, 1, "Norms of the encoded LPs", note)
    shape = len(np.unique(report.places[:, 0])), len(np.unique(report.places[:, 1]))
    norms = _on_grid(report.places, report.norms, report.pitch, shape)
    page.heat_map(frame, norms, 0, float(np.nanquantile(norms, 0.99)), SEQUENTIAL)
    effect, sight = report.effect, report.sight
    _around(
        page, _frame(y, 2, "Changed when an LP is zeroed", _summary(effect, "the change")), effect
    )
    _around(page, _frame(y, 3, "Seen by an LP", _summary(sight, "the gradient")), sight)
    n = 1 + max(reach.radii.index(reach.radius(MOST_PLOTTED)) for reach in (effect, sight))
    curves = [
        Curve(reach.radii[:n], reach.share[:n], label)
        for reach, label in ((effect, "changed"), (sight, "seen"))
    ]
    frame = _frame(y, 4, "Share of the squares within a radius", "of the two maps on the left")
    page.curves(frame, curves, "LR pixels from the LP", high=1.0)


def _summary(reach: Reach, what: str) -> str:
    near = f"99% of {what} within {reach.radius(0.99):g} px"
    return f"{near}, {reach.own_window:.0%} in its window"


def _around(page: Page, frame: Frame, reach: Reach) -> None:
    """Squares around an LP in powers of ten, with circles that contain a share of them."""
    powers = np.log10(np.maximum(reach.around, 10.0**FLOOR))
    ticks = [(float(k), f"1e{k}" if k else "1") for k in range(FLOOR, 1, 2)]
    left, top, cell = page.heat_map(frame, powers, FLOOR, 0, SEQUENTIAL, ticks)
    middle = len(powers) * cell / 2
    for share in CIRCLES:
        radius = reach.radius(share) * reach.per_pixel * cell
        page.circle(left + middle, top + middle, radius, WHITE)


def _history(page: Page, y: int, history: Sequence[LpMoment]) -> None:
    steps = [moment.step for moment in history]
    curve = Curve(steps, [moment.diversity for moment in history])
    page.curves(_frame(y, 0, "Diversity", "of the run"), [curve], "step", high=1.0)
    ranked = [moment for moment in history if moment.effective_rank is not None]
    if ranked:
        ranks = [moment.effective_rank or 0.0 for moment in ranked]
        curve = Curve([moment.step for moment in ranked], ranks)
        page.curves(_frame(y, 1, "Effective rank", "of the run"), [curve], "step")
    last = history[-1]
    rows = [("steps", str(last.step)), ("minutes", f"{last.minutes:.1f}")]
    _table(page, _frame(y, 2, "The run so far"), rows)


def _table(page: Page, frame: Frame, rows: Sequence[tuple[str, str]]) -> None:
    page.text(frame.x, frame.y - 40, frame.title, 15)
    for k, (name, number) in enumerate(rows):
        y = frame.y + 26 * k
        page.text(frame.x, y, name, 13, GREY)
        page.text(frame.x + frame.side, y, number, 13, anchor="ra")


def _on_grid(places: Values, values: Values, pitch: float, shape: tuple[int, int]) -> Values:
    """Values (n,) at places (n, 2) in LR pixels as means in the cells of a grid; NaN if empty."""
    y, x = np.clip(np.floor((places + 0.5) / pitch).astype(int), 0, np.array(shape) - 1).T
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (y, x), values)
    np.add.at(count, (y, x), 1)
    grid: Values = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return grid
