"""The selective scan of Mamba (arXiv 2312.00752), whose every channel has states of its own decay.

    h_t[e, s] = exp(dt_t[e] a[e, s]) h_{t-1}[e, s] + dt_t[e] B_t[s] x_t[e]
    y_t[e] = sum over s of C_t[s] h_t[e, s] + d[e] x_t[e]

Letters: B sequences, T steps, E channels, S state size, Q steps of a chunk, N chunks.

Four backends compute the same function: `reference` (a plain loop, for tests), `chunked` (loops over
the steps of all chunks at once, then over chunks; on any device), `numba` (a fused loop, CPU) and
`mamba_ssm` (CUDA).
"""

from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from ginr.kernels.available import CHANNEL_SCAN, slow_mixer
from ginr.kernels.packing import ScanInputs
from ginr.kernels.sizes import CHUNK as SAVED_EVERY
from ginr.kernels.sizes import STATES

CHUNK = 16  # of the chunked form: a window of 320 steps takes 16 + 20 rounds
MOST_STATES = 1 << 24  # states computed at a time: 64 MB


def channel_scan(
    x: Tensor,
    dt: Tensor,
    a: Tensor,
    b: Tensor,
    c: Tensor,
    d: Tensor,
    *,
    reverse: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Scan B sequences over time, forward or (`reverse`) backward, from a zero state.

    x (B, T, E), b and c (B, T, S) of any float dtype; dt (B, T, E) > 0; a (E, S) < 0; d (E,).
    Returns y (B, T, E) in the dtype of `x`; the state itself is always float32.
    """
    backend = backend or channel_backend(x.device)
    dt, a, d = dt.float(), a.float(), d.float()
    if reverse:
        x, dt, b, c = (v.flip(1) for v in (x, dt, b, c))
    if backend not in _SCANS:
        raise ValueError(f"scan backend {backend!r}: expected one of {', '.join(_SCANS)}")
    with torch.autocast(x.device.type, enabled=False):
        y = _SCANS[backend](x.float(), dt, a, b.float(), c.float(), d).to(x.dtype)
    return y.flip(1) if reverse else y


def channel_backend(device: torch.device) -> str:
    """The fastest backend of `channel_scan` on `device`."""
    if slow_mixer(device, "mamba"):
        return "chunked"
    return "numba" if device.type == "cpu" else "mamba_ssm"


def _reference_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """The recurrence, step by step."""
    state = x.new_zeros(x.shape[0], *a.shape)  # (B, E, S)
    steps = []
    for t in range(x.shape[1]):
        decay = torch.exp(dt[:, t, :, None] * a)
        state = decay * state + (dt[:, t] * x[:, t])[..., None] * b[:, t, None]
        steps.append((state * c[:, t, None]).sum(-1) + d * x[:, t])
    return torch.stack(steps, dim=1)


def _chunked_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    n_sequence = max(1, MOST_STATES // (x.shape[1] * a.numel()))
    parts = zip(*(v.split(n_sequence) for v in (x, dt, b, c)), strict=True)
    return torch.cat([_chunks(x, dt, a, b, c) for x, dt, b, c in parts]) + d * x


def _chunks(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """y without the skip: states from a zero state in each chunk, plus what earlier chunks leave."""
    n_step = x.shape[1]
    pad = -n_step % CHUNK  # a step with dt = 0 does not change the state
    x, dt, b, c = (F.pad(v, (0, 0, 0, pad)).unflatten(1, (-1, CHUNK)) for v in (x, dt, b, c))
    decays = torch.exp(dt[..., None] * a).unbind(2)  # Q of (B, N, E, S)
    gains = ((dt * x)[..., None] * b[..., None, :]).unbind(2)
    inside = [gains[0]]
    for decay, gain in zip(decays[1:], gains[1:], strict=True):
        inside.append(torch.addcmul(gain, decay, inside[-1]))
    since = torch.exp(dt.cumsum(2)[..., None] * a)  # (B, N, Q, E, S), from the chunk's start
    start = torch.zeros_like(inside[0][:, 0])
    starts = []
    for decay, gain in zip(since[:, :, -1].unbind(1), inside[-1].unbind(1), strict=True):
        starts.append(start)
        start = torch.addcmul(gain, decay, start)
    states = torch.stack(inside, 2) + since * torch.stack(starts, 1)[:, :, None]
    y = torch.einsum("bnqes,bnqs->bnqe", states, c)
    return y.flatten(1, 2)[:, :n_step]  # (B, T, E)


def _mamba_ssm_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    scan = import_module(CHANNEL_SCAN).selective_scan_fn
    x, dt, b, c = (v.transpose(1, 2) for v in (x, dt, b, c))  # (B, E or S, T)
    y: Tensor = scan(x, dt, a, b, c, d)
    return y.transpose(1, 2)


def _numba_scan(x: Tensor, dt: Tensor, a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    pad = (0, -a.shape[1] % STATES)  # states that stay zero
    rates, b, c = F.pad(a, pad).t(), F.pad(b, pad), F.pad(c, pad)
    y: Tensor = _Fused.apply(x, dt, rates, b, c, d)  # type: ignore[no-untyped-call]
    return y


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        x, _, a = inputs[:3]
        learns = any(ctx.needs_input_grad)
        n_chunk = -(-x.shape[1] // SAVED_EVERY) if learns else 0
        starts = x.new_empty(len(x) if learns else 0, n_chunk, *a.shape)
        given, y = ScanInputs(*(v.contiguous() for v in inputs)), x.new_empty(x.shape)
        kernels = import_module("ginr.kernels.channel_scan")
        kernels.scan_channels(_arrays(given), y.numpy(), starts.numpy())
        ctx.save_for_backward(starts, *given)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        starts, *saved = ctx.saved_tensors
        given, n = ScanInputs(*saved), len(starts)
        grads = ScanInputs(*(torch.empty_like(v) for v in given))
        grads = grads._replace(
            a=grad.new_empty(n, *given.a.shape), d=grad.new_empty(n, *given.d.shape)
        )
        kernels = import_module("ginr.kernels.channel_scan")
        kernels.scan_channels_backward(
            _arrays(given), starts.numpy(), grad.contiguous().numpy(), _arrays(grads)
        )
        return grads._replace(a=grads.a.sum(0), d=grads.d.sum(0))


def _arrays(given: ScanInputs) -> ScanInputs:
    return ScanInputs(*(v.detach().numpy() for v in given))


_SCANS = {
    "reference": _reference_scan,
    "chunked": _chunked_scan,
    "numba": _numba_scan,
    "mamba_ssm": _mamba_ssm_scan,
}
