"""The layout holds by itself: layers, no cycles, small folders, tests that mirror the tree."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = ("edgebs", "engines", "calib", "bench", "export")
"""Lowest first; engines and calib do not see each other."""
MOST_ENTRIES, MOST_FILES, MOST_LINES, FEWEST_LINES = 15, 220, 500, 40
WHOLE = ("whole", "fakes", "docker")
"""Folders of tests that mirror no module: the program as a whole, fakes, container files."""


def sources() -> list[Path]:
    """Every Python file of the packages, relative to the root."""
    return [file.relative_to(ROOT) for layer in LAYERS for file in sorted((ROOT / layer).rglob("*.py"))]


def module_of(file: Path) -> str:
    """`edgebs/cues/__init__.py` -> `edgebs.cues`."""
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in sources()}
TREES = {module: ast.parse((ROOT / file).read_text(encoding="utf-8")) for module, file in MODULES.items()}


def runtime_nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes, imports inside functions included, without those that only a type checker reads."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from runtime_nodes(node)


def imports_of(module: str, modules: Iterable[str] = MODULES) -> set[str]:
    """Our own modules that `module` imports."""
    return names_imported(TREES[module], set(modules)) - {module}


def names_imported(tree: ast.AST, modules: set[str]) -> set[str]:
    """Of `modules`, those that the code imports; `from package import name` is a module if there is one."""
    found = set()
    for node in runtime_nodes(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole & modules or {node.module}
    return found & modules


def cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of nodes that reach each other."""
    reached: dict[str, set[str]] = {}
    for start in graph:
        todo, seen = [start], set[str]()
        while todo:
            for following in graph.get(todo.pop(), set()) - seen:
                seen.add(following)
                todo.append(following)
        reached[start] = seen
    groups = {
        frozenset(b for b in reached[a] if a in reached.get(b, set())) for a in graph if a in reached[a]
    }
    return sorted(sorted(group) for group in groups)


def package_of(module: str) -> str:
    """The sub-package of a module, as `export.job`; a module in `edgebs/` stands for itself."""
    return ".".join(module.split(".")[:2])


def test_a_cycle_would_be_found() -> None:
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    code = (
        "from __future__ import annotations\ndef f():\n    from bench import parity\n    import bench.fps\n"
    )
    assert names_imported(ast.parse(code), {"bench.parity", "bench.fps", "bench"}) == {
        "bench.parity",
        "bench.fps",
    }
    unseen = "if TYPE_CHECKING:\n    from bench import parity\n"
    assert names_imported(ast.parse(unseen), {"bench.parity"}) == set()


def test_no_file_imports_itself_in_a_circle() -> None:
    assert cycles({module: imports_of(module) for module in MODULES}) == []


def test_no_package_imports_itself_in_a_circle() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for module in MODULES:
        graph[package_of(module)] |= {package_of(name) for name in imports_of(module)} - {package_of(module)}
    assert cycles(graph) == []


def test_layers_look_down_only_and_the_command_line_alone_looks_up() -> None:
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        if not module.startswith("edgebs.cli")
        for name in imports_of(module)
        if not _may_import(module.split(".")[0], name.split(".")[0])
    ]
    assert wrong == []


def _may_import(layer: str, other: str) -> bool:
    side_by_side = {layer, other} == {"engines", "calib"}
    return layer == other or (LAYERS.index(other) < LAYERS.index(layer) and not side_by_side)


KIND_OF_CUE = re.compile(r"\bcue\.kind$|\bsettings\.kind$|cue\[.kind.\]$")


def test_nothing_compares_the_kind_of_a_cue_with_a_word() -> None:
    found = [
        f"{MODULES[module]}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Compare)
        and KIND_OF_CUE.search(ast.unparse(node.left))
        and any(isinstance(other, ast.Constant) for other in node.comparators)
    ]
    assert found == [], "ask edgebs.bundle.kinds.CueKind instead"


def test_the_two_names_of_tensorrt_stand_together_once() -> None:
    found = [
        f"{MODULES[module]}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, (ast.Tuple, ast.List, ast.Set))
        and {"tensorrt", "tensorrt_rtx"} == {e.value for e in node.elts if isinstance(e, ast.Constant)}
    ]
    assert found == [], "ask edgebs.bundle.kinds.runs_plans instead"


def folders() -> list[Path]:
    """Every folder with Python files, of the packages and of the tests."""
    files = [*sources(), *(file.relative_to(ROOT) for file in (ROOT / "tests").rglob("*.py"))]
    return sorted({file.parent for file in files})


@pytest.mark.parametrize("folder", folders(), ids=str)
def test_a_folder_can_be_seen_at_once(folder: Path) -> None:
    inside = [entry for entry in (ROOT / folder).iterdir() if entry.name != "__pycache__"]
    files = [entry.stem for entry in inside if entry.suffix == ".py" and entry.name != "__init__.py"]
    assert len(files) <= MOST_ENTRIES, sorted(files)
    if folder.parts[0] == "tests":
        files = [name.removeprefix("test_") for name in files]
    families = Counter(name.split("_")[0] for name in files if "_" in name)
    assert [word for word, count in families.items() if count > 2] == []


def test_the_number_of_files_stays_small() -> None:
    assert len(sources()) <= MOST_FILES


def test_no_file_is_too_long_and_none_too_short() -> None:
    lines = {file: len((ROOT / file).read_text(encoding="utf-8").splitlines()) for file in sources()}
    assert [f"{file}: {n}" for file, n in lines.items() if n > MOST_LINES] == []
    short = [
        f"{file}: {n}" for file, n in lines.items() if n < FEWEST_LINES and not file.name.startswith("__")
    ]
    assert [line for line in short if line.split(":")[0] not in SHORT] == []


SHORT = {"edgebs/version.py": "a build reads it without importing the package"}
"""Files below 40 lines, each with its reason."""


def test_every_test_file_has_the_place_of_what_it_tests() -> None:
    strays = []
    for file in sorted((ROOT / "tests").rglob("test_*.py")):
        parts = file.relative_to(ROOT / "tests").with_suffix("").parts
        if len(parts) == 1 or parts[0] in WHOLE:
            continue
        folder, name = ".".join(parts[:-1]), parts[-1].removeprefix("test_")
        # The test of a module, or one of several in a folder of the module's or package's name.
        if f"{folder}.{name}" not in MODULES and not has_code(folder):
            strays.append(str(file.relative_to(ROOT)))
    assert strays == []


def has_code(module: str) -> bool:
    """Whether the module, or the package's `__init__`, defines anything."""
    tree = TREES.get(module)
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Assign)
    return tree is not None and any(isinstance(node, kinds) for node in tree.body)
