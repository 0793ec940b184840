"""Trains the network that `ginr.assess` looks at pictures with, from a folder of undamaged pictures.

    python benchmarks/train_assessment.py tiles/ -o assessment.safetensors --samples 24000

Each sample is a tile of a picture, degraded by one of the presets of `ginr.training.degradation`. Its
traits are measured against what bicubic shrinking gives of the same tile: errors and gains by
frequency; those of noise and compression are recorded as they are applied. A second part learns
whether whole pictures are damaged at all: undamaged ones include pictures that were JPEGs before they
were shrunk. Takes twelve minutes on one core for 24,000 tiles and 10,000 pictures.
"""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from PIL import Image as PillowImage
from rich.console import Console
from safetensors.torch import save_file
from torch import Tensor, nn

from ginr.array_types import Floats, Image
from ginr.assessing.assessment import FLOOR, TRAITS, mean_statistics
from ginr.assessing.statistics import SIDE, frequency, hann, statistics, to_ycc
from ginr.training import degradation
from ginr.training.degradation import PRESETS, Degradation, degrade

BANDS = ((0.05, 0.14), (0.14, 0.3), (0.3, 0.71))  # cycles per pixel: low, middle, high
ONE = {
    "jpeg": Degradation(compress=1.0, quality=(30, 92)),
    "noise": Degradation(noise=1.0, deviation=(2, 15)),
    "blur": Degradation(blur=1.0, sigma=(0.7, 1.3)),
}
FOR_TRAITS = ["photo"] * 5 + ["clean"] * 3 + ["phone", "web", "film", *ONE]
SOUND = ["clean", "shrunk jpeg"]
DAMAGED = ["phone", "web", "film", "film", "photo", "photo", "jpeg", "noise", "noise", "blur"]
STEPS, BATCH = 6000, 256


@dataclass
class Recorder:
    """What a degradation did last: deviation of noise and error of compression, in levels."""

    noise: float = 0.0
    compression: float = 0.0
    kept: list[str] = field(default_factory=list)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Records while the block runs."""
        add_noise, compress = degradation._noise, degradation._compressed

        def noise(picture: Floats, *rest: object) -> Floats:
            made = add_noise(picture, *rest)
            self.noise = float(np.broadcast_to(made, picture.shape).mean(0).std())
            return made

        def compressed(picture: Floats, *rest: object) -> Floats:
            made = compress(picture, *rest)
            self.compression = float(np.sqrt(((made - picture) ** 2).mean()))
            return made

        with (
            mock.patch.object(degradation, "_noise", noise),
            mock.patch.object(degradation, "_compressed", compressed),
        ):
            self.noise = self.compression = 0.0
            yield


def traits(lr: Image, ideal: Image, done: Recorder) -> Floats:
    """The numbers of TRAITS of a tile (SIDE, SIDE, 3), given what it should be."""
    window = hann(SIDE)
    planes = [to_ycc(image) for image in (lr, ideal)]
    spectra = [np.fft.rfft2((p - p.mean((1, 2), keepdims=True)) * window) for p in planes]
    energy, place = (window**2).sum(), frequency(SIDE)
    bands = [(low <= place) & (place < high) for low, high in BANDS]
    errors, gains = [], []
    for band in bands:
        ours, true = (spectrum[0][band] for spectrum in spectra)
        prior = energy * band.sum()  # a squared level per pixel
        gain = ((ours * true.conj()).real.sum() + prior) / ((np.abs(true) ** 2).sum() + prior)
        gains.append(np.log(max(gain, 0.05)))
        errors.append(_log_rms(ours - gain * true, energy))
    chroma = [
        _log_rms((spectra[0][1:, band] - spectra[1][1:, band]).ravel(), energy)
        for band in (bands[0] | bands[1], bands[2])
    ]
    applied = [np.log(done.compression + FLOOR), np.log(done.noise + FLOOR)]
    return np.array([*errors, *chroma, *gains, *applied], np.float32)


def _log_rms(error: Floats, energy: float) -> float:
    return 0.5 * float(np.log((np.abs(error) ** 2).mean() / energy + 0.1))


def tile_samples(files: list[Path], n: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Statistics (n, N_STATISTIC) and traits (n, K) of degraded tiles."""
    x, y = [], []
    while len(x) < n:
        image = read(files, random)
        for _ in range(4):  # reading takes longer than degrading
            hr, side = crop(image, SIDE, random.uniform(1, 4), random)
            kind, done = FOR_TRAITS[random.integers(len(FOR_TRAITS))], Recorder()
            with done.listening():
                lr = degraded(hr, side, random, ONE.get(kind) or PRESETS[kind])
            x.append(statistics(lr))
            y.append(traits(lr, degraded(hr, side, random, PRESETS["clean"]), done))
    return np.array(x[:n]), np.array(y[:n])


