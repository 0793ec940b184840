"""`ginr doctor`: what works in this installation, and why the rest does not."""

import platform
import re
import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, requires, version

from ginr.errors import CheckpointError
from ginr_cli import console, options

Section = dict[str, str]


def doctor(as_json: options.Json = False) -> None:
    """Show versions, devices, checkpoints and formats, and why something is missing."""
    examinations = {
        "versions": _versions,
        "devices": _devices,
        "scan backends": _backends,
        "to install": _to_install,
        "checkpoints": _checkpoints,
        "settings": _settings,
        "formats": _formats,
        "extras": _extras,
        "numba cache": _numba_cache,
    }
    sections = {name: _examined(examine) for name, examine in examinations.items()}
    if as_json:
        console.result_json({name.replace(" ", "_"): rows for name, rows in sections.items()})
        return
    for name, rows in sections.items():
        if rows:
            console.result(name)
        for key, value in rows.items():
            console.result(f"  {key:<14} {value}")


def _examined(examine: Callable[[], Section]) -> Section:
    try:
        return examine()
    except Exception as problem:  # a broken part is what people look for here
        return {"broken": console.describe(problem)}


def _versions() -> Section:
    names = ("ginr", "torch", "numpy", "numba", "pillow", "pyvips")
    rows = {"python": f"{platform.python_version()} ({sys.platform}, {platform.machine()})"}
    return rows | {name: version(name) for name in names}


def _devices() -> Section:
    import torch

    from ginr.device import choose_device

    device, reason = choose_device("auto")
    n = torch.get_num_threads()
    rows = {"cpu": f"{n} thread{'s' * (n > 1)}"}
    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        rows[f"cuda:{index}"] = (
            f"{facts.name}, {facts.total_memory / 2**30:.1f} GiB, "
            f"compute capability {facts.major}.{facts.minor}"
        )
    if torch.version.cuda and not torch.cuda.is_available():
        rows["cuda"] = _cuda_problem()
    return rows | {"auto": f"{device} ({reason})"}


def _cuda_problem() -> str:
    """Why a CUDA build of torch finds no device, as the driver says."""
    import torch

    try:
        torch.cuda.init()
    except Exception as problem:
        return console.describe(problem)
    return "no device found"


def _backends() -> Section:
    from ginr.kernels.available import missing
    from ginr.network.scan import backends

    reasons = backends() | {"causal_conv1d": missing("causal_conv1d")}
    return {name: reason or "available" for name, reason in reasons.items()}


def _to_install() -> Section:
    """Missing packages that would make this machine faster."""
    import torch

    from ginr.kernels.available import missing

    if not torch.version.cuda and shutil.which("nvidia-smi"):
        return {"torch": "built without CUDA: choose another build at https://pytorch.org"}
    wanted = {"mamba_ssm": "mamba-ssm>=2.2.4", "causal_conv1d": "causal-conv1d>=1.5"}
    return {
        name: f'pip install --no-build-isolation "{package}"'
        for name, package in wanted.items()
        if torch.cuda.is_available() and missing(name)
    }


def _checkpoints() -> Section:
    from ginr.checkpoints.checkpoint import peek, shipped_checkpoints

    rows = {}
    for name, path in shipped_checkpoints().items():
        try:
            rows[name] = f"{peek(path).n_parameter:,} parameters, {path}"
        except CheckpointError as problem:
            rows[name] = console.describe(problem)
    return rows or {"none": "the shipped weights are missing: reinstall ginr"}


def _settings() -> Section:
    """The user's defaults, and where they are set."""
    from ginr_cli.defaults import config_file, user_defaults

    file = config_file()
    found = "none" if file is None else f"{file}{'' if file.exists() else ' (does not exist)'}"
    defaults = user_defaults()
    return {"file": found} | {
        name: f"{default.value} ({default.origin})" for name, default in defaults.items()
    }


def _formats() -> Section:
    from ginr.pictures import codecs

    return codecs()


def _extras() -> Section:
    """The extras of the package, and how to install what is missing of them."""
    wanted: dict[str, list[str]] = {}
    for requirement in requires("ginr") or ():
        if found := re.match(r"([\w.-]+).*\bextra == ['\"](\w+)", requirement):
            wanted.setdefault(found[2], []).append(found[1])
    rows = {}
    for extra in wanted.keys() - {"dev", "cuda"}:  # kernels are listed with the scan backends
        missing = [package for package in wanted[extra] if not _is_installed(package)]
        advice = f'not installed: {", ".join(missing)}: pip install "ginr[{extra}]"'
        rows[extra] = advice if missing else "available"
    return dict(sorted(rows.items()))


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _numba_cache() -> Section:
    """Where compiled kernels are cached; without a cache every start compiles them again."""
    from ginr.kernels.cache import cache_place

    place = cache_place()
    return {"folder": str(place.folder)} | ({"trouble": place.trouble} if place.trouble else {})
