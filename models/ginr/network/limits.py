"""Limits applied in torch; queries on the CPU use `ginr.kernels.limits`."""

import torch
from torch import Tensor

from ginr.device import sent
from ginr.kernels.grid_tables import neighbours


def limit_grid(rgb: Tensor, limits: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Clamps rgb (B, 3, h', w') at rows (h') x columns (w') in LR pixels to limits (B, 8, H, W)."""
    y, wy, _ = neighbours(sent(rows, limits.device), 1.0, limits.shape[2])  # (h', 2)
    x, wx, _ = neighbours(sent(columns, limits.device), 1.0, limits.shape[3])
    tall = torch.einsum("bchkw,hk->bchw", limits[:, :, y], wy.to(limits))
    return _within(rgb, torch.einsum("bchwk,wk->bchw", tall[..., x], wx.to(limits)))


def limit_at(rgb: Tensor, limits: Tensor, places: Tensor) -> Tensor:
    """Clamps rgb (B, Q, 3) at places (B, Q, 2) in LR pixels to limits (B, 8, H, W)."""
    learning = torch.is_grad_enabled() and (rgb.requires_grad or places.requires_grad)
    if learning or any(v.device.type != "cpu" or v.dtype != torch.float32 for v in (rgb, places)):
        return limit_at_plain(rgb, limits, places)
    from ginr.kernels.limits import limit_queries

    out = rgb.clone(memory_format=torch.contiguous_format)
    limit_queries(*(v.detach().contiguous().numpy() for v in (limits, places)), out.numpy())
    return out


def limit_at_plain(rgb: Tensor, limits: Tensor, places: Tensor) -> Tensor:
    """`limit_at` in plain torch, with gradients and on any device."""
    height, width = limits.shape[2:]
    y, wy, _ = neighbours(places[..., 0], 1.0, height)  # (B, Q, 2)
    x, wx, _ = neighbours(places[..., 1], 1.0, width)
    index = (y[..., :, None] * width + x[..., None, :]).flatten(1)  # (B, Q 4)
    weight = (wy[..., :, None] * wx[..., None, :]).flatten(2).to(limits)  # (B, Q, 4)
    four = limits.flatten(2).gather(2, index[:, None].expand(-1, limits.shape[1], -1))
    here = torch.einsum("bcqk,bqk->bcq", four.unflatten(2, (-1, 4)), weight)
    return _within(rgb.transpose(1, 2), here).transpose(1, 2)


def _within(rgb: Tensor, limits: Tensor) -> Tensor:
    """Clamps rgb (B, 3, ...) to limits (B, 8, ...) at the same places."""
    low, high, colour, active = limits.split([3, 3, 1, 1], 1)
    grey = rgb.mean(1, keepdim=True)
    held = torch.minimum(torch.maximum(grey + colour * (rgb - grey), low), high)
    return torch.where(active > 0, held, rgb)
