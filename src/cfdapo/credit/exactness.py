"""Which way of measuring is exact for a model: found by trying it, not by a list of architectures.

Three ways give what method "serial" gives, and the first that is exact for a model is taken: packed
passes, in which sequences share what they have in common; whole sequences, several padded ones at
once; whole sequences one at a time. Each is tried with a few tokens, where a fault shows without a
doubt: a sequence must not change when its neighbours do, and must be what the model makes of it
alone. Rounding tells little here, as states are compared and not the small differences that drops
are. docs/architectures.md says what came of it for every family of models.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from cfdapo.credit.packing import Inexact, KeyValues, PackedPass, Segment, packed_attention, running
from cfdapo.credit.scoring import evaluating, forget_lengths, hiding

# States that ought to be the same differ by at most this part of the largest, in float32 and in 16
# bits. Where only neighbours change, nothing but a mixture of experts rounds otherwise; where
# the way of computing changes, everything does. docs/architectures.md has what was measured.
_NEIGHBOURS = (1e-4, 0.03)
_WAYS = (1e-3, 0.15)

# Tokens of the sequence that is watched, and of those before and behind it.
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

# By model: the longest sequences for which a way was sought, and the way.
_found: WeakKeyDictionary[nn.Module, tuple[int, Way]] = WeakKeyDictionary()


def settle(model: nn.Module, longest: int, method: str, intervention: str) -> Way:
    """The quickest way in which `method` is exact for sequences of up to `longest` tokens.

    Raises ValueError where there is none: intervention "attention" needs a model that carries
    tokens forward by attention alone, and method "gradient" one that reads nothing of a token but
    its embedding.
    """
    way = SINGLE if method == "serial" else exact_way(model, longest)
    if intervention == "attention" and way.name != "packed":
        _refuse(model, _hiding_flaw(model), 'intervention "attention"')
    if method == "gradient":
        _refuse(model, _embedding_flaw(model), 'method "gradient"')
    return way


def _refuse(model: nn.Module, flaw: str | None, what: str) -> None:
    if flaw:
        raise ValueError(f"{what} cannot be exact: {model_name(model)} {flaw}")


def exact_way(model: nn.Module, longest: int) -> Way:
    """As `settle`, for method "prefix"; what is found for a model is kept."""
    tried, way = _found.get(model, (0, SINGLE))
    # What is exact for some length is exact for shorter ones.
    if longest > tried:
        way = _try_ways(model, longest)
        _found[model] = longest, way
    return way


def model_name(model: nn.Module) -> str:
    """The name of the model's class, without PEFT's wrapping."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return type(inner).__name__


def _try_ways(model: nn.Module, longest: int) -> Way:
    reason = _flaw(_packed_flaw, model, longest)
    if reason is None:
        return Way("packed")
    return Way("single" if _flaw(_batched_flaw, model, longest) else "batched", reason)


def _flaw(try_way: Callable[[nn.Module, int], str | None], model: nn.Module, longest: int) -> Any:
    """What is wrong with a way, or None; a way that fails is wrong."""
    try:
        with evaluating(model), torch.no_grad():
            return try_way(model, longest)
    except torch.OutOfMemoryError:
        raise
    except Inexact as error:
        return str(error)
    except Exception as error:
        # A model may do anything with a mask or positions that it does not expect.
        first, *_ = str(error).splitlines() or [""]
        return f"fails there ({type(error).__name__}: {first})"


def _packed_flaw(model: nn.Module, longest: int) -> str | None:
    if _prompt_learning(model):
        return "has a learned prompt or prefix in front of every sequence"
    own = _tokens(model, _OWN, 0)
    near = [Segment(_tokens(model, n, 1), 0) for n in (_BEFORE, _BEHIND)]
    far = [
        Segment(_tokens(model, n, 2), max(0, _most_positions(model, longest) - n))
        for n in (_BEFORE, _BEHIND)
    ]
    with packed_attention(model):
        found, changed = (_packed_states(model, own, others) for others in (near, far))
    if not _same(found, changed, model, _NEIGHBOURS):
        return "lets a token depend on others by more than attention"
    alone = _states(model, input_ids=_row(model, own))[0]
    if not _same(found, alone, model, _WAYS):
        return "attends otherwise than packed passes do"
    return None


