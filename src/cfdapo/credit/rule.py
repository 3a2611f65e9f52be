"""What a credit rule is: it reads a batch of completions and returns an advantage for every token.

The trainer knows this interface and no rule. A rule is a module of `cfdapo.credit.rules` whose name
is the mode's and whose `Rule` is a `CreditRule`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from cfdapo.credit.assigner import Credit, CreditConfig
    from cfdapo.credit.proxy import Proxy

TokenIds = list[int]
# A conversation, or text where the data set has no conversations.
Prompt = list[dict[str, Any]] | str
# A prompt, and the start of a completion that is to be gone on with; it may be empty.
Prefix = tuple[TokenIds, TokenIds]
# `sample(prefixes, n)`: n continuations of each prefix, as the trainer samples completions; start
# and continuation together are at most as long as a completion may be.
Sample = Callable[[Sequence[Prefix], int], list[list[TokenIds]]]
# `encode(prompt)`: the prompt's tokens, as the trainer renders its own.
Encode = Callable[[Prompt], TokenIds]
# `grade(texts, rows)`: the reward of each text as the completion of the batch's row of that number.
Grade = Callable[[Sequence[str], Sequence[int]], list[float]]

# What a rule leaves as DAPO has it, of the absolute token advantages |A_{i,t}|.
# "nothing"; "completion": every completion's sum; "group": every group's sum.
KEEPS = ("nothing", "completion", "group")


@dataclass(frozen=True)
class Rollout:
    """One batch of B completions of the policy, and what a rule may ask of it.

    prompts, completions: token ids without padding; the i-th completion has T_i tokens.
    texts: the completions' text, to which all character offsets refer.
    groups: number of each completion's group; a group's completions answer one prompt.
    rewards, advantages: float32 on the CPU, shape (B,): outcomes, and DAPO's A_i (equation 1).
    rows: the data set's row of each completion, as reward functions see it.
    step: optimizer steps before this batch; where a batch is learned from in several of them, in
        units of that many. `every` counts these.
    generator: for a rule's own draws; the same again where a step is repeated after a resume.
    policy: the model in training. temperature: that of its completions.
    sample, grade, encode: see `Sample`, `Grade` and `Encode`; drawing continuations moves the run's
        own generators, which its checkpoints keep.
    proxy_prompts: the prompts in the proxy's tokens, where there is a proxy.
    """

    policy: nn.Module
    prompts: list[TokenIds]
    completions: list[TokenIds]
    texts: list[str]
    groups: list[int]
    rewards: Tensor
    advantages: Tensor
    rows: list[dict[str, Any]]
    step: int
    generator: torch.Generator
    temperature: float
    sample: Sample
    grade: Grade
    encode: Encode
    proxy_prompts: list[TokenIds] | None = None

    def members(self) -> list[list[int]]:
        """Numbers of the completions of each group, in the batch's order."""
        found: dict[int, list[int]] = {}
        for index, group in enumerate(self.groups):
            found.setdefault(group, []).append(index)
        return list(found.values())

    def active(self) -> list[bool]:
        """Which completions are of a group whose advantages are not all 0; others teach nothing."""
        taught: dict[int, bool] = {}
        for group, advantage in zip(self.groups, self.advantages.tolist(), strict=True):
            taught[group] = taught.get(group, False) or advantage != 0
        return [taught[group] for group in self.groups]


@dataclass(frozen=True)
class TokenAdvantages:
    """Token advantages of a batch, in its order, and what they took.

    advantages: float32 on the CPU, one tensor of shape (T_i,) a completion.
    weights: the same as multiples of A_i, where the rule is one of weights; else None.
    credits: spans and measured drops, where the rule measures any; else empty.
    passes: forward passes. tokens: positions that they computed. hits: completions whose drops a
    cache held. generations: continuations that were sampled.
    read: completions in which an answer was looked for; `without_answer` of them state none, and
    `without_span` state one, but nothing before it is a span. Both have weight 1 throughout.
    """

    advantages: list[Tensor]
    weights: list[Tensor] | None = None
    credits: list["Credit"] = field(default_factory=list)
    passes: int = 0
    tokens: int = 0
    hits: int = 0
    generations: int = 0
    read: int = 0
    without_answer: int = 0
    without_span: int = 0


