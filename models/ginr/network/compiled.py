"""Compiled passes for the CPU, put into a network from outside.

The classes of `ginr.network.blocks` and `ginr.network.lattice_decoder` are plain torch and know no kernel.
Each subclass here runs one compiled pass where it can, and its base class where it cannot: on another
device, in another type, under autocast.
"""

from torch import nn

from ginr.network.compiled_blocks import CompiledBlock, CompiledContentPath, CompiledFeedForward
from ginr.network.compiled_decoder import CompiledLatticeDecoder

_KINDS = (CompiledBlock, CompiledContentPath, CompiledFeedForward, CompiledLatticeDecoder)
_COMPILED: dict[type, type[nn.Module]] = {kind.__bases__[0]: kind for kind in _KINDS}


def attach(network: nn.Module) -> None:
    """Turn the modules of a network into their compiled subclasses; parameters stay as they are."""
    for module in network.modules():
        module.__class__ = _COMPILED.get(type(module), type(module))
