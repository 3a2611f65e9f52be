"""The method: spans of a completion, their drops, and the rules that give tokens their credit.

What others use stands here by name and is imported when it is asked for, so that finding spans in a
text loads no torch.
"""

import importlib
from typing import Any

# Each public name and the module that it is defined in.
_PUBLIC = {
    "CreditConfig": "assigner",
    "CreditRule": "rule",
    "DropRequest": "interventions",
    "Rollout": "rule",
    "Span": "spans",
    "TokenAdvantages": "rule",
    "find_answer": "spans",
    "find_spans": "spans",
    "measure_drops": "importance",
    "measure_drops_batch": "importance",
    "to_tokens": "alignment",
    "token_weights": "weights",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
