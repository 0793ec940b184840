"""How a picture was damaged: noise, compression and blur, estimated from its pixels.

A small network maps the statistics of tiles to the traits of the picture: how far it is from what
bicubic shrinking of an undamaged picture gives. A second one tells whether a picture is damaged at
all. `benchmarks/train_assessment.py` trains both.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files

import numpy as np

from ginr.array_types import Floats, Image
from ginr.assessing.statistics import N_STATISTIC, SIDE, statistics
from ginr.pictures.samples import Picture

TRAITS = (
    "error_low", "error_middle", "error_high", "chroma_error_low", "chroma_error_high",
    "gain_low", "gain_middle", "gain_high", "compression", "noise",
)  # fmt: skip
"""Logarithms of errors of luma and chroma in levels, by frequency; of luma's gain; of the root mean
square error of the last compression, and of the standard deviation of noise, in levels."""
CENTRE = np.array([-0.82, -0.81, -0.84, -0.94, -1, 0, -0.01, -0.03, -1.08, -1.05], np.float32)
SPREAD = np.array([1, 1, 1, 1, 0.8, 0.1, 0.35, 0.9, 1.4, 0.9], np.float32)
"""Traits are given to networks less those of undamaged pictures, and in these units."""
MOST = 3.0  # units: traits beyond are clipped
TYPICAL = np.array([2.5, 2.5, 2.3, 2.3, 1.6, -0.3, -0.4, -1.1, 2, 1.5], np.float32)
"""Traits of a badly damaged photograph, for restoring more than a picture needs."""
IS_GAIN = np.array([name.startswith("gain") for name in TRAITS])
FLOOR = 0.3  # levels, added before logarithms are taken of compression and noise
HIGH = 0.42  # cycles per pixel: the middle of the frequencies of gain_high
LAYERS = {"traits": 3, "damage": 2}
"""Layers of the network that estimates the traits, and of the one that detects damage."""
N_TILE = 6  # tiles along each axis that are looked at, at most

# What counts as damage, and, after the comma, as full damage.
LEAST_NOISE, MOST_NOISE = 1.4, 15.0  # levels
LEAST_COMPRESSION, MOST_COMPRESSION = 5.0, 12.0  # levels
LEAST_BLUR, MOST_BLUR = 0.6, 1.1  # pixels
BEST_QUALITY, WORST_QUALITY = 94.0, 30.0  # of JPEG; better files are judged by their pixels

LEAST_LOGIT = 2.5  # of damage, above which a picture is damaged
LEAST_STRENGTH = 0.1  # of a picture that is
CLEAR_STRENGTH = 0.25  # above which it is, whatever the logit
EQUAL = N_STATISTIC - 2  # the statistic that is the share of equal neighbours
DRAWN = 0.6  # this share, above which a picture is a drawing or a screenshot

# Thresholds from which estimated errors are passed on to networks, and passed on in full.
UNSURE_LOGIT, SURE_LOGIT = 5.0, 15.0  # good WebP files reach 8
SURE_STRENGTH = 0.7  # of a JPEG
SURE_NOISE = 0.5  # as a share of full damage
UNTOLD_BLUR = 0.35  # pixels: less may come from compression


@dataclass(frozen=True, eq=False)
class Assessment:
    """How a picture seems to have been damaged."""

    noise: float
    """Standard deviation of the mean of the channels, in 8-bit levels."""
    compression: float
    """Root mean square error of lossy compression in 8-bit levels."""
    jpeg_quality: int | None
    """Of the file, None if it is not a JPEG."""
    blur: float
    """Standard deviation in pixels, beyond the blur of any sharp picture."""
    is_drawn: bool
    """Whether it is a drawing or a screenshot, saved without loss."""
    strength: float
    """How damaged it is, from 0 (leave it as it is) to 1."""
    certainty: float
    """How far to trust the estimated errors, from 0 to 1."""
    traits: Floats = field(repr=False)
    """(K,) for networks, see `traits_for`; 0 for an undamaged picture."""

    def traits_for(self, strength: float) -> Floats:
        """The traits (K,) of a picture that is damaged by `strength`, from 0 to 1, as this one is.

        Slight errors and slight blur are scaled down: undoing them costs more than it is worth, and
        they may be misjudged.
        """
        share = min(1.0, strength / self.strength) if self.strength else 0.0
        of_gains = (self.blur - UNTOLD_BLUR) / (LEAST_BLUR - UNTOLD_BLUR)
        sure = self.certainty
        told = np.where(IS_GAIN, min(1.0, max(sure, of_gains)), sure) * self.traits
        more = max(0.0, strength - self.strength)
        traits: Floats = (share * told + more * TYPICAL).clip(-MOST, MOST).astype(np.float32)
        return traits

    def __str__(self) -> str:
        """What is wrong with the picture, as a phrase."""
        if self.strength == 0:
            return "undamaged"
        found = []
        if self.jpeg_quality is not None and self.jpeg_quality < BEST_QUALITY:
            found.append(f"JPEG of quality {self.jpeg_quality}")
        elif self.compression > LEAST_COMPRESSION:
            found.append("compressed before")
        if self.noise > LEAST_NOISE:
            unit = "level" if round(self.noise) == 1 else "levels"
            found.append(f"noise of {self.noise:.0f} {unit}")
        if self.blur > LEAST_BLUR:
            found.append(f"blurred by {self.blur:.1f} pixels")
        return ", ".join(found) or "slightly damaged"


def assess(picture: Picture) -> Assessment:
    """Examines up to 36 tiles of a picture, evenly spread; takes 0.1 s. Ignores alpha."""
    samples = picture.samples
    if samples.dtype == np.uint16:
        samples = (samples >> 8).astype(np.uint8)
    colour = samples[..., : 1 if picture.is_grey else 3]
    values = mean_statistics(colour)
    estimate = _traits(values)
    noise, compression = (
        max(0.0, float(np.exp(estimate[TRAITS.index(name)])) - FLOOR)
        for name in ("noise", "compression")
    )
    gain = min(0.0, float(estimate[TRAITS.index("gain_high")]))
    blur = float(np.sqrt(-gain / 2)) / (np.pi * HIGH)
    quality = picture.jpeg_quality
    low_quality = quality if quality is not None and quality < BEST_QUALITY else None
    strength = _strength(noise, compression, blur, low_quality)
    logit = float(_perceptron(values, "damage")[0])
    is_drawn = quality is None and float(values[EQUAL]) > DRAWN
    if is_drawn:
        strength = 0.0
    elif logit >= LEAST_LOGIT:
        strength = max(LEAST_STRENGTH, strength)
    elif low_quality is None and strength < CLEAR_STRENGTH:
        strength = 0.0
    if quality is None:
        certainty = (logit - UNSURE_LOGIT) / (SURE_LOGIT - UNSURE_LOGIT)
    else:  # any JPEG looks damaged: its quality tells how much
        certainty = strength / SURE_STRENGTH
    certainty = min(1.0, max(0.0, certainty, _share_of_noise(noise) / SURE_NOISE))
    traits = as_traits(estimate)
    return Assessment(noise, compression, quality, blur, is_drawn, strength, certainty, traits)


def mean_statistics(image: Image) -> Floats:
    """The mean statistics (N_STATISTIC,) of tiles of a picture (H, W, 1 or 3)."""
    tiles = (image[y : y + SIDE, x : x + SIDE] for y, x in _corners(*image.shape[:2]))
    mean: Floats = np.mean([statistics(_whole_tile(tile)) for tile in tiles], axis=0)
    return mean


def traits_of_tile(tile: Image) -> Floats:
    """The traits (K,) of a part (H, W, 3) of a picture by itself."""
    return as_traits(_traits(mean_statistics(tile)))


def as_traits(estimate: Floats) -> Floats:
    """An estimate (K,) less that of an undamaged picture, in units of `SPREAD`, clipped."""
    traits: Floats = ((estimate - CENTRE) / SPREAD).clip(-MOST, MOST).astype(np.float32)
    return traits


def _traits(values: Floats) -> Floats:
    """statistics (N_STATISTIC,) -> the numbers of `TRAITS` (K,)."""
    weights = _weights()
    return _perceptron(values, "traits") * weights["out.deviation"] + weights["out.mean"]


def _perceptron(values: Floats, name: str) -> Floats:
    """The output of one of the two networks for statistics (N_STATISTIC,)."""
    weights = _weights()
    x = ((values - weights["in.mean"]) / weights["in.deviation"]).clip(-4, 4)
    for layer in range(LAYERS[name]):
        if layer:  # GELU, tanh's form
            x = 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
        x = weights[f"{name}.{layer}.weight"] @ x + weights[f"{name}.{layer}.bias"]
    return x


@lru_cache(maxsize=1)
def _weights() -> dict[str, Floats]:
    from safetensors.numpy import load_file

    return load_file(str(files("ginr") / "weights" / "assessment.safetensors"))


def _strength(noise: float, compression: float, blur: float, low_quality: int | None) -> float:
    """The largest strength that a single kind of damage asks for; 0 for invisible damage."""
    of_blur = (blur - LEAST_BLUR) / (MOST_BLUR - LEAST_BLUR)
    if low_quality is None:
        of_compression = _share(compression, LEAST_COMPRESSION, MOST_COMPRESSION)
    else:
        of_compression = ((BEST_QUALITY - low_quality) / (BEST_QUALITY - WORST_QUALITY)) ** 0.7
    return min(1.0, max(0.0, _share_of_noise(noise), of_blur, of_compression))


def _share_of_noise(noise: float) -> float:
    return _share(noise, LEAST_NOISE, MOST_NOISE)


def _share(levels: float, least: float, most: float) -> float:
    """Levels as a share of full damage on a logarithmic scale, not clipped."""
    return float(np.log(max(levels, 0.1) / least) / np.log(most / least))


def _corners(height: int, width: int) -> list[tuple[int, int]]:
    """Corners of tiles, on the grid of 8x8 blocks."""
    lines = []
    for length in (height, width):
        last = max(0, length - SIDE)
        n = min(N_TILE, max(1, length // SIDE))
        lines.append(np.unique(np.linspace(0, last, n).astype(int) // 8 * 8).tolist())
    return [(y, x) for y in lines[0] for x in lines[1]]


def _whole_tile(tile: Image) -> Image:
    """(SIDE, SIDE, 3): grey as colour; a picture that is smaller is mirrored."""
    missing = [SIDE - n for n in tile.shape[:2]]
    if max(missing) > 0:
        tile = np.pad(tile, [*((0, n) for n in missing), (0, 0)], mode="symmetric")
    return np.ascontiguousarray(np.broadcast_to(tile, (SIDE, SIDE, 3)))
