"""The examples of docs/sandbox.md work as printed."""

import re
import subprocess
import sys
from pathlib import Path

from tests.clients import test_clients as clients
from tests.sandbox.asked import ask
from tidings.sandbox.faults import Wanted
from tidings.testing import Sandbox

PAGE = (Path(__file__).parents[2] / "docs" / "sandbox.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    """The one block of a language."""
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


def test_the_python_example_passes(tmp_path: Path) -> None:
    (tmp_path / "test_example.py").write_text(block("python"), encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_example.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_the_javascript_example_passes(sandbox: Sandbox, tmp_path: Path) -> None:
    node, _ = clients._node()
    file = tmp_path / "example.test.mjs"
    file.write_text(block("javascript").replace("http://127.0.0.1:8080", sandbox.base_url), encoding="utf-8")
    ran = clients._run([node, "--test", str(file)], tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(sandbox.mails()) == 1


def test_the_php_example_asks_what_there_is(sandbox: Sandbox) -> None:
    """No PHP runs here: the addresses that it names are asked, and answer."""
    paths = [
        one.partition("?")[0] for one in re.findall(r"'(?:http://127\.0\.0\.1:8080)?(/[^']+)'", block("php"))
    ]
    assert sorted(paths) == ["/sandbox/mails", "/sandbox/reset", "/v3/forms/2765139/subscribe"]
    given = {"api_key": sandbox.api_key, "email": "bea@example.com"}
    assert ask(sandbox, "POST", "/sandbox/reset", []).status == 200
    assert ask(sandbox, "POST", "/v3/forms/2765139/subscribe", given).status == 200
    (sent,) = ask(sandbox, "GET", "/sandbox/mails?to=bea@example.com").json["mails"]
    assert sent["subject"] in block("php")
    assert sandbox.api_key in block("php")


def test_every_example_has_about_ten_lines() -> None:
    for language in ("python", "javascript", "php"):
        lines = [line for line in block(language).splitlines() if line.strip()]
        assert len(lines) <= 14, language


def test_every_control_and_every_word_of_a_fault_has_its_line(sandbox: Sandbox) -> None:
    there = ask(sandbox, "GET", "/sandbox/nothing").json["message"].removeprefix("There is ").split(", ")
    assert len(there) == 9
    told = set(re.findall(r"`(?:(?:GET|POST|DELETE) )?(/sandbox[a-z/]*)", PAGE))
    assert told == set(there)
    assert [one for one in Wanted.__struct_fields__ if f"`{one}`" not in PAGE] == []
