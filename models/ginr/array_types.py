"""Types of NumPy arrays; their axes are documented where they are used."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Image = NDArray[np.uint8]  # (H, W, C): 8-bit samples
Planes = NDArray[np.float32]  # (C, H, W)
