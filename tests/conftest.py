"""How the property tests run: without a time limit an example, for a busy machine proves nothing.

CI tries the same examples every time, so that a red run is about the change in it; by hand each
run tries new ones.
"""

import os
import signal
from collections import Counter

import pytest
from hypothesis import settings

settings.register_profile("lineside", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("lineside")

# A shell starts what it runs in the background with Ctrl-C ignored, and so would run all that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules of few tests come first: theirs are the long ones, for which nothing should wait at the end."""
    many = Counter(item.path for item in items)
    items.sort(key=lambda item: many[item.path])
