"""Which package may import which, no circles between modules, and how long code may be.

Run: pytest tests/test_imports.py
"""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GROUND = {"errors", "array_api", "array_types", "device", "part_files", "user_cache"}
MAY_IMPORT = {
    "architecture": GROUND,
    "kernels": {"architecture", "array_api", "array_types", "user_cache"},
    "geometry": GROUND,
    "pictures": {"errors", "array_types", "part_files"},
    "stores": {"errors", "part_files"},
}
MAY_IMPORT["network"] = MAY_IMPORT["engine"] = GROUND | {*MAY_IMPORT, "pictures.samples"} - {
    "pictures",
    "stores",
}
MAY_IMPORT["checkpoints"] = GROUND | {"architecture", "network", "engine"}
MAY_IMPORT["animations"] = {"errors", "array_types", "part_files", "pictures"}
MAY_IMPORT["videos"] = MAY_IMPORT["animations"]
MAY_IMPORT["measuring"] = GROUND | {"network", "engine", "geometry", "pictures", "checkpoints"}
MAY_IMPORT["assessing"] = {"array_types", "pictures.samples"}
MAY_IMPORT["rendering"] = GROUND | set(MAY_IMPORT) - {"measuring", "assessing"}
MAY_IMPORT["interface"] = GROUND | set(MAY_IMPORT) - {"measuring"}
MAY_IMPORT["ray"] = {"errors", "kernels", "geometry", "interface"}
MAY_IMPORT["lps"] = GROUND | set(MAY_IMPORT) - {"rendering", "interface", "ray"}
MAY_IMPORT["training"] = GROUND | set(MAY_IMPORT) - {"rendering", "interface", "ray"}
TORCHLESS = (
    "architecture",
    "assessing",
    "kernels",
    "engine",
    "pictures",
    "stores",
    "animations",
    "videos",
    "array_types",
    "errors",
    "part_files",
    "user_cache",
)


def modules(folder: Path, package: str) -> dict[str, ast.Module]:
    """Every module below a package by its dotted name."""
    found = {}
    for path in (folder / package).rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = ast.parse(path.read_text())
    return found


LIBRARY = modules(ROOT / "models", "ginr")
COMMAND_LINE = modules(ROOT, "ginr_cli")


def imported(tree: ast.AST, known: dict[str, ast.Module]) -> Iterator[str]:
    """The modules of `known` that a tree imports anywhere, those named in `import_module` too."""
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else node.module for name in names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "import_module":
            names = [str(part.value) for part in node.args if isinstance(part, ast.Constant)]
        yield from (name for name in names if name in known)


def place(module: str) -> tuple[str, str]:
    """The package of a module and its name below `ginr`."""
    inside = module.removeprefix("ginr.")
    return inside.partition(".")[0], inside


def test_packages_import_in_one_direction() -> None:
    wrong = []
    for module, tree in LIBRARY.items():
        package, _ = place(module)
        for other in imported(tree, LIBRARY):
            target, inside = place(other)
            allowed = MAY_IMPORT.get(package, GROUND)
            if module != "ginr" and target != package and not {target, inside} & allowed:
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {module: {*imported(tree, LIBRARY)} - {module} for module, tree in LIBRARY.items()}
    graph = {
        module: {other for other in others if other != "ginr"} for module, others in graph.items()
    }
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert set(LIBRARY) <= {*order, "ginr"}


def test_what_runs_without_torch_imports_none() -> None:
    imports = (ast.Import, ast.ImportFrom)
    wrong = [
        module
        for module, tree in LIBRARY.items()
        if place(module)[0] in TORCHLESS
        for node in ast.walk(tree)
        if isinstance(node, imports) and ast.unparse(node).split()[1].split(".")[0] == "torch"
    ]
    assert wrong == []


def test_files_and_functions_are_short() -> None:
    long = []
    for name, tree in (LIBRARY | COMMAND_LINE).items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            is_command = name == f"ginr_cli.commands.{node.name}"  # arguments are its options
            head = node.body[0].lineno if is_command else node.lineno
            n_arguments = len(node.args.args) + len(node.args.kwonlyargs)
            is_wide = n_arguments > 10 and not is_command and node.name != "upscale"
            if (node.end_lineno or 0) - head >= 60 or is_wide:
                long.append(f"{name}.{node.name}")
        end = max((node.end_lineno or 0 for node in tree.body), default=0)
        if end > 300:
            long.append(name)
    assert not long


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("benchmarks/**/*.py")), ids=lambda path: path.name
)
def test_benchmarks_import_what_there_is(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ginr"):
            found = import_module(node.module or "")
            assert all(hasattr(found, alias.name) for alias in node.names), ast.unparse(node)
