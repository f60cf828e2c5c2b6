"""Each house rule is shown a planted violation and must name it; and a clean twin, which it must let pass."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.house import data, floors, pages, shape
from tests.house.tree import House

Rule = Callable[[House], list[str]]


def build(root: Path, files: dict[str, str]) -> House:
    """A small checkout: the files given, and the packages around them."""
    for name, text in files.items():
        path = root / (name if "/" in name and not name.endswith(".py") else f"src/tidings/{name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return House.read(root)


def table(name: str, first: str = "account_id BIGINT") -> dict[str, str]:
    return {
        "src/tidings/store/migrations/0001_a.sql": f"-- a note\nCREATE TABLE {name} (\n {first},\n {{id}});"
    }


SELECT = 'def f(rx):\n    return rx.all("SELECT id FROM {}")\n'
LONG = "def f():\n" + "    pass\n" * 50

PLANTED: list[tuple[Rule, dict[str, str], str]] = [
    (
        floors.floors,
        {"core/forms.py": "from tidings.web import http\n", "web/http.py": ""},
        "core must not import",
    ),
    (
        floors.floors,
        {"engine/loop.py": "import tidings.web.http\n", "web/http.py": ""},
        "engine must not import",
    ),
    (
        floors.floors,
        {"mail/smtp.py": "from tidings.store import db\n", "store/db.py": ""},
        "mail must not import",
    ),
    (
        floors.floors,
        {"store/db.py": "from .. import app\n", "app.py": ""},
        "store must not import tidings.app",
    ),
    (
        floors.floors,
        {"tokens.py": "from tidings.errors import X\n", "errors.py": "X = 1\n"},
        "tokens must not",
    ),
    (
        floors.floors,
        {"__init__.py": "from tidings import errors\n", "errors.py": ""},
        "tidings must not import",
    ),
    (floors.floors, {"attic/x.py": ""}, "attic is on no floor"),
    (
        floors.core_order,
        {"core/events.py": "from tidings.core import forms\n", "core/forms.py": ""},
        "core/forms",
    ),
    (
        floors.core_order,
        {"core/tags.py": "from tidings.core import accounts\n", "core/accounts.py": ""},
        "accounts",
    ),
    (
        floors.core_order,
        {"core/reports.py": "from tidings.core import tags\n", "core/tags.py": ""},
        "core/reports",
    ),
    (floors.core_order, {"core/things.py": ""}, "things has no place"),
    (
        floors.doors,
        {"web/api_v3/a.py": "from tidings.web.public import b\n", "web/public/b.py": ""},
        "web/api_v3 must not import web/public",
    ),
    (
        floors.doors,
        {"web/http.py": "from tidings.web.public import b\n", "web/public/b.py": ""},
        "web/http must",
    ),
    (
        floors.doors,
        {"web/public/b.py": "from tidings.web import server\n", "web/server.py": ""},
        "web/server",
    ),
    (floors.doors, {"cli.py": "from tidings.web import server\n", "web/server.py": ""}, "web/server"),
    (floors.doors, {"web/extra.py": ""}, "extra is no door"),
    (
        floors.circles,
        {
            "core/forms.py": "from tidings.core import tags\n",
            "core/tags.py": "from tidings.core import forms\n",
        },
        "tidings.core.forms",
    ),
    (
        floors.circles,
        {
            "core/forms.py": "from tidings.core.tags import Tag\nclass Form: ...\n",
            "core/tags.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from tidings.core.forms import Form\nclass Tag: ...\n",
        },
        "a circle",
    ),
    (floors.imports_at_top, {"core/forms.py": "def f():\n    import json\n"}, "inside f"),
    (
        floors.imports_at_top,
        {"core/forms.py": "class A:\n    async def g(self):\n        from os import sep\n"},
        "in",
    ),
    (
        floors.imports_at_top,
        {"app.py": "import importlib\nX = importlib.import_module('json')\n"},
        "by a call",
    ),
    (
        floors.settings_stay_up,
        {"core/a.py": "from tidings.settings import X\n", "settings.py": "X = 1\n"},
        "settings",
    ),
    (floors.settings_stay_up, {"store/db.py": "import os\nX = os.environ['TIDINGS_X']\n"}, "environment"),
    (
        floors.engine_knows_no_smtp,
        {"engine/s.py": "from tidings.mail import smtp\n", "mail/smtp.py": ""},
        "smtp",
    ),
    (
        data.one_owner,
        {"core/forms.py": SELECT.format("subscribers")},
        "subscribers belongs to core.subscribers",
    ),
    (data.one_owner, {"core/forms.py": SELECT.format("forms, tags")}, "tags belongs"),
    (data.one_owner, {"core/forms.py": SELECT.format("forms f JOIN tags t")}, "tags belongs"),
    (data.one_owner, {"core/forms.py": 'X = "UPDATE " + "tags SET name = 1"\n'}, "tags belongs"),
    (data.one_owner, {"core/forms.py": 'X = f"DELETE FROM tags WHERE {A}"\n'}, "tags belongs"),
    (data.one_owner, {"core/reports.py": 'X = "DELETE FROM tags"\n'}, "tags belongs"),
    (
        data.one_owner,
        {"core/audience.py": 'X = "INSERT INTO tags (account_id) VALUES (1)"\n'},
        "tags belongs",
    ),
    (data.one_owner, {"web/http.py": SELECT.format("accounts")}, "accounts belongs"),
    (data.one_owner, {"core/forms.py": "def f(t):\n    return f'SELECT id FROM {t}'\n"}, "filled in"),
    (data.one_owner, {**table("things"), "core/forms.py": SELECT.format("things")}, "nobody yet"),
    (data.every_table_owned, table("things"), "things has no owner"),
    (data.every_table_owned, {"core/forms.py": 'X = "CREATE TABLE forms (a)"\n'}, "outside the migrations"),
    (data.accounts_lead, table("tags", "{id}"), "first column of tags"),
    (data.accounts_lead, table("tags", "name TEXT"), "not account_id"),
    (data.sql_at_home, {"web/http.py": SELECT.format("nowhere")}, "SQL outside"),
    (data.sql_at_home, {"engine/loop.py": 'X = "UPDATE deliveries SET state = 1"\n'}, "SQL outside"),
    (data.sql_at_home, {"app.py": 'X = "PRAGMA data_version"\n'}, "SQL outside"),
    (data.sql_at_home, {"core/forms.py": "import apsw\n"}, "only the store imports apsw"),
    (data.sql_at_home, {"app.py": "from psycopg.rows import tuple_row\n"}, "only the store imports psycopg"),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    return f"SELECT a FROM t WHERE b = {x}"\n'},
        "x varies",
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    return "SELECT a FROM t ORDER BY " + x\n'},
        "x varies",
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    return "DELETE FROM t WHERE b = %s" % x\n'},
        "x varies",
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    return "SELECT a FROM t {}".format(x)\n'},
        "x varies",
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    order = x or "id"\n    return f"SELECT a FROM t ORDER BY {order}"\n'},
        "order varies",
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    for o in x:\n        yield f"SELECT a FROM t ORDER BY {o}"\n'},
        "o varies",
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    d = {"a": x}\n    return f"SELECT a FROM t ORDER BY {d[x]}"\n'},
        "d[x] varies",
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    return f"SELECT a FROM t ORDER BY {g(x)}"\ndef g(x):\n    return x\n'},
        "g(x) varies",
    ),
    (data.one_text_for_both, {"core/a.py": "def f(db):\n    if db.is_sqlite:\n        pass\n"}, "dialect.py"),
    (data.one_text_for_both, {"app.py": "def f(db):\n    return db.name == 'postgresql'\n"}, "dialect.py"),
    (
        data.one_text_for_both,
        {"app.py": "def f(db):\n    return 1 if db.dialect == A else 2\n"},
        "dialect.py",
    ),
    (data.one_text_for_both, {"app.py": "def f(url):\n    return url.startswith('sqlite:')\n"}, "dialect.py"),
    (shape.sizes, {"core/a.py": "x = 1\n" * 401}, "401 lines"),
    (shape.sizes, {"core/a.py": LONG}, "f has 51 lines"),
    (shape.words_in_code, {"core/a.py": "class LeadStore: ...\n"}, "LeadStore"),
    (shape.words_in_code, {"core/a.py": "def add_contact(): ...\n"}, "add_contact"),
    (shape.words_in_code, {"core/a.py": "def f(mailing_list): ...\n"}, "mailing_list"),
    (shape.words_in_code, {"core/a.py": "class F:\n    def g(self):\n        self.drips = 1\n"}, "drips"),
    (shape.words_in_code, {"core/a.py": "import json as campaign\n"}, "campaign"),
    (shape.words_in_code, {"core/a.py": "class FormManager: ...\n"}, "manager"),
    (shape.words_in_code, {"core/a.py": "def form_helper(): ...\n"}, "form_helper"),
    (shape.words_in_code, {"core/utils.py": ""}, "the file's name"),
    (shape.words_in_docs, {"docs/a.md": "One\nAdd a contact.\n"}, "docs/a.md:2: the word contact"),
    (shape.words_in_docs, {"docs/deep/a.md": "```\ncode\n```\nYour leads and the Mailing Lists\n"}, "a.md:4"),
    (shape.prints, {"core/a.py": "def f():\n    print(1)\n"}, "print outside cli"),
    (shape.no_download_places, {"requirements/run.txt": "--index-url https://x.test/simple\n"}, "an index"),
    (shape.no_download_places, {"docs/a.md": "from https://files.python" + "hosted.org/x\n"}, "the host"),
    (
        shape.no_download_places,
        {"web/package.json": '{\n  "resol' + 'ved": "https://x.test/a.tgz"\n}\n'},
        "an index",
    ),
]

CLEAN: list[tuple[Rule, dict[str, str]]] = [
    (floors.floors, {"web/http.py": "from tidings.core import tags\n", "core/tags.py": "import json\n"}),
    (floors.core_order, {"core/tags.py": "from tidings.core import events\n", "core/events.py": ""}),
    (floors.core_order, {"core/reports.py": "from tidings.core import counters\n", "core/counters.py": ""}),
    (floors.doors, {"web/public/b.py": "from tidings.web import http\n", "web/http.py": ""}),
    (floors.doors, {"app.py": "from tidings.web import server\n", "web/server.py": ""}),
    (floors.circles, {"core/a.py": "from tidings.core import b\n", "core/b.py": "", "core/__init__.py": ""}),
    (floors.imports_at_top, {"core/a.py": "import json\ndef f():\n    return json\n"}),
    (
        data.one_owner,
        {"core/tags.py": SELECT.format("tags"), "core/subscribers/fields.py": SELECT.format("subscribers")},
    ),
    (
        data.one_owner,
        {"core/reports.py": SELECT.format("tags JOIN forms"), "core/a.py": '"""Read FROM tags."""\n'},
    ),
    (data.accounts_lead, table("tags")),
    (data.sql_at_home, {"web/http.py": 'X = "Select a form from the list"\nY = "DELETE"\n'}),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    return (f"SELECT a FROM t {WHERE} AND b = :b", {"b": x})\n'},
    ),
    (
        data.sql_is_constant,
        {"core/a.py": 'def f(x):\n    o = "a" if x else "b"\n    return f"SELECT a FROM t ORDER BY {o}"\n'},
    ),
    (data.sql_is_constant, {"core/a.py": 'def f(x):\n    return f"SELECT a FROM t ORDER BY {ORDERS[x]}"\n'}),
    (
        data.sql_is_constant,
        {
            "core/a.py": "def f(x):\n    c = 'a, b'\n    if x:\n        c = 'id, ' + c\n"
            "    p = ', '.join(':' + one.strip() for one in c.split(','))\n"
            "    n = {f'id{at}': v for at, v in enumerate(x)}\n    i = ', '.join(n)\n"
            "    return f'INSERT INTO t ({c}) VALUES ({p}, {i}, {g(\"a\")})'\n"
            "def g(way):\n    return way + ' DESC'\n"
        },
    ),
    (data.one_text_for_both, {"store/db.py": "def f(db):\n    return db.name == 'sqlite'\n"}),
    (shape.words_in_code, {"core/a.py": "def f(base_url, leading): ...\nclass Database: ...\n"}),
    (shape.words_in_docs, {"docs/a.md": "Every table leads with it. Never `contact`. [x](/contact)\n"}),
    (shape.prints, {"cli.py": "print(1)\n"}),
]


@pytest.mark.parametrize(("rule", "files", "named"), PLANTED)
def test_a_planted_violation_is_named(tmp_path: Path, rule: Rule, files: dict[str, str], named: str) -> None:
    found = rule(build(tmp_path, files))
    assert any(named in sentence for sentence in found), found


@pytest.mark.parametrize(("rule", "files"), CLEAN)
def test_a_clean_tree_passes(tmp_path: Path, rule: Rule, files: dict[str, str]) -> None:
    assert rule(build(tmp_path, files)) == []


def test_every_rule_has_a_planted_violation() -> None:
    shown = {rule.__name__ for rule, _, _ in PLANTED}
    assert {rule.__name__ for rule in (*floors.RULES, *data.RULES, *shape.RULES)} == shown


def test_a_setting_or_event_without_a_line_is_named(tmp_path: Path) -> None:
    page = tmp_path / "events.md"
    page.write_text("| `tag_add` | a tag; tag_remove is not in code form |\n")
    assert pages.unnamed(("tag_add", "tag_remove"), page) == ["tag_remove"]


def test_a_generated_page_that_was_edited_is_named(tmp_path: Path) -> None:
    page = tmp_path / "settings.md"
    assert pages.generated(page, "x") == ["docs/settings.md is out of date; run: make docs"]
    page.write_text("x")
    assert pages.generated(page, "x") == []


def test_an_endpoint_missing_on_either_side_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"paths": {"/v3/forms/{form_id}": {"get": {}, "parameters": []}}}')
    (tmp_path / "a.md").write_text("`POST /v3/tags` and `GET /v3/forms/{id}?page=2`.")
    described = pages.endpoints_of_openapi(tmp_path / "a.json")
    told = pages.endpoints_of_page(tmp_path / "a.md")
    assert described == {"GET /v3/forms/{}"}
    assert told == {"GET /v3/forms/{}", "POST /v3/tags"}
    assert pages.differences("A", described, "B", told) == ["POST /v3/tags is in B, not in A"]
    assert pages.differences("A", told, "B", described) == ["POST /v3/tags is in A, not in B"]
