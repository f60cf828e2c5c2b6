"""The pages' rigs share the filled world and the browser of the dashboard's tests."""

from tests.dashboard.conftest import browsing, shown, template

__all__ = ["browsing", "shown", "template"]
