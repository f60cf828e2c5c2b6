"""In CI a skipped test is a failed test: a missing tool must not turn a run green.

A pytest plugin. With `CI=true` every skip becomes a failure that repeats its reason,
but those whose reason starts with `NOT_HERE`: a case that makes no sense for what it
is parametrised with, such as a SQLite file for a PostgreSQL run. Expected failures
(xfail) are left alone.
"""

import os
from collections.abc import Generator

import pytest

NOT_HERE = "does not apply: "


def strict() -> bool:
    """Whether this run counts skips as failures."""
    return os.environ.get("CI", "").lower() in {"true", "1"}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judge a test's skip."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        _judge(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Judge the skip of a whole file, as `pytest.importorskip` makes one."""
    report = yield
    if report.skipped:
        _judge(report)
    return report


def _judge(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    if strict() and not reason.startswith(NOT_HERE):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true allows no skip: {reason}"
