"""`ginr.upscale` for pictures of any kind, by networks that are loaded once."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from itertools import islice
from numbers import Integral, Real
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, get_args, overload

from ginr.architecture.contract import EncodedField, Encoder
from ginr.assessing.restoration import CRISP, PLAIN, RESTORER, restoration_of
from ginr.device import Precision
from ginr.errors import GinrError, SizeError
from ginr.geometry.size import Box, parse_scale
from ginr.interface.kinds import Given, given
from ginr.pictures import Picture

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image
    from torch import Tensor

    from ginr.checkpoints.checkpoint import Blend
    from ginr.engine.model import CpuGinr
    from ginr.network.model import Ginr
    from ginr.rendering.upscale import Notice, Options, Progress

    class _Options(Options, total=False):
        restore: float | None
        detail: float | None

    class _SizeAndOptions(_Options, total=False):
        scale: float | str | None
        height: int | None
        width: int | None
        box: Box | None

    T = TypeVar("T", npt.NDArray[Any], Image.Image, Tensor, Picture)

Network = Encoder[EncodedField] | str | Path
_lock, _holder = Lock(), ContextVar("holder", default=False)  # networks keep arrays for reuse
MAX_LOADED = 6
"""Networks that are kept, and mixtures of two."""


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
    restore: float | None = None,
    detail: float | None = None,
    tile: int | None = None,
    precision: Precision = "auto",
    progress: "Progress | None" = None,
    notice: "Notice | None" = None,
) -> Any:
    """Enlarge a picture of any kind; returns the same kind.

    x is one of

    - a path, `str` or `Path`: returns a `Picture`, with metadata;
    - a `Picture`, 8 or 16 bit, with metadata;
    - a PIL image: grey, grey and alpha, RGB, RGBA or 16-bit grey; other modes come back as RGB(A),
      CMYK by its profile as sRGB;
    - a NumPy array (H, W) or (H, W, C), C from 1 to 4 (grey, grey and alpha, RGB, RGBA), of uint8,
      uint16, or floats in [0, 1], which are computed with 16 bits;
    - a torch tensor (C, H, W) or (B, C, H, W) of uint8, or floats in [0, 1]; the result is on its
      device, without gradients (`as_module` has them).

    Alpha is straight. `model` is the name or file of a checkpoint, or a network. By default each picture is
    examined as by the command: "small" enlarges undamaged ones, "photo" restores the others, and "crisp"
    is mixed into it; networks are loaded once. `restore`, from 0 to 1, is the strength (0: nothing is
    examined or restored), `detail`, from 0 to 1, how much is invented; None is by the damage, see `assess`.
    A network that is given as such is used as it is. A GPU is used if there is one, for tensors the device they
    are on. `scale` is a factor from 1 to 30, or text as for `--scale`, such as "2x3" (width x height);
    `height` and `width` are pixels instead. Without either, the scale is 2. `box` (top, left, bottom,
    right, in output pixels) asks for a part. `tile`, `precision`, `progress` and `notice` are as for
    `ginr.rendering.upscale.upscale_bands`; in a batch, progress counts each picture. `notice` is also told what
    was found in a picture.

    Raises TypeError for another kind, PictureError for a file that cannot be read or an array that is
    no picture, SizeError for a scale or size out of range, CheckpointError for an unknown model, and
    GinrError if memory does not suffice, or for a model that cannot restore or invent as asked.
    """
    one = given(x)
    size = _target(one.pictures[0], scale, height, width)
    if box is not None:
        if len(box) != 4 or not _are_whole(*box):
            raise SizeError(f"box {box!r}: give top, left, bottom and right, in output pixels")
        box = int(box[0]), int(box[1]), int(box[2]), int(box[3])
    return _enlarged(
        one, model, size, restore, detail,
        box=box, tile=tile, precision=precision, progress=progress, notice=notice,
    )  # fmt: skip


def upscale_many(
    items: Iterable[Any],
    model: Network | None = None,
    *,
    scale: float | str = 2,
    **options: "Unpack[_Options]",
) -> Iterator[Any]:
    """Enlarge pictures of any kind one after another, each as `upscale` does; yields in order.

    The next picture is read while one is enlarged; at most two are in memory. `options` are `restore`,
    `detail`, `tile`, `precision`, `progress` and `notice` of `upscale`. A picture that cannot be read, or an iterable
    that fails, raises its error when it is its turn, and ends the iteration.
    """
    with ThreadPoolExecutor(1) as reader:
        rest = iter(items)

        def following() -> "list[Future[Given]]":
            try:
                return [reader.submit(given, x) for x in islice(rest, 1)]
            except Exception as problem:  # of `items`: the one before goes first
                failed = Future[Given]()
                failed.set_exception(problem)
                return [failed]

        waiting = following()
        while waiting:
            one = waiting.pop().result()
            waiting = following()
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
    if not _are_whole(height, width):
        raise SizeError(f"height={height!r}, width={width!r}: give whole numbers of pixels")
    return int(height), int(width)  # not of NumPy, whose quotients are float64


def _are_whole(*numbers: object) -> bool:
    return all(isinstance(number, Integral) for number in numbers)


def _enlarged(
    one: Given,
    model: Network | None,
    size: tuple[int, int],
    restore: float | None = None,
    detail: float | None = None,
    **options: Any,
) -> Any:
    from ginr.rendering.upscale import upscale as render

    for name, value in (("restore", restore), ("detail", detail)):
        if not (value is None or (isinstance(value, Real) and 0 <= value <= 1)):
            raise GinrError(f"{name}={value!r}: give None, or a number from 0 to 1")
    tile, precision = options.get("tile"), options.get("precision", "auto")
    if not (tile is None or (_are_whole(tile) and tile > 0)):
        raise GinrError(f"tile={tile!r}: give None, or a whole number of input pixels from 1")
    if precision not in get_args(Precision):
        raise GinrError(f"precision={precision!r}: give one of {', '.join(get_args(Precision))}")
    if not (model is None or isinstance(model, str | Path) or hasattr(model, "encode_planes")):
        kind = type(model).__name__
        raise TypeError(f"{kind} is not a network: give a checkpoint's name or file, or build it")
    made: list[Picture] = []
    for picture in one.pictures:
        with _alone():
            network = _suited(
                picture, model, one.device, restore, detail, options.get("notice") or _ignore
            )
            made.append(render(picture, network, height=size[0], width=size[1], **options))
    return one.back(made)


@contextmanager
def _alone() -> Iterator[None]:
    """Within the block no other picture is enlarged. Raises GinrError if it is in another such block."""
    if _holder.get():
        raise GinrError(
            "ginr.upscale was called by its own progress or notice: call it when it has returned"
        )
    with _lock:
        token = _holder.set(True)
        try:
            yield
        finally:
            _holder.reset(token)


def _ignore(message: str) -> None:
    """Tells nobody."""


def _suited(
    picture: Picture,
    model: Network | None,
    device: str,
    restore: float | None,
    detail: float | None,
    notice: "Notice",
) -> Encoder[EncodedField]:
    """The network for a picture, set for its damage."""
    if detail and model is not None:
        raise GinrError(f"detail={detail} mixes {RESTORER} and {CRISP}: give no model")
    if model is None and (restore != 0 or detail):
        found = restoration_of(picture, restore, detail)
        notice(str(found))
        if not found.is_needed:
            return _loaded(PLAIN, device)
        return _restorer(found.detail, device).adapted(found.traits)
    if model is None or isinstance(model, str | Path):
        network = _loaded(model or PLAIN, device)
        if network.config.n_trait:
            found = restoration_of(picture, restore, 0.0)
            notice(str(found))
            return network.adapted(found.traits)
        model = network
    if restore:
        raise GinrError(f"restore={restore} needs a network that restores: give no model")
    return model


def _restorer(detail: float, device: str) -> "Ginr | CpuGinr":
    """The network for damaged pictures, or between it and the one that invents detail."""
    from ginr.checkpoints.checkpoint import Blend

    if not detail:
        return _loaded(RESTORER, device)
    return _loaded(CRISP, device, Blend(RESTORER, 1 - detail))


def _loaded(name: str | Path, device: str, blend: "Blend | None" = None) -> "Ginr | CpuGinr":
    """The network of a checkpoint; read again once its file is another, as after more training."""
    from ginr.checkpoints.checkpoint import find_checkpoint

    path = find_checkpoint(name).absolute()
    state = path.stat()
    return _read(path, (state.st_mtime_ns, state.st_size, state.st_ino), device, blend)


@lru_cache(MAX_LOADED)
def _read(
    path: Path, state: tuple[int, ...], device: str, blend: "Blend | None"
) -> "Ginr | CpuGinr":
    from ginr.checkpoints.checkpoint import load_checkpoint, load_cpu_network, needs_torch, peek
    from ginr.device import choose_device, reason_for_cpu

    if reason_for_cpu(device) and not needs_torch(peek(path)):
        return load_cpu_network(path, blend=blend)
    loaded = load_checkpoint(path)
    return (loaded if blend is None else loaded.blended(blend)).build(choose_device(device)[0])
