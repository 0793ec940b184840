"""The protocol of `ginr evaluate` against values computed by hand.

Run: pytest tests/measuring/test_benchmark.py
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage

from ginr.array_types import Image
from ginr.errors import SizeError
from ginr.measuring.benchmark import Score, mean, reference, score, trial
from ginr.measuring.metrics import psnr_y
from ginr.pictures import Picture
from ginr.pictures.resize import benchmark_pair, bicubic_8bit


def noise(height: int, width: int, channels: int = 3) -> Image:
    return np.random.randint(0, 256, (height, width, channels)).astype(np.uint8)


def test_reference_is_eight_bit_without_alpha() -> None:
    deep = np.array([0, 128, 129, 65535], np.uint16).reshape(1, 1, 4)
    samples, notes = reference(Picture(deep))
    assert samples.dtype == np.uint8 and samples.tolist() == [[[0, 0, 1]]]  # 65535 / 255 = 257
    assert notes == ("measured without its alpha", "measured at 8 bit")
    grey = noise(2, 3, 2)
    np.testing.assert_array_equal(reference(Picture(grey))[0], grey[..., :1])
    rgb = noise(2, 3)
    samples, notes = reference(Picture(rgb))
    assert notes == () and (samples == rgb).all()


def test_trial_leaves_a_window_of_ssim_inside_the_border() -> None:
    hr = noise(42, 30)
    crop, lr, border = trial(hr, 3.7)
    assert (crop.shape[:2], lr.shape[:2], border) == ((41, 30), (11, 8), 4)
    np.testing.assert_array_equal(lr, benchmark_pair(hr, 3.7)[1])
    assert trial(noise(16, 40), 2)[0].shape[0] == 16
    with pytest.raises(SizeError, match="40x15 pixels are too few to measure x2: 11 must be left"):
        trial(noise(15, 40), 2)  # cut to 14 rows, of which 10 are inside
    with pytest.raises(SizeError, match="too few to shrink"):
        trial(noise(3, 40), 4)


def test_a_perfect_result_and_bicubic_itself() -> None:
    hr = noise(40, 50)
    perfect = score("a.png", hr, 2, lambda lr, height, width: hr)
    assert (perfect.picture, perfect.scale, perfect.height, perfect.width) == ("a.png", 2, 40, 50)
    assert perfect.psnr_y == perfect.psnr_rgb == perfect.gain_y == math.inf
    assert perfect.ssim_y == pytest.approx(1) and perfect.is_exact
    assert 0 < perfect.ssim_y_bicubic < 1 and 0 < perfect.psnr_y_bicubic < 20
    same = score("a.png", hr, 2, bicubic_8bit)
    assert same.gain_y == 0 and not same.is_exact
    assert same.psnr_y == same.psnr_y_bicubic == perfect.psnr_y_bicubic
    assert (same.psnr_rgb, same.ssim_y) == (same.psnr_rgb_bicubic, same.ssim_y_bicubic)


def test_a_result_that_is_off_by_ten() -> None:
    hr = np.full((40, 40, 3), 100, np.uint8)
    off = score("a.png", hr, 2, lambda lr, height, width: hr + 10)
    assert off.psnr_rgb == pytest.approx(20 * math.log10(25.5))
    assert off.psnr_y == pytest.approx(20 * math.log10(25.5 * 255 / 219))
    assert off.psnr_y_bicubic == math.inf and off.gain_y == -math.inf and off.is_exact
    x, y = 16 + 100 * 219 / 255, 16 + 110 * 219 / 255
    assert off.ssim_y == pytest.approx((2 * x * y + 6.5025) / (x * x + y * y + 6.5025))
    flat = score("a.png", hr, 2, bicubic_8bit)
    assert flat.psnr_y == math.inf and flat.gain_y == 0


@pytest.mark.parametrize("channels", [1, 3])
def test_lanczos_goes_on_from_x4(channels: int) -> None:
    hr = noise(60, 72, channels)
    sizes = []

    def upscaler(lr: Image, height: int, width: int) -> Image:
        sizes.append((*lr.shape[:2], height, width))
        return bicubic_8bit(lr, height, width)

    assert score("a.png", hr, 4, upscaler).psnr_y_x4_lanczos is None
    assert sizes == [(15, 18, 60, 72)]
    found = score("a.png", hr, 6, upscaler).psnr_y_x4_lanczos
    assert sizes[1:] == [(10, 12, 60, 72), (10, 12, 40, 48)]
    large = bicubic_8bit(trial(hr, 6)[1], 40, 48).squeeze()
    resized = PillowImage.fromarray(large).resize((72, 60), PillowImage.Resampling.LANCZOS)
    assert found == psnr_y(hr, np.asarray(resized).reshape(hr.shape), 6)


def test_mean_and_the_worst_gain() -> None:
    first = score("a.png", noise(40, 40), 2, bicubic_8bit)
    second = replace(
        first, picture="b.png", psnr_y=first.psnr_y - 1, gain_y=-1.0, ssim_y=first.ssim_y - 0.5
    )
    both = mean([first, second])
    assert (both.scale, both.pictures) == (2, 2)
    assert (both.worst_gain_y, both.worst_picture) == (-1, "b.png")
    assert both.psnr_y == pytest.approx(first.psnr_y - 0.5)
    assert both.ssim_y == pytest.approx(first.ssim_y - 0.25)
    assert both.psnr_y_bicubic == first.psnr_y_bicubic and both.gain_y == -0.5
    assert both.psnr_y_x4_lanczos is None
    large: list[Score] = [replace(first, psnr_y_x4_lanczos=value) for value in (20.0, 30.0)]
    assert mean(large).psnr_y_x4_lanczos == 25
