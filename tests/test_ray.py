"""`ginr.ray`: a column of pictures in a pipeline of Ray Data: pytest tests/test_ray.py"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray Data's own


def test_a_column_is_enlarged_as_pictures_are(cluster: Any, tiny_checkpoint: Path) -> None:
    import ginr.ray

    data = pytest.importorskip("ray.data")
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 255, (9 + k, 12, 3), np.uint8) for k in range(5)]
    rows = data.from_items([{"n": n, "image": picture} for n, picture in enumerate(pictures)])
    made = ginr.ray.upscale(rows, to="large", model=tiny_checkpoint, scale="1.5", workers=1)
    found = {row["n"]: row for row in made.take_all()}
    assert len(found) == 5
    for n, picture in enumerate(pictures):
        large = ginr.upscale(picture, tiny_checkpoint, scale="1.5")
        assert np.abs(np.asarray(found[n]["large"]).astype(int) - large).max() <= 1
        assert np.array_equal(found[n]["image"], picture)
