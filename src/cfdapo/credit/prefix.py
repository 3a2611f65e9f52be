"""Scores of all branches of all completions, with nothing computed twice (method "prefix")."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from cfdapo.credit.interventions import Branch, Plan
from cfdapo.credit.packing import KeyValues, PackedPass, Segment, packed_attention
from cfdapo.credit.scoring import LOGITS, Scorer, pick


def prefix_drops(
    scorer: Scorer, plans: Sequence[Plan], token_budget: int
) -> list[tuple[Tensor, float]]:
    """Drops, shape (K,), and the answer's baseline log-probability of every plan."""
    forest = Forest(plans)
    scores = torch.zeros(forest.scores, dtype=torch.float64)
    with packed_attention(scorer.model):
        for packed in passes(forest.segments, token_budget, scorer.vocabulary, scorer.device):
            keep, rows, targets, into = packed.wants()
            logits = scorer.packed_logits(keep, packed, input_ids=packed.ids())
            scores.index_add_(0, into, pick(logits, rows, targets).cpu().double())
    return [
        ((scores[masked] - scores[kept]).float(), float(scores[baseline]))
        for masked, kept, baseline in map(forest.numbers.__getitem__, range(len(plans)))
    ]


class Forest:
    """All plans as trees of segments, in depth-first order: a prompt, a completion, its branches.

    By the plan's index, `numbers` holds the numbers of the scores of its contrasts' two sides and
    of its baseline, and `trunks` the segment of its completion; `scores` counts all scores.
    """

    def __init__(self, plans: Sequence[Plan]):
        self.segments: list[Segment] = []
        self.scores = 0
        self.numbers: dict[int, tuple[list[int], list[int], int]] = {}
        self.trunks: dict[int, Segment] = {}
        groups: dict[tuple[int, ...], list[int]] = {}
        for i, plan in enumerate(plans):
            groups.setdefault(plan.prompt, []).append(i)
        for prompt, members in groups.items():
            shared = [self._add(Segment(prompt, 0))] if len(members) > 1 else []
            for i in members:
                self._add_plan(i, plans[i], shared)

    def _add(self, segment: Segment) -> Segment:
        self.segments.append(segment)
        return segment

    def _add_plan(self, number: int, plan: Plan, shared: list[Segment]) -> None:
        start = plan.prompt_length if shared else 0
        context = tuple((prompt, len(prompt.tokens)) for prompt in shared)
        own = self._add(Segment(plan.trunk[start:-1], start, context))
        self.trunks[number] = own
        trunk = [*shared, own]
        known: dict[Branch, int] = {}

        def score(branch: Branch) -> int:
            if branch not in known:
                known[branch] = self.scores
                self.scores += 1
                unchanged = branch == plan.trunk_branch(branch.attach)
                self._add_branch(branch, trunk, known[branch], unchanged)
            return known[branch]

        self.numbers[number] = (
            [score(contrast.masked) for contrast in plan.contrasts],
            [score(contrast.kept) for contrast in plan.contrasts],
            score(plan.trunk_branch(plan.answer_start)),
        )

    def _add_branch(
        self, branch: Branch, trunk: list[Segment], score: int, unchanged: bool
    ) -> None:
        first = branch.first_target
        if unchanged:
            for i, token in enumerate(branch.tokens):
                _want(trunk, branch.attach + i - 1, token, score)
            return
        if first == 0:
            _want(trunk, branch.attach - 1, branch.tokens[0], score)
        if len(branch.tokens) > 1:
            wants = [
                (i - 1, branch.tokens[i], score) for i in range(max(first, 1), len(branch.tokens))
            ]
            self._add(
                Segment(branch.tokens[:-1], branch.attach, _seen(trunk, branch.visible), wants)
            )


def _want(trunk: Sequence[Segment], position: int, target: int, score: int) -> None:
    segment = next(s for s in reversed(trunk) if s.position <= position)
    segment.wants.append((position - segment.position, target, score))


def _seen(trunk: Sequence[Segment], visible: int) -> tuple[tuple[Segment, int], ...]:
    return tuple(
        (segment, min(len(segment.tokens), visible - segment.position))
        for segment in trunk
        if segment.position < visible
    )


def passes(
    segments: Sequence[Segment], token_budget: int, vocabulary: int, device: torch.device
) -> Iterator[PackedPass]:
    """Cut `segments` into passes of at most `token_budget` tokens, or one longer segment.

    What a later segment sees stays in memory as keys and values until that segment's pass: in
    depth-first order never more than one prompt and one completion.
    """
    last_use = {s: i for i, segment in enumerate(segments) for s, _ in segment.context}
    kept = KeyValues()
    for begin, end in _cuts(segments, token_budget, max(1, LOGITS // vocabulary)):
        chunk = segments[begin:end]
        keep = [s for s in [*kept.segments, *chunk] if last_use.get(s, -1) >= end]
        packed = PackedPass(chunk, kept, keep, device)
        yield packed
        packed.finish()


def _cuts(
    segments: Sequence[Segment], token_budget: int, logit_budget: int
) -> Iterator[tuple[int, int]]:
    begin = tokens = positions = 0
    for i, segment in enumerate(segments):
        wanted = len({index for index, _, _ in segment.wants})
        size = len(segment.tokens)
        if i > begin and (tokens + size > token_budget or positions + wanted > logit_budget):
            yield begin, i
            begin, tokens, positions = i, 0, 0
        tokens += size
        positions += wanted
    yield begin, len(segments)
