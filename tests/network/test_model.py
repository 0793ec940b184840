"""The whole network: every arrangement of LPs, any picture, the same answer twice.

Run: pytest tests/network/test_model.py
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.errors import SizeError
from ginr.network import compiled_blocks, scan
from ginr.network.model import Ginr, initial_lps
from ginr.network.scan import backends
from ginr.network.sequences import sequence_layout

from .support import pixel_cell, pixel_grid

Make = Callable[[GinrConfig], Ginr]

ARRANGEMENTS: dict[str, dict[str, Any]] = {
    "dense": {},
    "dense, equidistant": {"placement": "equidistant"},
    "one each": {"n_lp": 16, "placement": "equidistant"},
    "one each, groups of one": {"n_lp": 16, "group": 1},
    "one each, raster": {"n_lp": 16, "placement": "equidistant", "order": "raster"},
    "sparse": {"patch": 1, "n_lp": 16, "placement": "equidistant"},
    "sparse, morton": {"patch": 1, "n_lp": 16, "placement": "equidistant", "order": "morton"},
    "very sparse": {"patch": 1, "n_lp": 4, "placement": "equidistant"},
    "finer than pixels": {"patch": 1, "n_lp": 256},
    "one in the middle": {"n_lp": 1, "placement": "middle"},
    "one anywhere": {"n_lp": 1, "placement": "random"},
    "large patches": {"patch": 4, "n_lp": 16},
    "one token": {"patch": 8, "n_lp": 4},
    "wide kernel": {"kernel": 5},
    "few scans": {"scan_every": 2},
    "narrow mixer": {"width": 32, "expand": 0.5},
    "one tap": {"n_tap": 1},
    "xavier": {"lp_init": "xavier"},
    "no base": {"base": "none"},
    "mamba": {"mixer": "mamba"},
    "transformer": {"mixer": "transformer"},
    "transformer, sinusoidal": {"mixer": "transformer", "positions": "sinusoidal"},
    "transformer, learned": {
        "mixer": "transformer",
        "positions": "learned",
        "n_lp": 16,
        "group": 1,
    },
    "transformer, rope": {"mixer": "transformer", "positions": "rope"},
}
NO_LPS = {"n_lp": 0, "content": "none"}


@pytest.mark.parametrize("content", ["none", "start", "blocks"])
@pytest.mark.parametrize("change", ARRANGEMENTS.values(), ids=ARRANGEMENTS)
def test_every_arrangement_runs(
    make_model: Make, tiny_config: GinrConfig, change: dict[str, Any], content: str
) -> None:
    model = make_model(dataclasses.replace(tiny_config, content=content, **change))
    with torch.no_grad():
        picture = model.encode(torch.rand(2, 3, 11, 18)).render((30, 41))
    assert picture.shape == (2, 3, 30, 41)
    assert picture.isfinite().all()
    assert picture.std() > 0.05


@pytest.mark.parametrize("decoder", ["lattice", "attention"])
@pytest.mark.parametrize("mixer", ["mamba2", "mamba", "transformer"])
def test_without_lps_the_tokens_are_decoded(
    make_model: Make, tiny_config: GinrConfig, mixer: Any, decoder: Any
) -> None:
    config = dataclasses.replace(tiny_config, mixer=mixer, decoder=decoder, **NO_LPS)
    model = make_model(config)
    assert not any("lp" in name for name in model.state_dict())
    pixels = torch.rand(2, 3, 11, 18)
    with torch.no_grad():
        field = model.encode(pixels)
        assert field.features.shape == (2, 6, 9, config.width)  # a token for 2x2 pixels
        picture = field.render((30, 41))
        assert picture.isfinite().all() and picture.std() > 0.05
        again = dataclasses.replace(field, features=torch.zeros_like(field.features))
        assert not torch.equal(again.render((30, 41)), picture)


@pytest.mark.parametrize("placement", ["equidistant", "middle", "n_group", "random"])
@pytest.mark.parametrize("n_lp", [16, 37, 256])
@pytest.mark.parametrize("mixer", ["mamba2", "mamba", "transformer"])
def test_every_mixer_takes_every_placement(
    tiny_config: GinrConfig, mixer: Any, n_lp: int, placement: Any
) -> None:
    positions: Any = "sinusoidal" if mixer == "transformer" else "none"
    model = Ginr(
        dataclasses.replace(
            tiny_config, window=16, mixer=mixer, positions=positions, n_lp=n_lp,
            placement=placement, decoder="attention", bank="window",
        )
    )  # fmt: skip
    with torch.no_grad():
        assert model.encode(torch.rand(1, 3, 16, 30)).render((20, 33)).isfinite().all()


@pytest.mark.parametrize(
    "change",
    [
        {"placement": "middle"},
        {"placement": "random"},
        {"n_lp": 7},
        {"order": "raster"},
        {"group": 3},
    ],
    ids=str,
)
def test_lps_without_a_lattice_are_refused_in_words(
    tiny_config: GinrConfig, change: dict[str, Any]
) -> None:
    config = dataclasses.replace(tiny_config, **change)
    with pytest.raises(ValueError, match=f"{config.n_lp} placed {config.placement} among 16"):
        Ginr(config)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 50), (8, 8), (17, 5)], ids=str)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_pictures_of_any_size(
    make_model: Make, tiny_config: GinrConfig, size: tuple[int, int], sparse: bool
) -> None:
    change = ARRANGEMENTS["sparse"] if sparse else {}
    model = make_model(dataclasses.replace(tiny_config, **change))
    with torch.no_grad():
        field = model.encode(torch.rand(1, 3, *size))
        picture = field.render((2 * size[0] + 1, 3 * size[1]))
        assert picture.isfinite().all()
        # Only LPs over the picture are kept: one per pixel, or per two pixels each way.
        pitch = 2 if sparse else 1
        assert field.features.shape[1:3] == tuple(-(-n // pitch) for n in size)


@pytest.mark.parametrize("size", [(1, 1), (3, 13), (11, 8)], ids=str)
def test_windows_are_filled_by_mirroring(tiny_model: Ginr, size: tuple[int, int]) -> None:
    pixels = torch.rand(1, 3, *size)
    pad = [(0, 0), (0, 0), *((0, -n % 8) for n in size)]
    mirrored = torch.from_numpy(np.pad(pixels.numpy(), pad, mode="symmetric"))
    with torch.no_grad():
        whole = tiny_model.encode(mirrored).features[:, : size[0], : size[1]]
        torch.testing.assert_close(tiny_model.encode(pixels).features, whole)


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (1, 1, 8, 8), (1, 3, 0, 8), (1, 3, 8, 0)])
def test_what_is_no_picture_is_refused(tiny_model: Ginr, shape: tuple[int, ...]) -> None:
    with pytest.raises(SizeError, match=str(shape[1])):
        tiny_model.encode(torch.rand(shape))


def test_encoding_twice_gives_the_same(tiny_model: Ginr) -> None:
    pixels = torch.rand(2, 3, 19, 12)
    with torch.no_grad():
        one, two = tiny_model.encode(pixels), tiny_model.encode(pixels)
        assert torch.equal(one.features, two.features)
        assert torch.equal(one.render((31, 31)), two.render((31, 31)))


def test_the_model_keeps_nothing_of_a_picture(tiny_model: Ginr) -> None:
    pixels = torch.rand(1, 3, 19, 12)
    with torch.no_grad():
        before = tiny_model.encode(pixels)
        tiny_model.encode(torch.rand(2, 3, 8, 30)).render((9, 9))
        after = tiny_model.encode(pixels)
        assert torch.equal(before.features, after.features)
        assert torch.equal(before.render((25, 25)), after.render((25, 25)))


def test_a_batch_is_its_pictures(tiny_model: Ginr) -> None:
    pixels = torch.rand(2, 3, 19, 12)
    with torch.no_grad():
        both = tiny_model.encode(pixels).render((40, 33))
        singles = [tiny_model.encode(one[None]).render((40, 33)) for one in pixels]
    torch.testing.assert_close(both, torch.cat(singles), rtol=1e-5, atol=1e-5)


def test_forward_is_encode_and_query(tiny_model: Ginr) -> None:
    pixels, coords = torch.rand(2, 3, 8, 8), torch.rand(2, 20, 2) * 2 - 1
    cells = torch.full((2, 1, 2), 0.1)
    with torch.no_grad():
        rgb = tiny_model(pixels, coords, cells)
        assert torch.equal(rgb, tiny_model.encode(pixels).query(coords, cells))


def test_a_tile_knows_where_it_is(tiny_model: Ginr) -> None:
    pixels = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        alone = tiny_model.encode(pixels)
        tile = tiny_model.encode(pixels, origin=(8, 24), size=(40, 64))
        box = (8 * 3, 24 * 3, 24 * 3, 40 * 3)
        torch.testing.assert_close(
            tile.render((120, 192), box), alone.render((48, 48)), rtol=1e-5, atol=1e-5
        )


def test_only_lps_are_decoded(make_model: Make, tiny_config: GinrConfig) -> None:
    # Cut both ways by which LPs learn of the pixels, and nothing of the pixels is left.
    model = make_model(dataclasses.replace(tiny_config, content="none", base="none"))
    one, two = torch.rand(2, 1, 3, 16, 16)
    with torch.no_grad():
        different = model.encode(one).render((20, 20)) - model.encode(two).render((20, 20))
        assert different.abs().max() > 1e-3
        for block in model.blocks:
            block.mixer.out.weight.zero_()
        assert torch.equal(model.encode(one).render((20, 20)), model.encode(two).render((20, 20)))


def test_no_nan_in_bfloat16(tiny_model: Ginr) -> None:
    pixels = torch.rand(1, 3, 19, 12)
    with torch.no_grad():
        exact = tiny_model.encode(pixels).render((30, 30))
        with torch.autocast("cpu", torch.bfloat16):
            rounded = tiny_model.encode(pixels).render((30, 30))
    assert rounded.isfinite().all()
    assert (rounded - exact).abs().max() < 0.1 * exact.abs().max()


@pytest.mark.parametrize(
    "change",
    [
        {},
        ARRANGEMENTS["sparse"],
        *({**ARRANGEMENTS[name]} for name in ARRANGEMENTS if name.startswith(("mamba", "trans"))),
        NO_LPS | {"mixer": "transformer", "positions": "learned"},
    ],
    ids=str,
)
def test_every_parameter_learns(
    make_model: Make, tiny_config: GinrConfig, change: dict[str, Any]
) -> None:
    model = make_model(dataclasses.replace(tiny_config, **change)).train()
    pixels, target = torch.rand(2, 3, 8, 8), torch.rand(2, 20 * 20, 3)
    coords = pixel_grid(20, 20).expand(2, -1, -1)
    cells = pixel_cell(20, 20).expand(2, 1, 2)
    (model(pixels, coords, cells) - target).abs().mean().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_training_may_follow_inference(tiny_model: Ginr) -> None:
    sequence_layout.cache_clear()
    pixels = torch.rand(1, 3, 8, 8)
    with torch.inference_mode():
        tiny_model.encode(pixels).render((9, 9))
    tiny_model(pixels, torch.zeros(1, 1, 2), torch.ones(1, 1, 2)).sum().backward()
    assert tiny_model.lps.grad is not None


@pytest.mark.skipif(bool(backends()["numba"]), reason=backends()["numba"] or "-")
def test_backends_give_the_same_picture(monkeypatch: pytest.MonkeyPatch, tiny_model: Ginr) -> None:
    pixels = torch.rand(1, 3, 24, 19)
    with torch.no_grad():
        pictures = [tiny_model.encode(pixels).render((50, 50))]
        for backend in ("chunked", "reference"):
            monkeypatch.setattr(scan, "default_backend", lambda _, name=backend: name)
            monkeypatch.setattr(compiled_blocks, "default_backend", lambda _, name=backend: name)
            pictures.append(tiny_model.encode(pixels).render((50, 50)))
    assert not torch.equal(pictures[0], pictures[1])  # another path was taken
    torch.testing.assert_close(pictures[0], pictures[1], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(pictures[0], pictures[2], rtol=1e-4, atol=1e-4)


def test_initial_lps() -> None:
    plain = GinrConfig(bank="window", content="none")
    normal, xavier = (
        initial_lps(dataclasses.replace(plain, lp_init=kind)) for kind in ("normal", "xavier")
    )
    assert normal.shape == xavier.shape == (256, 32)
    assert normal.std().item() == pytest.approx(0.02, rel=0.05)
    bound = (6 / (256 + 32)) ** 0.5
    assert 0.95 * bound < xavier.abs().max() <= bound


def test_initial_lps_that_are_queries_have_length_one() -> None:
    lps = initial_lps(GinrConfig(width=256))
    assert lps.shape == (4, 256)  # one for each place in the square of a token
    torch.testing.assert_close(lps.norm(dim=1), torch.ones(4), rtol=0.2, atol=0)
