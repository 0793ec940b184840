"""The selective scan of Mamba-2 (state-space duality, arXiv 2405.21060) behind one function.

    h_t = exp(dt_t a) h_{t-1} + dt_t B_t (x) x_t        y_t = C_t . h_t + d x_t

Letters: B sequences, T steps, M heads, K channels per head, E = M K inner width, S state size,
C = E + 2 S packed channels: x, then B, then C of the formula, as the convolution leaves them.

Four backends compute the same function: `reference` (a plain loop, for tests), `chunked` (matrix
products, on any device), `numba` (the scan of Mamba on the CPU, whose states may all decay alike) and
`mamba_ssm` (Triton, CUDA). With normalised values, a CPU kernel of the whole mixer takes its place, see
`ginr.network.compiled_blocks`.
"""

from importlib import import_module

import torch
import torch.nn.functional as F
from torch import Tensor

from ginr.kernels.available import default_backend, missing
from ginr.kernels.sizes import CHUNK
from ginr.network.channel_scan import channel_scan

SCANS = ("reference", "chunked", "numba", "mamba_ssm")
GRID = 65535  # maximum blocks along an axis of a CUDA grid; Triton's kernel uses one per chunk


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
    """Scan B sequences over time, forward or (`reverse`) backward, from a zero state.

    packed (B, T, E + 2 S) of any float dtype; dt (B, T, M) > 0; a (M,) < 0; d (M,).
    Returns y (B, T, E) in the dtype of `packed`; the state itself is always float32.
    """
    backend = backend or default_backend(packed.device)
    dt, a, d = dt.float(), a.float(), d.float()
    if reverse:
        packed, dt = packed.flip(1), dt.flip(1)
    x, b, c = _unpack(packed, dt.shape[-1], n_state)
    if backend == "mamba_ssm":
        y = _mamba_ssm_scan(x, dt, a, b, c, d)
    elif backend == "chunked":
        with torch.autocast(packed.device.type, enabled=False):  # matrix products in float32
            y = _chunked_scan(x.float(), dt, a, b.float(), c.float(), d)
    elif backend == "numba":
        y = _numba_scan(x, dt, a, b, c, d)
    elif backend == "reference":
        y = _reference_scan(x.float(), dt, a, b.float(), c.float(), d)
    else:
        raise ValueError(f"scan backend {backend!r}: expected one of {', '.join(SCANS)}")
    y = y.flatten(2).to(packed.dtype)  # (B, T, E)
    return y.flip(1) if reverse else y


def backends() -> dict[str, str]:
    """Every backend with the reason why it is unavailable, empty if it is available."""
    cuda = "" if torch.cuda.is_available() else "needs a CUDA device, none was found"
    return {
        "reference": "",
        "chunked": "",
        "numba": missing("numba"),
        "mamba_ssm": missing("mamba_ssm") or cuda,
    }


def causal_conv_silu(
    u: Tensor, weight: Tensor, bias: Tensor, *, reverse: bool = False, backend: str | None = None
) -> Tensor:
    """SiLU of a causal (`reverse`: anticausal) depthwise convolution.

    u (B, T, C); weight (J, C), the last tap for the current step; bias (C,). Returns (B, T, C).
    """
    backend = backend or default_backend(u.device)
    rows = (u.flip(1) if reverse else u).transpose(1, 2)  # (B, C, T)
    taps = weight.t().to(u.dtype)  # (C, J)
    # The extension requires rows of whole 16-byte loads and two to four taps.
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
    """The recurrence, step by step."""
    state = x.new_zeros(x.shape[0], x.shape[2], x.shape[3], b.shape[-1])  # (B, M, K, S)
    steps = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t] * a)[..., None, None]
        update = (dt[:, t, :, None] * x[:, t])[..., None] * b[:, t, None, None, :]
        state = decay * state + update
        steps.append((state * c[:, t, None, None, :]).sum(-1) + d[:, None] * x[:, t])
    return torch.stack(steps, dim=1)  # (B, T, M, K)


def _chunked_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Matrix products within chunks of time, and a short loop over chunks (section 6 of the paper)."""
    n_step = x.shape[1]
    pad = -n_step % CHUNK
    if pad:  # a step with dt = 0 does not change the state
        x, dt = F.pad(x, (0, 0, 0, 0, 0, pad)), F.pad(dt, (0, 0, 0, pad))
        b, c = F.pad(b, (0, 0, 0, pad)), F.pad(c, (0, 0, 0, pad))
    x, dt, b, c = (v.unflatten(1, (-1, CHUNK)) for v in (x, dt, b, c))  # (B, chunks, CHUNK, ...)
    log_decay = (dt * a).cumsum(2)  # (B, N, CHUNK, M), since the start of the chunk
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


def _numba_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    n_channel = x.shape[-1]
    dt, a, d = (v.repeat_interleave(n_channel, -1) for v in (dt, a, d))  # of heads to channels
    rates = a[:, None].expand(-1, b.shape[-1])  # (E, S)
    y = channel_scan(x.flatten(2), dt, rates, b, c, d, backend="numba")
    by_head: Tensor = y.unflatten(-1, (-1, n_channel))
    return by_head


def _mamba_ssm_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    scan = import_module("mamba_ssm.ops.triton.ssd_combined").mamba_chunk_scan_combined
    n_sequence = max(1, GRID // -(-x.shape[1] // CHUNK))
    parts = [
        scan(x, dt, a, b[:, :, None], c[:, :, None], chunk_size=CHUNK, D=d)
        for x, dt, b, c in zip(*(v.split(n_sequence) for v in (x, dt, b, c)), strict=True)
    ]
    y: Tensor = parts[0] if len(parts) == 1 else torch.cat(parts)
    return y
