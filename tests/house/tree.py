"""The project as the house rules see it: files and syntax trees, nothing of it run.

A rule is a function from a `House` to a list of sentences, one for each violation;
the empty list means that the rule holds. A `House` is read from any folder, so that
`test_rules_can_fail.py` can show each rule a planted violation.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "tidings"


@dataclass(frozen=True)
class Module:
    """One Python file of src/: its dotted name, its path below the root, its text and tree."""

    name: str
    path: Path
    text: str
    tree: ast.Module
    is_package: bool

    @property
    def room(self) -> str:
        """The first name below the package: core, web, app; empty for the package itself."""
        parts = self.name.split(".")
        return parts[1] if len(parts) > 1 else ""

    def at(self, node: ast.AST) -> str:
        """Where a node stands, as `path:line`."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"


@dataclass(frozen=True)
class House:
    """A checkout: its root and the modules of `src/tidings` by their dotted names."""

    root: Path
    modules: dict[str, Module] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "House":
        """Parse every Python file below `root`/src/tidings."""
        modules = {}
        source = root / "src"
        for path in sorted((source / PACKAGE).rglob("*.py")):
            parts = path.relative_to(source).with_suffix("").parts
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            text = path.read_text(encoding="utf-8")
            modules[name] = Module(name, path.relative_to(root), text, ast.parse(text), is_package)
        return cls(root, modules)

    def migrations(self) -> list[Path]:
        """The SQL files of the store, in order."""
        return sorted((self.root / "src" / PACKAGE / "store" / "migrations").glob("*.sql"))

    def imports(self, module: Module) -> Iterator[tuple[ast.AST, str]]:
        """Every module of the house that `module` imports, wherever and whyever, with the statement."""
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    if alias.name.split(".")[0] == PACKAGE:
                        yield node, self._known(alias.name)
            elif isinstance(node, ast.ImportFrom):
                origin = _origin(module, node)
                if origin.split(".")[0] == PACKAGE:
                    for alias in node.names:
                        yield node, self._known(f"{origin}.{alias.name}")

    def _known(self, name: str) -> str:
        """The module that a dotted name leads to: itself, or the one that holds the name."""
        return name if name in self.modules or "." not in name else name.rpartition(".")[0]


def _origin(module: Module, node: ast.ImportFrom) -> str:
    """The absolute name of what `from … import` imports from; dots count up from the module."""
    if not node.level:
        return node.module or ""
    parts = module.name.split(".")
    kept = parts[: len(parts) - node.level + (1 if module.is_package else 0)]
    return ".".join([*kept, node.module] if node.module else kept)


def inside(name: str, owner: str) -> bool:
    """Whether a module is `owner` or lies within it."""
    return name == owner or name.startswith(owner + ".")


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function and method, nested ones too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node
