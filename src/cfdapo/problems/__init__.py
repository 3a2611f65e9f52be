"""What is learned: data, prompts and the graders.

What others use stands here by name and is imported when it is asked for.
"""

import importlib
from typing import Any

# Each public name and the module that it is defined in.
_PUBLIC = {"extract_answer": "answers", "is_correct": "answers"}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
