"""Python imports this by itself at the start of every program below `barograph run -- PROGRAM`."""

import sys
from importlib import import_module
from pathlib import Path

_own = sys.modules[__name__]
sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
try:
    from barograph_application.attaching import attach
except ImportError:
    pass  # another interpreter, where Barograph is not installed: it runs as it would without
else:
    try:
        attach()
    except Exception as error:  # noqa: BLE001 — the program runs, measured or not
        told = f"barograph: not measured: {type(error).__name__}: {error}"
        print(told, file=sys.stderr, flush=True)

# The environment may have a module of this name too, in whose place this one stands.
del sys.modules[__name__]
try:
    import_module(__name__)
except ImportError as error:
    sys.modules[__name__] = _own
    if error.name != __name__:
        raise