class CreditRule(ABC):
    """A way to give the tokens of completions their advantages.

    Subclasses set `keeps` (one of `KEEPS`), `measures_drops` (whether assignments hold measured
    drops), `generates` (whether it calls `sample` or `grade`, which also need the trainer's own
    generation) or `learns` (whether what it gives depends on the batches before), which both need a
    single process, `reads_rewards` (whether it reads outcomes and not only advantages) and, if they
    have settings of their own, `Options`, a frozen dataclass with a default for each. What a rule
    has learned is its `state`; `load_state` of an empty one forgets it.

    Raises ValueError for options that the rule does not know or does not allow.
    """

    keeps: ClassVar[str] = "nothing"
    measures_drops: ClassVar[bool] = False
    generates: ClassVar[bool] = False
    learns: ClassVar[bool] = False
    reads_rewards: ClassVar[bool] = False
    # Columns of the data that the rule reads in `Rollout.rows`, besides the reward's.
    columns: ClassVar[tuple[str, ...]] = ()

    @dataclass(frozen=True)
    class Options:
        """No settings of its own."""

    def __init__(self, tokenizer: Any, config: "CreditConfig", proxy: "Proxy | None" = None):
        self.tokenizer, self.config = tokenizer, config
        self.options = make_options(type(self), config.mode, config.options)

    def settle(  # noqa: B027, most rules measure nothing
        self, model: nn.Module, prompt: int, completion: int, group: int
    ) -> None:
        """Refuse a model, or warn of what it costs, before anything is generated.

        `prompt` and `completion` are the most tokens of either, `group` is the completions of a
        prompt. Raises ValueError where the rule cannot be exact with this model.
        """

    def __call__(self, rollout: Rollout) -> TokenAdvantages:
        """Token advantages in this step: DAPO's own but in every `config.every`-th."""
        return uniform(rollout) if rollout.step % self.config.every else self.assign(rollout)

    @abstractmethod
    def assign(self, rollout: Rollout) -> TokenAdvantages:
        """Token advantages of a batch; all 0 in a group whose rewards agree."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold of the rule beside the settings; empty if nothing."""
        return {}

    def load_state(self, state: dict[str, Tensor]) -> None:  # noqa: B027, most have no state
        """Go on from what `state` gave."""


def make_options(rule: type[CreditRule], name: str, given: Mapping[str, Any]) -> Any:
    """`rule`'s options, its defaults where nothing is given; ValueError naming a wrong one."""
    known = [one.name for one in fields(rule.Options)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        allowed = ", ".join(known) or "none"
        raise ValueError(f"options of {name}: unknown {', '.join(unknown)}; allowed: {allowed}")
    for one in fields(rule.Options):
        value, default = given.get(one.name, one.default), one.default
        if not _fits(value, default):
            raise ValueError(
                f"options of {name}: {one.name} is {value!r} and must be a "
                f"{type(default).__name__}, such as {default!r}"
            )
    return rule.Options(**given)


def _fits(value: Any, default: Any) -> bool:
    """Whether a setting has its default's type; an integer is a float too, a bool is neither."""
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(default, bool) and isinstance(value, bool)
    return isinstance(value, (int, float) if isinstance(default, float) else type(default))


def uniform(rollout: Rollout) -> TokenAdvantages:
    """DAPO's own: every token of a completion has its advantage."""
    return weighted(rollout, [torch.ones(len(ids)) for ids in rollout.completions])


def weighted(rollout: Rollout, weights: list[Tensor], **others: Any) -> TokenAdvantages:
    """Equation 8: A_{i,t} = w_t A_i. `weights` are float32, (T_i,); `others` are costs."""
    advantages = [
        advantage * weight for advantage, weight in zip(rollout.advantages, weights, strict=True)
    ]
    return TokenAdvantages(advantages, weights, **others)


def with_group_mass(rollout: Rollout, advantages: list[Tensor]) -> list[Tensor]:
    """`advantages` scaled so that every group's sum of |A_{i,t}| is what DAPO's would be.

    A group that gets none at all stays without.
    """
    scaled = list(advantages)
    for members in rollout.members():
        given = sum(float(advantages[index].abs().sum()) for index in members)
        wanted = sum(
            float(rollout.advantages[index].abs()) * len(rollout.completions[index])
            for index in members
        )
        for index in members:
            scaled[index] = advantages[index] * (wanted / given) if given > 0 else advantages[index]
    return scaled
