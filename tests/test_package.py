"""The public names: all present, loaded on first use.

Run: pytest tests/test_package.py
"""

import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import ginr


def test_type_checkers_see_the_same_names() -> None:
    source = Path(str(ginr.__file__)).read_text()
    imports = re.findall(r"^    from ginr\.(\S+) import (\w+) as (\w+)$", source, re.MULTILINE)
    assert {(name, module) for module, name, _ in imports} == set(ginr._HOME.items())
    assert all(name == alias for _, name, alias in imports)


@pytest.mark.parametrize("name", ginr.__all__)
def test_every_name_is_what_its_module_defines(name: str) -> None:
    value = getattr(ginr, name)
    assert value.__name__ == name
    assert value.__module__.startswith("ginr.")


def test_no_name_is_hidden_by_a_module() -> None:
    # Importing ginr.x puts the module x on the package, in place of a function called x.
    modules = {module.name for module in pkgutil.iter_modules(ginr.__path__)}
    assert not modules.intersection(ginr.__all__)


def test_the_version_and_all_names_are_listed() -> None:
    from importlib.metadata import version

    assert ginr.__version__ == version("ginr")
    assert {*ginr.__all__, "__version__", "__doc__"} <= set(dir(ginr))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(AttributeError, match="'ginr' has no attribute 'Pictures'"):
        ginr.Pictures  # noqa: B018


def test_importing_the_package_does_not_load_torch() -> None:
    script = (
        "import sys, ginr; from ginr import GinrConfig, SizeError, GinrError; "
        "assert 'torch' not in sys.modules and 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
