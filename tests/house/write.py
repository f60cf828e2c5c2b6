"""Writes the generated pages of docs/: `python -m tests.house.write`, or `make docs`."""

from pathlib import Path

from tidings import settings

DOCS = Path(__file__).parents[2] / "docs"

if __name__ == "__main__":
    DOCS.joinpath("settings.md").write_text(settings.as_markdown(), encoding="utf-8")
    print("docs/settings.md")
