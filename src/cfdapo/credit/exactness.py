"""Which way of measuring is exact for a model: found by trying it, not by a list of architectures.

Three ways give what method "serial" gives, and the first that is exact for a model is taken: packed
passes, in which sequences share what they have in common; whole sequences, several padded ones at
once; whole sequences one at a time. Each is tried with made-up tokens, where a fault shows without
a doubt: a sequence must not change when its neighbours do, and must be what the model makes of it
alone, up to the longest that will come. States are compared, in which rounding is small, and not
drops, which are small themselves. docs/architectures.md says what came of it for every family.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from cfdapo.credit.packing import Inexact, KeyValues, PackedPass, Segment, packed_attention, running
from cfdapo.credit.scoring import (
    dtype_of,
    embedding,
    evaluating,
    forget_lengths,
    hiding,
    text_config,
)

# How far states that ought to be the same may differ, as a part of their length as vectors, in
# float32 and in 16 bits. Where only neighbours change, nothing but a mixture of experts rounds
# otherwise; where the way of computing changes, everything does. docs/architectures.md has what
# was measured.
_NEIGHBOURS = (1e-4, 0.03)
_WAYS = (1e-3, 0.15)

# Tokens of a sequence that is watched, and of those before and behind it.
_OWN, _BEFORE, _BEHIND = 4, 6, 3


@dataclass(frozen=True)
class Way:
    """How sequences are run.

    `name`: "packed", "batched" (whole sequences, several at once) or "single" (one at a time).
    `reason`: why not packed, a clause whose subject is the model; empty if packed.
    """

    name: str
    reason: str = ""


SINGLE = Way("single", "is measured by the reference")

# What is wrong with a model for some purpose, tried with sequences of some length; or None.
_Check = Callable[[nn.Module, int], str | None]
# By model and check: the longest sequences that were tried, and what was found.
_found: WeakKeyDictionary[nn.Module, dict[_Check, tuple[int, str | None]]] = WeakKeyDictionary()


def settle(model: nn.Module, longest: int, method: str, intervention: str) -> Way:
    """The quickest way in which `method` is exact for sequences of up to `longest` tokens.

    Raises ValueError where there is none: every method but "serial" needs a model whose tokens do
    not depend on later ones, intervention "attention" one that carries tokens forward by attention
    alone, and method "gradient" one that reads nothing of a token but its embedding.
    """
    way = SINGLE if method == "serial" else exact_way(model, longest)
    if method != "serial" and way.name == "single":
        _refuse(model, _flaw(_ahead_flaw, model, longest), f'method "{method}"')
    if intervention == "attention" and way.name != "packed":
        _refuse(model, _flaw(_hiding_flaw, model, longest), 'intervention "attention"')
    if method == "gradient":
        _refuse(model, _flaw(_embedding_flaw, model, longest), 'method "gradient"')
    return way


def _refuse(model: nn.Module, flaw: str | None, what: str) -> None:
    if flaw:
        raise ValueError(f"{what} cannot be exact: {model_name(model)} {flaw}")


def exact_way(model: nn.Module, longest: int) -> Way:
    """As `settle`, for method "prefix"; what is found for a model is kept."""
    reason = _flaw(_packed_flaw, model, longest)
    if reason is None:
        return Way("packed")
    return Way("single" if _flaw(_batched_flaw, model, longest) else "batched", reason)


def model_name(model: nn.Module) -> str:
    """The name of the model's class, without PEFT's wrapping."""
    wrapped: Any = model
    inner = wrapped.get_base_model() if hasattr(model, "get_base_model") else model
    return type(inner).__name__


def _flaw(check: _Check, model: nn.Module, longest: int) -> str | None:
    """What `check` finds, now or earlier: no flaw at some length is none at shorter ones."""
    known = _found.setdefault(model, {})
    tried, flaw = known.get(check, (0, None))
    if longest > tried:
        flaw = _try(check, model, longest)
        known[check] = longest, flaw
    return flaw


def _try(check: _Check, model: nn.Module, longest: int) -> str | None:
    """What `check` finds; failing is a flaw."""
    try:
        with evaluating(model), torch.no_grad():
            return check(model, longest)
    except torch.OutOfMemoryError:
        raise
    except Inexact as error:
        return str(error)
    except Exception as error:
        # A model may do anything with a mask or positions that it does not expect.
        first, *_ = str(error).splitlines() or [""]
        return f"cannot be run so ({type(error).__name__}: {first})"


def _packed_flaw(model: nn.Module, longest: int) -> str | None:
    if _prompt_learning(model):
        return "has a learned prompt or prefix in front of every sequence"
    longest = _positions(model, longest)
    own = _tokens(model, _OWN, 0)
    near, far = (
        [Segment(_tokens(model, n, seed), max(0, end - n)) for n in (_BEFORE, _BEHIND)]
        for seed, end in ((1, 0), (2, longest))
    )
    with packed_attention(model):
        found, changed = (_packed_states(model, own, others) for others in (near, far))
    if _distances(found, changed).max() > _bound(_NEIGHBOURS, model):
        return "lets a token depend on others by more than attention"
    whole = _tokens(model, longest, 3)
    with packed_attention(model):
        found = _packed_states(model, whole, near)
    if _differ(found, _states(model, input_ids=_row(model, whole))[0], model):
        return "attends otherwise than packed passes do"
    return None


def _packed_states(model: nn.Module, own: list[int], others: list[Segment]) -> Tensor:
    """States of the tokens `own` in one row with two other sequences, (tokens, size)."""
    watched = Segment(own, 0)
    device = embedding(model).weight.device
    packed = PackedPass([others[0], watched, others[1]], KeyValues(), [], device)
    positions = packed.positions()
    with running(packed):
        states = _states(
            model,
            input_ids=packed.ids(),
            position_ids=positions,
            attention_mask=torch.ones_like(positions),
        )[0]
    if not packed.calls:
        raise Inexact("does not attend through transformers' AttentionInterface")
    begin = packed.offset(watched)
    return states[begin : begin + len(own)]


def _batched_flaw(model: nn.Module, longest: int) -> str | None:
    """Whether a padded sequence is the same beside a longer one."""
    own = _tokens(model, _OWN, 0)
    longest = max(_positions(model, longest), _OWN + 1)
    rows = [own + [0] * (longest - _OWN), _tokens(model, longest, 1)]
    ids = torch.cat([_row(model, row) for row in rows])
    beside = _states(model, input_ids=ids, attention_mask=torch.ones_like(ids))[0, :_OWN]
    alone = _states(model, input_ids=_row(model, own))[0]
    return "depends on padding" if _differ(beside, alone, model) else None


def _ahead_flaw(model: nn.Module, longest: int) -> str | None:
    """Whether a token depends on later ones."""
    tokens = _tokens(model, _OWN + _BEHIND, 0)
    cut = _states(model, input_ids=_row(model, tokens[:_OWN]))[0]
    longer = _states(model, input_ids=_row(model, tokens))[0, :_OWN]
    return "lets later tokens change earlier ones" if _differ(longer, cut, model) else None


def _hiding_flaw(model: nn.Module, longest: int) -> str | None:
    """Whether a token that sees only itself still depends on others."""
    if _prompt_learning(model):
        return "has a learned prompt or prefix in front of every sequence"

    def itself(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return query == key

    last = _tokens(model, 1, 0)
    before = _positions(model, longest) - 1
    rows = [_row(model, _tokens(model, before, seed) + last) for seed in (1, 2)]
    with hiding(model, itself):
        one, other = (
            _states(model, input_ids=row, attention_mask=torch.ones_like(row))[0, -1:]
            for row in rows
        )
    if _distances(one, other).max() > _bound(_NEIGHBOURS, model):
        return "carries tokens forward by more than attention"
    return None


def _embedding_flaw(model: nn.Module, longest: int) -> str | None:
    """Whether embeddings in the tokens' place give something else, or no gradient."""
    ids = _row(model, _tokens(model, _OWN, 0))
    mask = torch.ones_like(ids)
    read = _states(model, input_ids=ids, attention_mask=mask)[0]
    with torch.enable_grad():
        leaf = embedding(model)(ids).detach().requires_grad_()
        given = _states(model, inputs_embeds=leaf, attention_mask=mask)[0]
        torch.autograd.grad(given.sum(), leaf)
    return "reads more of a token than its embedding" if _differ(given, read, model) else None


