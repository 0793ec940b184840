"""Enlarging a column of pictures in a pipeline of Ray Data: `import ginr.ray`."""

from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ginr.errors import GinrError
from ginr.geometry.size import parse_scale
from ginr.interface import upscaling as interface

if TYPE_CHECKING:
    from ray.data import Dataset


def upscale(
    dataset: "Dataset",
    column: str = "image",
    *,
    to: str | None = None,
    model: str | Path | None = None,
    scale: float | str | None = None,
    gpus: float = 0,
    workers: int | None = None,
    **options: Any,
) -> "Dataset":
    """The dataset with the pictures of a column enlarged, each by `ginr.upscale`; lazy, as all of Ray Data.

    The column holds arrays (H, W) or (H, W, C), as `ray.data.read_images` makes them; `to` is the column
    for the results, None for the same one. `model` is the name of a checkpoint, or a file that all
    machines share. `scale` is 2 without `height` and `width`. Each worker keeps its network and takes
    one core and `gpus` GPUs; there are at most `workers`, by default as many as the cluster has room for.
    `options` are `box`, `tile`, `precision` and others of `ginr.upscale`. A row that cannot be enlarged
    fails as Ray Data's settings say. Raises GinrError without Ray, SizeError for a wrong scale, TypeError
    for an unknown option.
    """
    settings = {"model": model, "scale": scale, **options}
    signature(interface.upscale).bind(None, **settings)
    if scale is not None:
        parse_scale(str(scale))
    try:
        import ray
    except ImportError:
        raise GinrError('ginr.ray needs Ray: pip install "ginr[ray]"') from None
    if workers is None:
        if not ray.is_initialized():
            ray.init()
        found = ray.cluster_resources()
        workers = int(found.get("GPU", 0) / gpus if gpus else found.get("CPU", 1))
    return dataset.map(
        _Enlarging,
        fn_constructor_args=(column, to or column, settings),
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, workers)),
        num_cpus=1,
        num_gpus=gpus,
    )


class _Enlarging:
    """What a worker does to a row."""

    def __init__(self, column: str, to: str, settings: dict[str, Any]) -> None:
        from ginr.kernels.threads import limit_threads

        limit_threads(1)  # the other cores have workers of their own
        self._column, self._to, self._settings = column, to, settings

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        if self._column not in row:
            raise GinrError(f"no column {self._column!r}: there are {', '.join(row)}")
        return {**row, self._to: interface.upscale(row[self._column], **self._settings)}
