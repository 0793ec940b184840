"""The size of tiles: whole windows plus a margin, as large as memory allows."""

import math

from ginr.architecture.contract import EncodedField, Encoder
from ginr.errors import GinrError
from ginr.kernels.available import default_backend

MARGIN = 32  # LR pixels around the core of a tile, at least
LARGEST = 2048  # LR pixels: the largest side of a core on a GPU, whatever its memory
ALIVE = 14  # float32 numbers per step and packed channel at the encoder's peak of memory
ALIVE_COMPILED = 2.4  # the same with compiled passes
ON_CPU = 880 << 20  # bytes for the encoder on the CPU: tiles of 1024x1024 pixels with `small`


def tile_side(model: Encoder[EncodedField], tile: int | None) -> int:
    """The side of a core in whole windows: `tile`, or what fits into `ON_CPU` bytes or half a GPU."""
    device = model.device
    if tile:
        return whole_windows(tile, model.config.window)
    if device.type != "cuda":
        return fitting_side(model, ON_CPU)
    import torch

    assert isinstance(device, torch.device)
    cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return fitting_side(model, (torch.cuda.mem_get_info(device)[0] + cached) // 2)


def fitting_side(model: Encoder[EncodedField], n_byte: int) -> int:
    """The largest side of a core, in whole windows, that can be encoded in `n_byte` bytes."""
    config = model.config
    has_kernel = config.mixer == "mamba2" and config.values == "normalised"
    compiled = has_kernel and default_backend(model.device) == "numba"
    steps = (config.seq_len + config.n_lp) / config.window**2  # per LR pixel
    alive = ALIVE_COMPILED if compiled else ALIVE
    per_pixel = 4 * alive * steps * (config.inner + 2 * config.n_state) * model.n_view
    side = math.isqrt(int(n_byte / per_pixel)) - 2 * whole_windows(MARGIN, config.window)
    return max(config.window, min(side, LARGEST) // config.window * config.window)


def whole_windows(length: int, window: int) -> int:
    """A length rounded up to whole windows."""
    return -(-length // window) * window


def smaller_side(side: int, model: Encoder[EncodedField]) -> int:
    """Half the side of a tile, in whole windows. Raises GinrError if it is one window already."""
    window, device = model.config.window, model.device
    if side <= window:
        place = "" if device.type == "cpu" else f" on {device}, or use --device cpu"
        raise GinrError(
            f"out of memory with tiles of {side} pixels, the smallest: close other programs{place}"
        )
    return max(window, side // 2 // window * window)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error means that memory ran out."""
    if isinstance(error, MemoryError):
        return True
    # By its text, since oneDNN, CUDA, cuBLAS and cuDNN have no class for it.
    words = ("allocate memory", "could not create a primitive", "out of memory", "ALLOC_FAILED")
    return any(phrase in str(error) for phrase in words)
