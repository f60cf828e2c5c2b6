"""What the tests of the sandbox share: one running sandbox, as a user's project would have it."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.sandbox.asked import Answer, ask
from tidings.testing import Sandbox, sandbox, sandbox_seed, sandbox_server

__all__ = ["sandbox", "sandbox_seed", "sandbox_server"]

Asked = Callable[..., Answer]


@pytest.fixture
def v3(sandbox: Sandbox) -> Asked:
    """Call v3 as the account: method, path, values."""

    def called(method: str, path: str, **given: Any) -> Answer:
        keys = {"api_key": sandbox.api_key, "api_secret": sandbox.api_secret}
        return ask(sandbox, method, f"/v3{path}", {**keys, **given})

    return called


@pytest.fixture
def control(sandbox: Sandbox) -> Asked:
    """Call the control address: method, path, body, headers."""

    def called(method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        return ask(sandbox, method, f"/sandbox{path}", body, headers)

    return called
