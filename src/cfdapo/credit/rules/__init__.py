"""The credit rules, a module each with its `Rule`; only the one that a run uses is imported."""

import importlib
import importlib.util
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cfdapo.files import UserError
from cfdapo.settings import ModeCredit

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


def require_known_options(modes: Iterable[ModeCredit]) -> None:
    """Refuse options that a mode's rule does not know, where torch is there to ask it.

    `modes` are the study's. Rules without options are not loaded, and where there is
    no torch, the training job refuses. Raises `UserError` naming the options that are allowed.
    """
    given = [mode for mode in modes if mode.options]
    if not given or importlib.util.find_spec("torch") is None:
        return
    from cfdapo.credit.rule import make_options

    for mode in given:
        try:
            make_options(get_rule(mode.mode), mode.mode, mode.options)
        except ValueError as error:
            raise UserError(f"credit.options: {error}") from error
