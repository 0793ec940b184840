"""The selective scan of Mamba-2 (state-space duality, arXiv 2405.21060) behind one function.

    h_t = exp(dt_t a) h_{t-1} + dt_t B_t (x) x_t        y_t = C_t . h_t + d x_t

Letters: B sequences, T steps, M heads, K channels per head, E = M K inner width, S state size,
C = E + 2 S packed channels: x, then B, then C of the formula, as the convolution leaves them.

Four backends compute the same numbers: `reference` (a plain loop, for tests), `chunked` (matrix
products, wherever torch runs), `numba` (fused, CPU) and `mamba_ssm` (Triton, CUDA).
"""

from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.kernels.available import BACKENDS, default_backend, missing
from ginr.kernels.packing import in_lanes, out_of_lanes
from ginr.kernels.sizes import CHUNK, LANES, STATES, whole

GRID = 65535  # blocks along an axis of a CUDA grid, of which a Triton kernel takes one per chunk


def selective_scan(
    packed: Tensor,
    dt: Tensor,
    a: Tensor,
    d: Tensor,
    n_state: int,
    *,
    reverse: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Scan B sequences over time, forward or (`reverse`) backward; the state starts at zero.

    packed (B, T, E + 2 S) any float dtype; dt (B, T, M) > 0; a (M,) < 0; d (M,).
    Returns y (B, T, E) in the dtype of `packed`; the state itself is always float32.
    """
    backend = backend or default_backend(packed.device)
    dt, a, d = dt.float(), a.float(), d.float()
    if backend == "numba":
        y: Tensor = _NumbaScan.apply(packed.float(), dt, a, d, n_state, reverse)  # type: ignore[no-untyped-call]
        return y.to(packed.dtype)
    if reverse:
        packed, dt = packed.flip(1), dt.flip(1)
    x, b, c = _unpack(packed, dt.shape[-1], n_state)
    if backend == "mamba_ssm":
        y = _mamba_ssm_scan(x, dt, a, b, c, d)
    elif backend == "chunked":
        with torch.autocast(packed.device.type, enabled=False):  # its products would be bfloat16
            y = _chunked_scan(x.float(), dt, a, b.float(), c.float(), d)
    elif backend == "reference":
        y = _reference_scan(x.float(), dt, a, b.float(), c.float(), d)
    else:
        raise ValueError(f"scan backend {backend!r}: expected one of {', '.join(BACKENDS)}")
    y = y.flatten(2).to(packed.dtype)  # (B, T, E)
    return y.flip(1) if reverse else y


def causal_conv_silu(
    u: Tensor, weight: Tensor, bias: Tensor, *, reverse: bool = False, backend: str | None = None
) -> Tensor:
    """SiLU of a depthwise convolution that sees the past only (`reverse`: the future only).

    u (B, T, C); weight (J, C), the last tap on the present step; bias (C,). Returns (B, T, C).
    """
    backend = backend or default_backend(u.device)
    rows = (u.flip(1) if reverse else u).transpose(1, 2)  # (B, C, T)
    taps = weight.t().to(u.dtype)  # (C, J)
    # The extension takes rows of whole 16-byte loads and two to four taps.
    fits = u.shape[-1] % 8 == 0 and 2 <= weight.shape[0] <= 4
    if backend == "mamba_ssm" and fits and not missing("causal_conv1d"):
        conv = import_module("causal_conv1d").causal_conv1d_fn
        mixed = conv(rows, taps.contiguous(), bias.to(u.dtype), activation="silu")
    else:
        padded = F.pad(rows, (weight.shape[0] - 1, 0))
        mixed = F.silu(F.conv1d(padded, taps[:, None], bias.to(u.dtype), groups=u.shape[-1]))
    out: Tensor = mixed.transpose(1, 2)  # (B, T, C)
    return out.flip(1) if reverse else out


def _unpack(packed: Tensor, n_head: int, n_state: int) -> tuple[Tensor, Tensor, Tensor]:
    n_inner = packed.shape[-1] - 2 * n_state
    x, b, c = packed.split([n_inner, n_state, n_state], dim=-1)
    return x.unflatten(-1, (n_head, n_inner // n_head)), b, c  # (B, T, M, K), (B, T, S), (B, T, S)


def _reference_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The formula, one step at a time."""
    state = x.new_zeros(x.shape[0], x.shape[2], x.shape[3], b.shape[-1])  # (B, M, K, S)
    steps = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t] * a)[..., None, None]
        update = (dt[:, t, :, None] * x[:, t])[..., None] * b[:, t, None, None, :]
        state = decay * state + update
        steps.append((state * c[:, t, None, None, :]).sum(-1) + d[:, None] * x[:, t])
    return torch.stack(steps, dim=1)  # (B, T, M, K)


