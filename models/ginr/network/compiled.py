"""Replaces modules of a network by subclasses that run kernels on the CPU.

The base classes, in `ginr.network.blocks` and `ginr.network.lattice_decoder`, are plain torch. Their
`forward` still runs where no kernel can: on other devices, in other types, under autocast.
"""

from torch import nn

from ginr.network.compiled_blocks import CompiledBlock, CompiledContentPath, CompiledFeedForward
from ginr.network.compiled_decoder import CompiledLatticeDecoder

_KINDS = (CompiledBlock, CompiledContentPath, CompiledFeedForward, CompiledLatticeDecoder)
_COMPILED: dict[type, type[nn.Module]] = {kind.__bases__[0]: kind for kind in _KINDS}


def attach(network: nn.Module) -> None:
    """Change a network's modules to their compiled subclasses, keeping their parameters."""
    for module in network.modules():
        module.__class__ = _COMPILED.get(type(module), type(module))


def detach(network: nn.Module) -> None:
    """The inverse of `attach`: plain torch, which can be exported."""
    plain = {compiled: base for base, compiled in _COMPILED.items()}
    for module in network.modules():
        module.__class__ = plain.get(type(module), type(module))