def _packed_states(model: nn.Module, own: list[int], others: list[Segment]) -> Tensor:
    """States of the tokens `own` between two sequences, one longer and one shorter, (4, size)."""
    watched = Segment(own, 0)
    device = model.get_input_embeddings().weight.device
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
    length = max(_most_positions(model, longest), _OWN + 1)
    ids = torch.cat(
        [_row(model, own + [0] * (length - _OWN)), _row(model, _tokens(model, length, 1))]
    )
    beside = _states(model, input_ids=ids, attention_mask=torch.ones_like(ids))[0, :_OWN]
    alone = _states(model, input_ids=_row(model, own))[0]
    return None if _same(beside, alone, model, _WAYS) else "depends on padding"


def _hiding_flaw(model: nn.Module) -> str | None:
    """Whether a token that sees only itself still depends on others."""
    if _prompt_learning(model):
        return "has a learned prompt or prefix in front of every sequence"
    return _flaw(_try_hiding, model, _OWN)


def _try_hiding(model: nn.Module, longest: int) -> str | None:
    def itself(row: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return query == key

    last = _tokens(model, 1, 0)
    rows = [_row(model, _tokens(model, longest, seed) + last) for seed in (1, 2)]
    with hiding(model, itself):
        one, other = (
            _states(model, input_ids=row, attention_mask=torch.ones_like(row))[0, -1:]
            for row in rows
        )
    if _same(one, other, model, _NEIGHBOURS):
        return None
    return "carries tokens forward by more than attention"


def _embedding_flaw(model: nn.Module) -> str | None:
    return _flaw(_try_embeddings, model, _OWN)


def _try_embeddings(model: nn.Module, longest: int) -> str | None:
    ids = _row(model, _tokens(model, longest, 0))
    mask = torch.ones_like(ids)
    embedded = model.get_input_embeddings()(ids)
    read = _states(model, input_ids=ids, attention_mask=mask)
    given = _states(model, inputs_embeds=embedded, attention_mask=mask)
    if _same(read, given, model, _WAYS):
        return None
    return "reads more of a token than its embedding"


def _states(model: nn.Module, **inputs: Any) -> Tensor:
    """The last hidden states of all rows, (rows, tokens, size); the output's head has no part."""
    given = next(iter(inputs.values()))
    nothing = torch.empty(0, dtype=torch.long, device=given.device)
    forget_lengths(model)
    output = model(logits_to_keep=nothing, output_hidden_states=True, use_cache=False, **inputs)
    states = output.logits if output.hidden_states is None else output.hidden_states[-1]
    return states[:, -given.shape[1] :]


def _same(one: Tensor, other: Tensor, model: nn.Module, most: tuple[float, float]) -> bool:
    bound = most[model.dtype.itemsize < 4] * float(other.float().abs().max())
    return float((one.float() - other.float()).abs().max()) <= bound


def _tokens(model: nn.Module, count: int, seed: int) -> list[int]:
    """Token ids that differ by `seed`, from all over the vocabulary."""
    vocabulary = model.config.get_text_config().vocab_size
    return [(7919 * (i + 1) + 104_729 * seed + 3) % vocabulary for i in range(count)]


def _row(model: nn.Module, tokens: list[int]) -> Tensor:
    return torch.tensor([tokens], device=model.get_input_embeddings().weight.device)


def _most_positions(model: nn.Module, longest: int) -> int:
    """`longest`, or less where the model has learned fewer positions; others can be computed."""
    tables = [
        module.num_embeddings
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and ("position" in name or name.endswith("wpe"))
    ]
    learned = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return min([longest, *tables, *([learned] if tables and learned else [])])


def _prompt_learning(model: nn.Module) -> bool:
    config = getattr(model, "active_peft_config", None)
    return bool(getattr(config, "is_prompt_learning", False))
