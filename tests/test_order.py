"""The order of the packages: each imports only those on the lines below its own, and no two modules import each
other in a circle. An import within a function counts, too. Each package lists its modules."""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = (
    # From words to a command's function, and nothing else.
    ("cli",),
    ("parsers",),
    # One file a command, with all it prints.
    ("commands",),
    ("demo",),
    # Serves the demo and the tests.
    ("world",),
    # The paper's evaluation suite, on Inspect; a run as a page; a run reckoned before it starts.
    ("evaluation", "report", "plan"),
    # Stage 1.
    ("verify",),
    # Every check of a configuration, rows and memory included.
    ("doctor",),
    # The trainer and its parts; files in and out; plain functions for verl's stock managers.
    ("training", "data", "reward_fns"),
    # What a score is and every scorer; a checkpoint as a folder.
    ("scoring", "export"),
    # The guard, from its template to its replicas.
    ("guard",),
    # A main from its command to its record and its curves.
    ("runs",),
    # What verl, Hydra and OmegaConf load in every process.
    ("plugin", "hydra_plugins"),
    ("resolvers",),
    # The ground.
    (
        *("config", "credentials", "overrides", "did_you_mean", "tokens", "end_tokens", "hashing", "attention", "gpus"),
        *("user_code", "platform"),
    ),
)
LINE_OF = {package: number for number, line in enumerate(LINES) for package in line}


def name_of(file: Path, root: Path, package: str) -> str:
    parts = [package, *file.relative_to(root).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file, ROOT / "sinternal_verl", "sinternal_verl"): file for file in ROOT.glob("sinternal_verl/**/*.py")}
FILES |= {
    name_of(file, ROOT / "reward_fns", "sinternal_verl.reward_fns"): file for file in ROOT.glob("reward_fns/*.py")
}


def imports_of(source: str, modules) -> set[str]:
    """Those of ``modules`` that a source imports, whole or a name of."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            wholes = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= wholes & set(modules) or {node.module}
    return found & set(modules)


def package_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", sorted(FILES))
def test_a_module_imports_only_what_is_below_it(module):
    package = package_of(module)
    if not package:
        return
    assert package in LINE_OF, f"{FILES[module]}: name the line of {package} in {__file__}"
    for imported in imports_of(FILES[module].read_text(), FILES):
        below = package_of(imported)
        fits = below in ("", package) or LINE_OF[below] > LINE_OF[package]
        assert fits, f"{FILES[module]} imports {imported}: {package} stands below {below}, or beside it"


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: imports_of(file.read_text(), FILES) - {module} for module, file in FILES.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


PACKAGES = sorted(str(file.parent.relative_to(ROOT)) for file in ROOT.glob("sinternal_verl/*/**/__init__.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_what_is_in_it(package):
    """Its docstring lists each of its modules and packages, and no other."""
    folder = ROOT / package
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
    listed = [name for line in docstring.splitlines() for name in re.findall(r"(?:^|, )``(\w+)``", line)]
    modules = [file.stem for file in folder.glob("*.py") if file.stem != "__init__"]

    assert sorted(listed) == sorted(modules + [file.parent.name for file in folder.glob("*/__init__.py")])


def test_an_import_within_a_function_counts():
    source = "def f():\n    from sinternal_verl.doctor import checks\n    import sinternal_verl.cli\n"

    assert imports_of(source, FILES) == {"sinternal_verl.doctor.checks", "sinternal_verl.cli"}
