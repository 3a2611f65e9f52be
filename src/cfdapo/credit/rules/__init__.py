"""The credit rules, a module each with its `Rule`; only the one that a run uses is imported.

A rule of one's own is named by its path, as `mypackage.rules:MyRule`.
"""

import importlib
import importlib.util
import inspect
import pkgutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cfdapo.files import UserError
from cfdapo.own_code import EXAMPLE, is_own, load
from cfdapo.settings import ModeCredit

if TYPE_CHECKING:
    from cfdapo.credit.rule import CreditRule


def rule_names() -> list[str]:
    """Names of all rules, which are those of the modules here; imports none of them."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))


def get_rule(name: str) -> type["CreditRule"]:
    """The rule of that name, or of one's own by its path.

    Raises:
        ValueError: there is none of that name, with the list of those that there are.
        UserError: the path names nothing that can be loaded, or no `CreditRule`.
    """
    if is_own(name):
        return _own_rule(name)
    if name not in rule_names():
        known = ", ".join(rule_names())
        raise ValueError(f"unknown mode {name!r}; allowed: {known}, or a path as {EXAMPLE}")
    return importlib.import_module(f"{__name__}.{name}").Rule


def _own_rule(name: str) -> type["CreditRule"]:
    from cfdapo.credit.rule import KEEPS, CreditRule

    found = load(name)
    if not inspect.isclass(found) or not issubclass(found, CreditRule):
        raise UserError(
            f"{name}: is no CreditRule; a rule is a class that inherits cfdapo.credit's"
        )
    if inspect.isabstract(found):
        lacking = ", ".join(sorted(found.__abstractmethods__))
        raise UserError(f"{name}: lacks {lacking}; see CreditRule in cfdapo.credit.rule")
    if found.keeps not in KEEPS:
        raise UserError(f"{name}: keeps is {found.keeps!r}; allowed: {', '.join(KEEPS)}")
    return found


def require_known_options(modes: Iterable[ModeCredit]) -> None:
    """Refuse options that a mode's rule does not know, where torch is there to ask it.

    `modes` are the study's, its variants and the rules that it has options of. Rules without
    options are not loaded, and where there is no torch, the training job refuses. Raises
    `UserError` naming the options that are allowed.
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
