"""How the property tests run: without a time limit an example, for a busy machine proves nothing.

CI tries the same examples every time, so that a red run is about the change in it; by hand each
run tries new ones.
"""

import os

from hypothesis import settings

settings.register_profile("lineside", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("lineside")
