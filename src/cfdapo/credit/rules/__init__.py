"""The credit rules, a module each with its `Rule`; only the one that a run uses is imported."""

import importlib
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cfdapo.credit.rule import CreditRule


def rule_names() -> list[str]:
    """Names of all rules, which are those of the modules here; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))


def get_rule(name: str) -> type["CreditRule"]:
    """The rule of that name; ValueError with the list of names for any other."""
    if name not in rule_names():
        raise ValueError(f"unknown mode {name!r}; allowed: {', '.join(rule_names())}")
    return importlib.import_module(f"{__name__}.{name}").Rule
