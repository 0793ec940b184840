"""`ginr.ray`: a column of pictures in a pipeline of Ray Data: pytest tests/test_ray.py"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ginr

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray Data's own


def test_what_is_wrong_is_said_before_workers_start() -> None:
    import ginr.ray

    with pytest.raises(ginr.SizeError, match="scale '99' is too large"):
        ginr.ray.upscale(None, scale=99)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword argument 'tiles'"):
        ginr.ray.upscale(None, tiles=3)  # type: ignore[arg-type]


def test_a_row_without_the_column_names_those_there_are(
    tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ginr.ray import _Enlarging

    monkeypatch.setattr("ginr.kernels.threads.limit_threads", lambda count: None)
    settings = {"model": tiny_checkpoint, "scale": None, "height": 9, "width": 10}
    worker = _Enlarging("image", "large", settings)
    with pytest.raises(ginr.GinrError, match="no column 'image': there are n, picture"):
        worker({"n": 1, "picture": 2})
    assert worker({"image": np.zeros((5, 5), np.uint8)})["large"].shape == (9, 10)


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
