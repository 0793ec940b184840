"""Pixel centres by hand, and that the two directions of the convention agree.

Run: pytest tests/geometry/test_coords.py
"""

import numpy as np
import pytest
import torch

from ginr.geometry.coords import pixel_centres, render_grid, to_lattice


@pytest.mark.parametrize(
    ("n", "centres"), [(1, [0.0]), (2, [-0.5, 0.5]), (3, [-2 / 3, 0.0, 2 / 3])]
)
def test_centres_by_hand(n: int, centres: list[float]) -> None:
    np.testing.assert_allclose(pixel_centres(n), centres, atol=1e-15)


def test_a_part_of_the_centres() -> None:
    assert np.array_equal(pixel_centres(10, 3, 7), pixel_centres(10)[3:7])


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_centres_are_whole_on_their_own_lattice(n: int) -> None:
    np.testing.assert_allclose(to_lattice(pixel_centres(n), n), np.arange(n), atol=1e-13)


def test_edges_are_half_a_cell_outside() -> None:
    edges = torch.tensor([-1.0, 1.0])
    assert to_lattice(edges, 7).tolist() == [-0.5, 6.5]


def test_twice_the_size_halves_every_pixel() -> None:
    # Pixel 0 of 4 becomes pixels 0 and 1 of 8, a quarter of a pixel to either side.
    assert to_lattice(pixel_centres(8), 4)[:2].tolist() == [-0.25, 0.25]


def test_cells_tile_the_picture() -> None:
    rows, columns, cell = render_grid((4, 5), (0, 0, 4, 5), (8, 20), (0, 0))
    assert cell == (2, 4)
    np.testing.assert_allclose(np.diff(rows), 2)
    np.testing.assert_allclose(np.diff(columns), 4)
    np.testing.assert_allclose((rows[0], columns[0]), (0.5, 1.5))


def test_a_part_counts_from_its_origin() -> None:
    rows, columns, _ = render_grid((4, 5), (1, 2, 3, 5), (8, 20), (2, 4))
    whole = render_grid((4, 5), (0, 0, 4, 5), (8, 20), (0, 0))
    np.testing.assert_allclose(rows, whole[0][1:3] - 2)
    np.testing.assert_allclose(columns, whole[1][2:5] - 4)
