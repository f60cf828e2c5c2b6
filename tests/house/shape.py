"""How code and documents are written: sizes, words, printing, what a file must not name."""

import ast
import re
import subprocess
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from tests.house.tree import House, functions, inside

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 50

# The words of the domain are ConvertKit's; these are other products' words for them.
OTHER_WORDS = {
    "contact", "contacts", "lead", "leads", "campaign", "campaigns", "blast", "blasts", "drip", "drips",
    "blacklist", "blacklists", "mailinglist", "mailinglists",
}  # fmt: skip
# They say nothing about what is inside.
EMPTY_WORDS = {"manager", "service", "helper", "helpers", "handler", "utils", "util", "common", "base"}
# A function has a verb beside them: `common_errors` says something, `form_helper` does not.
EMPTY_IN_FUNCTIONS = EMPTY_WORDS - {"base", "common", "service"}
# Names that a library calls, so that they cannot be ours to choose.
OVERRIDES = {"timeout_keep_alive_handler"}

# In documents the verb "to lead" is English, and so is a product's own name.
_DOC_WORDS = re.compile(
    r"\b(contacts?|campaigns?|blasts?|drips?|blacklist\w*|mailing lists?"
    r"|(?:a|the|new|your|each|every|of) leads?)\b",
    re.IGNORECASE,
)
_PRODUCT_NAMES = re.compile(r"Contact Form(?: 7)?|Mailing List Servers")
_CODE = re.compile(r"```.*?```|`[^`\n]*`|\]\([^)]*\)|https?://\S+|<!--.*?-->", re.DOTALL)

# Written in two halves, since no file may hold them, this one included.
_HOSTS = tuple(
    left + right
    for left, right in (
        ("py", "pi.org"), ("pypi.py", "thon.org"), ("files.python", "hosted.org"), ("registry.npm", "js.org"),
        ("registry.yarn", "pkg.com"), ("deb.deb", "ian.org"), ("security.deb", "ian.org"),
    )
)  # fmt: skip
_INDEX = re.compile(
    r"(?m)^\s*(?:--(?:extra-)?index-url|--find-links|-i|-f)\s+\S+|\"resolved\":\s*\"https?:|registry\s*=\s*\"?https?:"
)
_TEXT_MAX = 4_000_000


def sizes(house: House) -> list[str]:
    """A file has at most 400 lines, a function at most 50."""
    wrong = []
    for module in house.modules.values():
        lines = len(module.text.splitlines())
        if lines > FILE_LINES_MAX:
            wrong.append(f"{module.path}: {lines} lines, more than {FILE_LINES_MAX}; split it by ability")
        for function in functions(module.tree):
            length = (function.end_lineno or 0) - function.lineno + 1
            if length > FUNCTION_LINES_MAX:
                wrong.append(f"{module.at(function)}: {function.name} has {length} lines")
    return wrong


def words_in_code(house: House) -> list[str]:
    """No name defined here uses another product's word, or one that says nothing."""
    wrong = []
    for module in house.modules.values():
        if _words(module.name.rpartition(".")[2]) & (OTHER_WORDS | EMPTY_WORDS):
            wrong.append(f"{module.path}: the file's name")
        for node, name, empty in _defined(module.tree):
            bad = _words(name) & (OTHER_WORDS | empty)
            if bad:
                wrong.append(f"{module.at(node)}: {name} uses the word {', '.join(sorted(bad))}")
    return wrong


def words_in_docs(house: House) -> list[str]:
    """No document uses another product's word outside of code and links."""
    wrong = []
    for path in _documents(house.root):
        # What is taken out leaves its line breaks, so that the numbers stay right.
        text = _CODE.sub(lambda code: "\n" * code[0].count("\n"), path.read_text(encoding="utf-8"))
        for number, line in enumerate(text.splitlines(), start=1):
            wrong += [
                f"{path.relative_to(house.root)}:{number}: the word {found}"
                for found in _DOC_WORDS.findall(_PRODUCT_NAMES.sub("", line))
            ]
    return wrong


def prints(house: House) -> list[str]:
    """Only the command line prints."""
    return [
        f"{module.at(node)}: print outside cli"
        for module in house.modules.values()
        if not inside(module.name, "tidings.cli")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]


def no_download_places(house: House) -> list[str]:
    """No file says where packages are downloaded from: that is each machine's own affair."""
    wrong = []
    for path in _tracked(house.root):
        if path.stat().st_size > _TEXT_MAX:
            continue
        raw = path.read_bytes()
        if b"\0" in raw:
            continue
        text = raw.decode("utf-8", "replace")
        place = path.relative_to(house.root)
        wrong += [f"{place}: names the host {host}" for host in _HOSTS if _host(host).search(text)]
        wrong += [f"{place}: names an index: {found.strip()}" for found in _INDEX.findall(text)]
    return wrong


RULES = (sizes, words_in_code, words_in_docs, prints, no_download_places)


def _host(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", re.IGNORECASE)


def _words(name: str) -> set[str]:
    """The words of an identifier; two that follow each other also count as one, for `mailing_list`."""
    parts = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    return {*parts, *(left + right for left, right in pairwise(parts))}


def _defined(tree: ast.AST) -> Iterator[tuple[ast.AST, str, set[str]]]:
    """Every name that a file defines, with the empty words that it must not use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield node, node.name, EMPTY_WORDS
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name not in OVERRIDES:
                yield node, node.name, EMPTY_IN_FUNCTIONS
        elif isinstance(node, ast.arg):
            yield node, node.arg, set()
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node, node.id, set()
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node, node.attr, set()
        elif isinstance(node, ast.alias) and node.asname:
            yield node, node.asname, set()


def _documents(root: Path) -> list[Path]:
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def _tracked(root: Path) -> list[Path]:
    """What git has or would take; without git, every file but those of the set-up."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode == 0 and (root / ".git").exists():
        paths = [root / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [
            p
            for p in root.rglob("*")
            if not {".venv", "node_modules", ".git"} & set(p.relative_to(root).parts)
        ]
    return sorted(path for path in paths if path.is_file() and not path.is_symlink())
