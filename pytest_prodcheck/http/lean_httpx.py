"""httpx without its command line.

`import httpx` imports `httpx._main`, and with it click and rich if they are installed: 60 ms
that no run needs. httpx works without that module, so it is hidden here during the import.
"""

import sys

if "httpx" in sys.modules:
    import httpx
else:
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    try:
        import httpx
    finally:
        del sys.modules["httpx._main"]

__all__ = ["httpx"]