def picture_samples(
    files: list[Path], n: int, random: np.random.Generator
) -> tuple[Floats, Floats]:
    """Mean statistics (n, N_STATISTIC) of whole pictures, and 1 for the damaged ones (n, 1)."""
    x, y = [], []
    while len(x) < n:
        image, is_damaged = read(files, random), random.random() < 0.5
        kinds = DAMAGED if is_damaged else SOUND
        kind, least = kinds[random.integers(len(kinds))], 1.0
        how = PRESETS["clean"]
        if is_damaged:
            how = ONE.get(kind) or replace(PRESETS[kind], clean=0.0)
        elif kind == "shrunk jpeg":
            image, least = as_jpeg(image, random), 1.8
        hr, side = crop(image, int(random.integers(96, 220)), random.uniform(least, 4), random)
        x.append(mean_statistics(degraded(hr, side, random, how)))
        y.append([float(is_damaged)])
    return np.array(x), np.array(y, np.float32)


def read(files: list[Path], random: np.random.Generator) -> Image:
    """A random picture (H, W, 3)."""
    with PillowImage.open(files[random.integers(len(files))]) as image:
        return np.asarray(image.convert("RGB"))


def as_jpeg(image: Image, random: np.random.Generator) -> Image:
    file = BytesIO()
    quality, subsampling = int(random.integers(70, 96)), int(random.choice([0, 2]))
    PillowImage.fromarray(image).save(file, "JPEG", quality=quality, subsampling=subsampling)
    with PillowImage.open(file) as read_again:
        return np.asarray(read_again.convert("RGB"))


def crop(image: Image, side: int, scale: float, random: np.random.Generator) -> tuple[Floats, int]:
    """HR (3, n, n) of `side` LR pixels at about this scale, or of as many as there are."""
    least = min(image.shape[:2])
    side = min(side, int(least / min(scale, least / SIDE)))
    n = min(least, round(side * scale))
    top, left = (int(random.integers(length - n + 1)) for length in image.shape[:2])
    part = image[top : top + n, left : left + n].transpose(2, 0, 1)
    return part.astype(np.float32), side


def degraded(hr: Floats, side: int, random: np.random.Generator, how: Degradation) -> Image:
    """LR (side, side, 3)."""
    return degrade(hr, (side, side), random, how).transpose(1, 2, 0).astype(np.uint8)


def fitted(x: Tensor, y: Tensor, widths: tuple[int, ...], loss: nn.Module) -> nn.Sequential:
    """A perceptron with GELUs between layers of these widths, trained on nine tenths of the samples."""
    sizes = (x.shape[1], *widths, y.shape[1])
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(sizes):
        layers += [nn.Linear(n_in, n_out), nn.GELU("tanh")]
    network = nn.Sequential(*layers[:-1])
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    n = len(x) * 9 // 10
    for _ in range(STEPS):
        chosen = torch.randint(n, (BATCH,))
        noisy = x[chosen] + 0.1 * torch.randn(BATCH, x.shape[1])
        error = loss(network(noisy), y[chosen])
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        held_out = loss(network(x[n:]), y[n:]).item()
    Console().print(f"loss {error.item():.4f}, held out {held_out:.4f}")
    return network


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--samples", type=int, default=24000)
    parser.add_argument("--pictures", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.manual_seed(asked.seed)
    random = np.random.default_rng(asked.seed)
    kinds = (".png", ".jpg", ".webp")
    files = [path for path in sorted(asked.folder.rglob("*")) if path.suffix in kinds]
    x, y = tile_samples(files, asked.samples, random)
    of_pictures, is_damaged = picture_samples(files, asked.pictures, random)
    found = {"in.mean": x.mean(0), "in.deviation": x.std(0) + 1e-3}
    found |= {"out.mean": y.mean(0), "out.deviation": y.std(0) + 1e-3}
    weights = {name: torch.from_numpy(value) for name, value in found.items()}

    def normal(values: Floats) -> Tensor:
        scaled = (torch.from_numpy(values) - weights["in.mean"]) / weights["in.deviation"]
        return scaled.clamp(-4, 4)

    targets = (torch.from_numpy(y) - weights["out.mean"]) / weights["out.deviation"]
    networks = {
        "traits": fitted(normal(x), targets, (64, 48), nn.SmoothL1Loss()),
        "damage": fitted(
            normal(of_pictures), torch.from_numpy(is_damaged), (32,), nn.BCEWithLogitsLoss()
        ),
    }
    assert y.shape[1] == len(TRAITS)
    for name, network in networks.items():
        for index, layer in enumerate(network[::2]):
            weights |= {f"{name}.{index}.{k}": v.detach() for k, v in layer.named_parameters()}
    save_file({k: v.contiguous() for k, v in weights.items()}, asked.output)


if __name__ == "__main__":
    main()