def _chunked_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The same by chunks of time (section 6 of the paper): products inside, a short loop between."""
    n_step = x.shape[1]
    pad = -n_step % CHUNK
    if pad:  # a step with dt = 0 leaves the state alone
        x, dt = F.pad(x, (0, 0, 0, 0, 0, pad)), F.pad(dt, (0, 0, 0, pad))
        b, c = F.pad(b, (0, 0, 0, pad)), F.pad(c, (0, 0, 0, pad))
    x, dt, b, c = (v.unflatten(1, (-1, CHUNK)) for v in (x, dt, b, c))  # (B, chunks, CHUNK, ...)
    log_decay = (dt * a).cumsum(2)  # (B, N, CHUNK, M), from the start of the chunk to each step
    span = log_decay[:, :, :, None] - log_decay[:, :, None]  # (B, N, to, from, M)
    past = torch.ones(CHUNK, CHUNK, dtype=torch.bool, device=x.device).tril()[..., None]
    decay = span.masked_fill(~past, -torch.inf).exp()
    weight = torch.einsum("bnts,bnus->bntu", c, b)[..., None] * decay * dt[:, :, None]
    inside = torch.einsum("bntum,bnumk->bntmk", weight, x)
    to_end = (log_decay[:, :, -1:] - log_decay).exp() * dt  # (B, N, CHUNK, M)
    gained = torch.einsum("bnum,bnumk,bnus->bnmks", to_end, x, b)
    whole = log_decay[:, :, -1].exp()  # (B, N, M)
    state = torch.zeros_like(gained[:, 0])
    starts = []
    for n in range(gained.shape[1]):
        starts.append(state)
        state = whole[:, n, :, None, None] * state + gained[:, n]
    carried = torch.einsum("bnts,bnmks->bntmk", c, torch.stack(starts, 1))
    y = inside + carried * log_decay.exp()[..., None] + d[:, None] * x
    return y.flatten(1, 2)[:, :n_step]  # (B, T, M, K)


def _mamba_ssm_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    scan = import_module("mamba_ssm.ops.triton.ssd_combined").mamba_chunk_scan_combined
    n_sequence = max(1, GRID // -(-x.shape[1] // CHUNK))
    parts = [
        scan(x, dt, a, b[:, :, None], c[:, :, None], chunk_size=CHUNK, D=d)
        for x, dt, b, c in zip(*(v.split(n_sequence) for v in (x, dt, b, c)), strict=True)
    ]
    y: Tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
    return y


class _NumbaScan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, packed: Tensor, dt: Tensor, a: Tensor, d: Tensor, n_state: int, reverse: bool
    ) -> Tensor:
        # Another memory layout of any input would make numba compile for seconds.
        ctx.n_inner, ctx.n_state = packed.shape[-1] - 2 * n_state, n_state
        packed = in_lanes(packed.detach(), ctx.n_inner, n_state)
        packed, dt, a, d = (v.contiguous() for v in (packed, dt, a, d))
        ctx.sizes = ctx.n_inner // dt.shape[-1], whole(n_state, STATES), reverse
        n_batch, n_step, _ = packed.shape
        y = packed.new_empty(n_batch, n_step, whole(ctx.n_inner))
        starts = y.new_empty(n_batch, -(-n_step // CHUNK), y.shape[2] * ctx.sizes[1])
        kernels = import_module("ginr.kernels.scan")  # compiled code: loaded on the first scan only
        kernels.scan_forward(_np(packed), _np(dt), _np(a), _np(d), *ctx.sizes, _np(y), _np(starts))
        ctx.save_for_backward(packed, dt, a, d, starts)
        return y[..., : ctx.n_inner]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        packed, dt, a, d, starts = ctx.saved_tensors
        grad = F.pad(grad, (0, -ctx.n_inner % LANES)).contiguous()
        grad_packed, grad_dt = torch.zeros_like(packed), torch.empty_like(dt)
        grad_a = a.new_zeros(packed.shape[0], a.shape[0])
        grad_d = torch.zeros_like(grad_a)
        import_module("ginr.kernels.scan_backward").scan_backward(
            _np(packed), _np(dt), _np(a), _np(d), *ctx.sizes, _np(starts), _np(grad),
            _np(grad_packed), _np(grad_dt), _np(grad_a), _np(grad_d),
        )  # fmt: skip
        grad_packed = out_of_lanes(grad_packed, ctx.n_inner, ctx.n_state)
        return grad_packed, grad_dt, grad_a.sum(0), grad_d.sum(0), None, None


def _np(tensor: Tensor) -> Any:
    return tensor.detach().numpy()
