"""Enlarge a batch of tensors, and use the network as a module: python examples/torch_batch.py"""

import torch

import ginr

batch = torch.rand(2, 3, 32, 48)  # (B, 3, H, W) in [0, 1]
large = ginr.upscale(batch, scale=2)
print(tuple(large.shape), large.dtype)

module = ginr.as_module(scale=2)  # an nn.Module, with gradients: for pipelines and losses
pixels = batch.clone().requires_grad_()
module(pixels).mean().backward()
print(tuple(pixels.grad.shape))
torch.save(large, "batch_large.pt")
