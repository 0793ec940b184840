"""The mean over mirrored views as one field: pytest tests/network/test_ensemble.py"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from ginr.architecture.config import GinrConfig
from ginr.array_types import Image
from ginr.checkpoints.checkpoint import load_checkpoint
from ginr.measuring.benchmark import score
from ginr.network.compiled_decoder import CompiledLatticeDecoder
from ginr.network.ensemble import VIEWS, Ensemble
from ginr.network.model import Ginr
from ginr.pictures import Picture, read_picture
from ginr.rendering.upscale import upscale
from ginr_cli.console import UsageError
from ginr_cli.load_network import NetworkChoice, load_network

Make = Callable[[GinrConfig], Ginr]


@pytest.mark.parametrize(
    "n_lp", [64, 4]
)  # one code per pixel; one LP for 4x4, whose codes mirror too
@pytest.mark.parametrize("size", [(37, 50), (32, 24)])
def test_it_is_the_mean_of_mirrored_renders(
    make_model: Make, tiny_config: GinrConfig, n_lp: int, size: tuple[int, int]
) -> None:
    model = make_model(replace(tiny_config, n_lp=n_lp, group=4 if n_lp == 64 else 1))
    pixels = torch.rand(2, 3, 16, 24)  # whole windows: a mirrored picture has mirrored windows
    with torch.inference_mode():
        views = [
            model.encode(pixels.flip([k + 1 for k in axes]))
            .render(size)
            .flip([k + 1 for k in axes])
            for axes in VIEWS
        ]
        field = Ensemble(model).encode(pixels)
        expected = torch.stack(views).mean(0)
        torch.testing.assert_close(field.render(size), expected, atol=2e-5, rtol=1e-4)
    assert (expected - views[0]).abs().max() > 0.01


def test_a_mirrored_picture_has_the_mirrored_result(tiny_model: Ginr) -> None:
    ensemble, pixels = Ensemble(tiny_model), torch.rand(1, 3, 16, 24)
    with torch.inference_mode():
        upright = ensemble.encode(pixels).render((40, 60))
        mirrored = ensemble.encode(pixels.flip(3)).render((40, 60)).flip(3)
    torch.testing.assert_close(upright, mirrored, atol=2e-5, rtol=1e-4)


def test_places_answer_as_the_grid_does(tiny_model: Ginr) -> None:
    with torch.inference_mode():
        field = Ensemble(tiny_model).encode(torch.rand(1, 3, 13, 10))
        y, x = (torch.linspace(-1 + 1 / n, 1 - 1 / n, n) for n in (26, 20))
        coords = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flatten(0, 1)[None]
        rgb = field.query(coords, torch.tensor([[[2 / 26, 2 / 20]]]))
        grid = field.render((26, 20)).flatten(2).mT
    torch.testing.assert_close(rgb, grid, atol=2e-5, rtol=1e-4)


def test_it_renders_by_the_compiled_pass(tiny_model: Ginr) -> None:
    assert isinstance(Ensemble(tiny_model).decoder, CompiledLatticeDecoder)


def test_mirrored_views_have_the_grain_of_their_places(tiny_config: GinrConfig) -> None:
    model = Ginr(replace(tiny_config, n_grain=2, base="none")).eval()
    torch.nn.init.normal_(model.grain)
    flat = torch.full((1, 3, 16, 16), 0.5)  # only the grain makes a difference
    with torch.no_grad():
        alone, together = (m.encode(flat).render((32, 32)) for m in (model, Ensemble(model)))
    alike = torch.corrcoef(torch.stack([alone.flatten(), together.flatten()]))[0, 1]
    assert alone.std() > 1e-3 and alike > 0.5


def test_tiles_equal_the_whole(tiny_model: Ginr, sample_images: Path) -> None:
    picture = read_picture(sample_images / "photo_spices.png")
    picture = replace(picture, samples=np.ascontiguousarray(picture.samples[:100, :140]))
    with torch.no_grad():  # as small as a trained network's, whose fields are corrections
        tiny_model.decoder.head.weight *= 0.1
        tiny_model.decoder.head.bias *= 0.1
    whole, tiled = (
        upscale(picture, Ensemble(tiny_model), height=250, width=350, tile=tile).samples
        for tile in (1000, 16)
    )
    assert np.abs(whole.astype(int) - tiled).max() <= 1


def test_the_shipped_network_gains_by_it(sample_images: Path) -> None:
    model = load_checkpoint("small").build()
    hr = read_picture(sample_images / "photo_colosseum.png").samples

    def gain(network: Ginr) -> float:
        def enlarge(lr: Image, height: int, width: int) -> Image:
            return upscale(Picture(lr), network, height=height, width=width).samples

        return score("colosseum", hr, 2.0, enlarge).gain_y

    assert gain(Ensemble(model)) > gain(model) + 0.03


def test_a_network_without_a_lattice_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--ensemble, ginr-reconstruct: .*lattice decoder"):
        load_network(NetworkChoice("reconstruct", "cpu", ensemble=True))


def test_all_of_it_is_on_the_device_of_its_network(
    make_model: Callable[[GinrConfig], Ginr], tiny_config: GinrConfig
) -> None:
    bare = replace(tiny_config, mixer="transformer", positions="sinusoidal", n_lp=0, content="none")
    ensemble = Ensemble(make_model(bare).to("meta"))
    assert ensemble.device.type == "meta"
    assert all(buffer.is_meta for buffer in ensemble.buffers())