def _states(model: nn.Module, **inputs: Any) -> Tensor:
    """The last hidden states of all rows, (rows, tokens, size); the output's head has no part."""
    given = next(iter(inputs.values()))
    nothing = torch.empty(0, dtype=torch.long, device=given.device)
    forget_lengths(model)
    output = model(logits_to_keep=nothing, output_hidden_states=True, use_cache=False, **inputs)
    states = output.logits if output.hidden_states is None else output.hidden_states[-1]
    return states[:, -given.shape[1] :].float()


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """How far every token's states are apart, as a part of their length, (tokens,)."""
    return (one - other).norm(dim=-1) / other.norm(dim=-1)


def _differ(one: Tensor, other: Tensor, model: nn.Module) -> bool:
    """Whether two ways differ where much stands before a token.

    The mean, as rounding may send a token or two to other experts.
    """
    later = _distances(one, other)[len(one) // 2 :].mean()
    return not float(later) <= _bound(_WAYS, model)


def _bound(bounds: tuple[float, float], model: nn.Module) -> float:
    return bounds[dtype_of(model).itemsize < 4]


def _tokens(model: nn.Module, count: int, seed: int) -> list[int]:
    """Token ids that differ by `seed`, from all over the vocabulary."""
    vocabulary = text_config(model).vocab_size
    return [(7919 * (i + 1) + 104_729 * seed + 3) % vocabulary for i in range(count)]


def _row(model: nn.Module, tokens: list[int]) -> Tensor:
    return torch.tensor([tokens], device=embedding(model).weight.device)


def _positions(model: nn.Module, longest: int) -> int:
    """`longest`, or less where the model has learned fewer positions; others can be computed."""
    tables = [
        module.num_embeddings
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and ("position" in name or name.endswith("wpe"))
    ]
    learned = getattr(text_config(model), "max_position_embeddings", None)
    return min([longest, *tables, *([learned] if tables and learned else [])])


def _prompt_learning(model: nn.Module) -> bool:
    config = getattr(model, "active_peft_config", None)
    return bool(getattr(config, "is_prompt_learning", False))
