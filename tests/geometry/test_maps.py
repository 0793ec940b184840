"""Maps of warps: places, Jacobians, and what is refused: pytest tests/geometry/test_maps.py"""

from pathlib import Path

import numpy as np
import pytest

from ginr.errors import GinrError
from ginr.geometry.maps import (
    Map,
    Projective,
    Table,
    page_size,
    read_map,
    straightening,
    turned_frame,
    turning,
)

PAGE = [(100.0, 30.0), (300.0, 60.0), (320.0, 240.0), (60.0, 200.0)]


def test_scaling_puts_pixels_where_an_enlargement_has_them() -> None:
    places, jacobian = turning((10, 20), (10, 20), (30, 30)).at((0, 0, 30, 30))
    np.testing.assert_allclose(places[:, 0, 0], (np.arange(30) + 0.5) / 3 - 0.5)
    np.testing.assert_allclose(places[0, :, 1], (np.arange(30) + 0.5) / 1.5 - 0.5)
    np.testing.assert_allclose(jacobian[7, 8], [[1 / 3, 0], [0, 2 / 3]])


def test_a_turn_is_counter_clockwise_about_the_centre_and_a_shift_comes_after_it() -> None:
    # The pixel that the input has at its right end is at the top after a quarter turn.
    places, _ = turning((5, 9), (9, 5), (9, 5), degrees=90).at((0, 2, 1, 3))
    np.testing.assert_allclose(places[0, 0], (2, 8))
    # Two up as seen, so the pixel shown at row 0 is the one that was at row 2.
    moved, _ = turning((5, 9), (9, 5), (9, 5), degrees=90, shift=(-2, 0)).at((0, 2, 1, 3))
    np.testing.assert_allclose(moved[0, 0], (2, 6))


@pytest.mark.parametrize(
    ("degrees", "frame"),
    [(0, (60, 80)), (90, (80, 60)), (-180, (60, 80)), (450, (80, 60)), (45, (99, 99))],
)
def test_the_frame_of_a_turned_picture(degrees: float, frame: tuple[int, int]) -> None:
    assert turned_frame((60, 80), degrees) == frame


def test_a_page_is_straightened_from_corner_to_corner() -> None:
    height, width = page_size(PAGE)
    assert (height, width) == (181, 263)
    plane = straightening(PAGE, (2 * height, 2 * width))
    corner = (plane.matrix @ (2 * height, 2 * width, 1)).T
    np.testing.assert_allclose((corner / corner[2])[:2], (240, 320))
    places, _ = plane.at((0, 0, 1, 1))
    np.testing.assert_allclose(places[0, 0], (29.5, 99.5), atol=1)
    whole = straightening([(0, 0), (80, 0), (80, 60), (0, 60)], (60, 80))
    np.testing.assert_allclose(whole.matrix, np.eye(3), atol=1e-12)


@pytest.mark.parametrize(
    "corners",
    [
        [PAGE[0], PAGE[0], PAGE[2], PAGE[3]],
        [(0, 0), (10, 0), (20, 0), (30, 0)],
        [PAGE[0], PAGE[2], PAGE[1], PAGE[3]],
        PAGE[::-1],
        [(0, 0), (100, 0), (20, 20), (0, 100)],
        [(float("nan"), 0), (10, 0), (10, 10), (0, 10)],
    ],
)
def test_corners_that_make_no_page(corners: list[tuple[float, float]]) -> None:
    with pytest.raises(GinrError, match="not form a convex quadrilateral"):
        straightening(corners, (50, 50))


def test_what_is_behind_the_viewer_is_nowhere() -> None:
    plane = Projective(np.array([[1.0, 0, 0], [0, 1, 0], [-0.1, 0, 1]]))
    places, jacobian = plane.at((0, 0, 20, 3))
    assert np.isfinite(places[:9]).all() and np.isinf(places[10:]).all()
    assert np.isfinite(jacobian).all()


@pytest.mark.parametrize(
    "mapping",
    [turning((30, 40), (30, 40), (60, 80), degrees=33), straightening(PAGE, (60, 80))],
)
def test_jacobians_are_the_differences_of_places_and_boxes_parts_of_the_whole(mapping: Map) -> None:
    places, jacobian = mapping.at((0, 0, 60, 80))
    across = (places[20, 42] - places[20, 40]) / 2
    np.testing.assert_allclose(jacobian[20, 41, :, 1], across, rtol=1e-3)
    table = Table(places[..., ::-1])
    assert table.size == (60, 80)
    for box in ((0, 0, 60, 80), (10, 20, 30, 40), (59, 79, 60, 80), (0, 0, 1, 1)):
        part = np.s_[box[0] : box[2], box[1] : box[3]]
        for one in (mapping, table):
            some, slopes = one.at(box)
            np.testing.assert_allclose(some, places[part])
            np.testing.assert_allclose(slopes, jacobian[part], rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((4, 5)), r"a map of float64 with shape \(4, 5\)"),
        (np.zeros((4, 5, 3)), r"shape \(4, 5, 3\)"),
        (np.zeros((1, 5, 2)), r"shape \(1, 5, 2\)"),
        (np.zeros((4, 5, 2), int), "a map of int64"),
        (np.zeros((4, 5, 2), complex), "a map of complex128"),
        (np.full((4, 5, 2), np.nan), "NaN"),
        (np.full((4, 5, 2), np.inf), "infinite"),
    ],
)
def test_arrays_that_are_no_maps(tmp_path: Path, array: np.ndarray, words: str) -> None:
    np.save(tmp_path / "map.npy", array)
    with pytest.raises(GinrError, match=f"map.npy: .*{words}"):
        read_map(tmp_path / "map.npy")


def test_files_that_are_no_maps(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "several.npz", a=np.zeros(3))
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").write_bytes(b"")
    whole = tmp_path / "whole.npy"
    np.save(whole, np.zeros((40, 50, 2)))
    (tmp_path / "cut.npy").write_bytes(whole.read_bytes()[:-1000])
    for name in ("object.npy", "several.npz", "text.npy", "empty.npy", "cut.npy"):
        with pytest.raises(GinrError, match=f"{name} is not an array of numbers"):
            read_map(tmp_path / name)
    with pytest.raises(GinrError, match=r"missing.npy cannot be read \(No such file"):
        read_map(tmp_path / "missing.npy")
    assert read_map(whole).size == (40, 50)
