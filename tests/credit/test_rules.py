"""Credit rules: found by name, checked, and what each promises of every batch."""

from dataclasses import dataclass, fields

import pytest
import torch
from made_rollouts import make_rollout, tokenizer

from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.rule import KEEPS, CreditRule, make_options, with_group_mass
from cfdapo.credit.rules import get_rule, require_known_options, rule_names
from cfdapo.files import UserError
from cfdapo.settings import ModeCredit
from cfdapo.study_schema import rules


def test_the_schema_lists_the_rules_that_there_are():
    assert sorted(rules()) == rule_names()
    assert {"counterfactual", "vanilla", "random", "inverted"} <= set(rule_names())


@pytest.mark.parametrize("name", ["uniform", "", "rule", "__init__", "../rule"])
def test_an_unknown_rule_is_refused_with_the_list(name):
    with pytest.raises(ValueError, match="unknown mode .*allowed: .*counterfactual, .*vanilla"):
        get_rule(name)
    with pytest.raises(ValueError, match="unknown mode"):
        CreditConfig(mode=name)


@pytest.mark.parametrize("name", rule_names())
def test_a_rule_says_what_it_is(name):
    rule = get_rule(name)
    assert issubclass(rule, CreditRule) and rule.keeps in KEEPS and rule.__doc__
    assert all(one.default is not None for one in fields(rule.Options))


class Toy(CreditRule):
    """With settings of its own."""

    @dataclass(frozen=True)
    class Options:
        """Two."""

        share: float = 0.5
        count: int = 3
        loud: bool = False

    def assign(self, rollout):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shares": 1}, "options of toy: unknown shares; allowed: share, count, loud"),
        ({"count": 2.5}, "options of toy: count is 2.5 and must be a int"),
        ({"count": True}, "count is True"),
        ({"loud": 1}, "loud is 1"),
        ({"share": "half"}, "share is 'half'"),
    ],
)
def test_wrong_options_are_refused_by_name(given, message):
    with pytest.raises(ValueError, match=message):
        make_options(Toy, "toy", given)


def test_options_have_defaults_and_take_an_integer_for_a_float():
    assert make_options(Toy, "toy", {}) == Toy.Options()
    assert make_options(Toy, "toy", {"share": 1, "loud": True}) == Toy.Options(1, 3, True)


def test_a_rule_without_options_takes_none():
    with pytest.raises(ValueError, match="options of vanilla: unknown top; allowed: none"):
        get_rule("vanilla")(tokenizer(), CreditConfig(mode="vanilla", options={"top": 1}))


def test_group_mass_is_daposs_in_every_group_that_gets_any():
    rollout = make_rollout()
    given = [torch.arange(len(ids)).float() - 3 for ids in rollout.completions]
    given[4:] = [torch.zeros(len(ids)) for ids in rollout.completions[4:]]
    scaled = with_group_mass(rollout, given)
    wanted = sum(abs(float(rollout.advantages[i])) * len(rollout.completions[i]) for i in range(4))
    assert sum(float(one.abs().sum()) for one in scaled[:4]) == pytest.approx(wanted, rel=1e-5)
    assert all(one.abs().sum() == 0 for one in scaled[4:])
    ratio = scaled[0][1:] / given[0][1:]
    assert ratio[given[0][1:] != 0].std() < 1e-5


def test_options_of_a_study_are_checked_before_any_job():
    require_known_options([ModeCredit(mode="vanilla"), ModeCredit(mode="none")])
    require_known_options([ModeCredit(mode="monte_carlo", options={"continuations": 4})])
    with pytest.raises(UserError, match="credit.options: options of monte_carlo: unknown k"):
        require_known_options([ModeCredit(mode="monte_carlo", options={"k": 4})])
    with pytest.raises(UserError, match="continuations and budget are at least 1"):
        require_known_options([ModeCredit(mode="monte_carlo", options={"continuations": 0})])
