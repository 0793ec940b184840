"""`ginr.upscale` for pictures of any kind, by one network that is loaded once."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from ginr.architecture.contract import EncodedField, Encoder
from ginr.device import Precision
from ginr.errors import SizeError
from ginr.geometry.size import Box, parse_scale
from ginr.interface.kinds import Given, given
from ginr.pictures import Picture

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image
    from torch import Tensor

    from ginr.rendering.upscale import Notice, Options, Progress

    class _SizeAndOptions(Options, total=False):
        scale: float | str | None
        height: int | None
        width: int | None
        box: Box | None

    T = TypeVar("T", npt.NDArray[Any], Image.Image, Tensor, Picture)

Network = Encoder[EncodedField] | str | Path
_lock = Lock()  # networks keep arrays for reuse
DEFAULT = "small"


@overload
def upscale(
    x: str | Path, model: Network | None = ..., **how: "Unpack[_SizeAndOptions]"
) -> Picture: ...


@overload
def upscale(x: "T", model: Network | None = ..., **how: "Unpack[_SizeAndOptions]") -> "T": ...


def upscale(
    x: Any,
    model: Network | None = None,
    *,
    scale: float | str | None = None,
    height: int | None = None,
    width: int | None = None,
    box: Box | None = None,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: "Progress | None" = None,
    notice: "Notice | None" = None,
) -> Any:
    """Enlarge a picture of any kind; returns the same kind.

    x is one of

    - a path, `str` or `Path`: returns a `Picture`, with metadata;
    - a `Picture`, 8 or 16 bit, with metadata;
    - a PIL image: grey, grey and alpha, RGB, RGBA or 16-bit grey; other modes come back as RGB(A);
    - a NumPy array (H, W) or (H, W, C), C from 1 to 4 (grey, grey and alpha, RGB, RGBA), of uint8,
      uint16, or floats in [0, 1], which are computed with 16 bits;
    - a torch tensor (C, H, W) or (B, C, H, W) of uint8, or floats in [0, 1]; the result is on its
      device, without gradients (`as_module` has them).

    Alpha is straight. `model` is the name or file of a checkpoint or a network (default: "small",
    loaded once); a GPU is used if there is one, for tensors the device they are on. `scale` is a
    factor from 1 to 30, or text as for `--scale`, such as "2x3" (width x height); `height` and `width`
    are pixels instead. Without either, the scale is 2. `box` (top, left, bottom, right, in output
    pixels) asks for a part. `tile`, `precision`, `progress` and `notice` are as for
    `ginr.rendering.upscale.upscale_bands`; in a batch, progress counts each picture.

    Raises TypeError for another kind, PictureError for a file that cannot be read or an array that is
    no picture, SizeError for a scale or size out of range, CheckpointError for an unknown model, and
    GinrError if memory does not suffice. Nothing is restored, see `assess`.
    """
    one = given(x)
    size = _target(one.pictures[0], scale, height, width)
    return _enlarged(
        one, model, size, box=box, tile=tile, precision=precision, progress=progress, notice=notice
    )


def upscale_many(
    items: Iterable[Any],
    model: Network | None = None,
    *,
    scale: float | str = 2,
    **options: "Unpack[Options]",
) -> Iterator[Any]:
    """Enlarge pictures of any kind one after another, each as `upscale` does; yields in order.

    The next picture is read while one is enlarged; at most two are in memory. `options` are `tile`,
    `precision`, `progress` and `notice` of `upscale`. A picture that cannot be read raises its error
    when it is its turn, and ends the iteration.
    """
    with ThreadPoolExecutor(1) as reader:
        rest = iter(items)
        waiting = [reader.submit(given, x) for x in islice(rest, 1)]
        while waiting:
            one = waiting.pop().result()
            waiting = [reader.submit(given, x) for x in islice(rest, 1)]
            size = _target(one.pictures[0], scale, None, None)
            yield _enlarged(one, model, size, **options)


def _target(
    picture: Picture, scale: float | str | None, height: int | None, width: int | None
) -> tuple[int, int]:
    """H', W' of the enlargement."""
    if height is None and width is None:
        text = f"{2 if scale is None else scale}"
        return parse_scale(text).resolve(picture.height, picture.width)
    if height is None or width is None or scale is not None:
        raise SizeError(
            f"scale={scale}, height={height}, width={width}: give a scale, or both sides"
        )
    return height, width


def _enlarged(one: Given, model: Network | None, size: tuple[int, int], **options: Any) -> Any:
    from ginr.rendering.upscale import upscale as render

    network = default_network(DEFAULT if model is None else model, one.device)
    with _lock:
        made: Sequence[Picture] = [
            render(picture, network, height=size[0], width=size[1], **options)
            for picture in one.pictures
        ]
    return one.back(made)


def default_network(model: Network, device: str) -> Encoder[EncodedField]:
    """The network of a checkpoint, loaded once for each device; a network is returned as it is."""
    return _loaded(str(model), device) if isinstance(model, str | Path) else model


@cache
def _loaded(name: str, device: str) -> Encoder[EncodedField]:
    from ginr.checkpoints.checkpoint import load_checkpoint, load_cpu_network, needs_torch, peek
    from ginr.device import choose_device, reason_for_cpu

    if reason_for_cpu(device) and not needs_torch(peek(name)):
        return load_cpu_network(name)
    return load_checkpoint(name).build(choose_device(device)[0])
