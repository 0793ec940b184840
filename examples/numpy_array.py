"""Enlarge NumPy arrays of floats and of 16 bits: python examples/numpy_array.py"""

import numpy as np

import ginr

y, x = np.mgrid[0:64, 0:96] / 96
ramp = 0.5 + 0.5 * np.sin(40 * x * y)  # (64, 96), float64 in [0, 1]
large = ginr.upscale(ramp, scale=3)
print(large.shape, large.dtype, f"{large.min():.3f} to {large.max():.3f}")

deep = (ramp * 65535).astype(np.uint16)
deep_large = ginr.upscale(deep, scale="2x3")  # twice as wide, three times as tall
print(deep_large.shape, deep_large.dtype)
np.save("ramp_large.npy", large)
