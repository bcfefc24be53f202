"""Where legoclf keeps what it can make again: converted feature vectors, TensorRT's timing caches."""

import os


def default_cache_dir() -> str:
    """``$LEGOCLF_CACHE_DIR``, else ``legoclf`` in ``$XDG_CACHE_HOME`` or ``~/.cache``."""
    chosen = os.environ.get("LEGOCLF_CACHE_DIR")
    if chosen:
        return chosen
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "legoclf")
