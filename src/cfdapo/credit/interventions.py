"""What a counterfactual replaces and what it scores: requests, interventions and sinks."""

from collections.abc import Sequence
from dataclasses import dataclass

# What becomes of a span. "pad": the placeholder, as often as the span has tokens (the paper's).
# "delete": nothing, and what follows moves up. "attention": it stays, but no later token sees its
# keys (its own last token, unchanged, still predicts the token after it). "truncate": it is the
# last thing before the sink, against the same without it; what stands between is left out.
INTERVENTIONS = ("pad", "delete", "attention", "truncate")
# What is scored. "answer": the final answer's tokens (the paper's). "rest": everything after the
# span, up to the answer's last token.
SINKS = ("answer", "rest")


@dataclass(frozen=True)
class DropRequest:
    """One completion whose spans are to be measured.

    `prompt_ids` and `completion_ids` are lists or 1-D tensors of token ids without padding;
    `spans` holds K slices and `answer` one slice, all counted from the completion's first token.
    What follows the answer in `completion_ids` is never read.
    """

    prompt_ids: Sequence[int]
    completion_ids: Sequence[int]
    spans: Sequence[slice]
    answer: slice


@dataclass(frozen=True)
class Branch:
    """A continuation to score: ``trunk[:attach] + tokens``, at consecutive positions.

    The trunk is the prompt and the completion up to the answer's end. The branch's tokens do not
    see the keys of ``trunk[visible:attach]``. The score is the log-probability of
    ``tokens[first_target:]``, every one predicted from the token before it.
    """

    attach: int
    visible: int
    tokens: tuple[int, ...]
    first_target: int


@dataclass(frozen=True)
class Contrast:
    """One drop: log-probability of the sink in `masked` minus that in `kept`."""

    masked: Branch
    kept: Branch


@dataclass(frozen=True)
class Plan:
    """A request made concrete: the trunk's tokens and one contrast a span.

    `spans` are (start, stop) pairs and, like `answer_start`, counted from the prompt's first token.
    """

    trunk: tuple[int, ...]
    prompt_length: int
    answer_start: int
    spans: tuple[tuple[int, int], ...]
    contrasts: tuple[Contrast, ...]

    @property
    def prompt(self) -> tuple[int, ...]:
        """The prompt's tokens."""
        return self.trunk[: self.prompt_length]

    def trunk_branch(self, start: int) -> Branch:
        """The unchanged trunk, of which everything from `start` on is scored."""
        return Branch(start, start, self.trunk[start:], 0)


def make_plan(request: DropRequest, placeholder_id: int, intervention: str, sink: str) -> Plan:
    """Lay out the sequences that `request` needs; ValueError where its slices make no sense."""
    prompt, completion = _to_tuple(request.prompt_ids), _to_tuple(request.completion_ids)
    _check(request, len(prompt), len(completion))
    offset = len(prompt)
    trunk = prompt + completion[: request.answer.stop]
    answer_start = offset + request.answer.start
    spans = tuple((offset + span.start, offset + span.stop) for span in request.spans)
    contrasts = tuple(
        _contrast(
            trunk, span, answer_start if sink == "answer" else span[1], placeholder_id, intervention
        )
        for span in spans
    )
    return Plan(trunk, offset, answer_start, spans, contrasts)


def longest_request(prompt: int, completion: int, spans: int) -> DropRequest:
    """The most that a prompt and a completion of so many tokens can ask for.

    As many spans stand evenly before an answer of one token.
    """
    end = max(completion, 2) - 1
    count = min(spans, end)
    starts = [end * number // count for number in range(count)]
    return DropRequest(
        [0] * max(prompt, 1),
        [0] * (end + 1),
        [slice(start, start + 1) for start in starts],
        slice(end, end + 1),
    )


def _contrast(
    trunk: tuple[int, ...],
    span: tuple[int, int],
    sink: int,
    placeholder_id: int,
    intervention: str,
) -> Contrast:
    start, stop = span
    after, target = trunk[stop:], sink - stop
    if intervention == "truncate":
        step = Branch(stop, stop, trunk[sink:], 0)
        return Contrast(Branch(start, start, trunk[sink:], 0), step)
    kept = Branch(sink, sink, trunk[sink:], 0)
    if intervention == "attention":
        return Contrast(Branch(stop, start, after, target), kept)
    placeholders = (placeholder_id,) * (stop - start if intervention == "pad" else 0)
    return Contrast(Branch(start, start, placeholders + after, target + len(placeholders)), kept)


def _to_tuple(ids: Sequence[int]) -> tuple[int, ...]:
    # A tensor's own tolist is far quicker than going through its elements.
    return tuple(ids.tolist() if hasattr(ids, "tolist") else ids)


def _check(request: DropRequest, prompt_length: int, completion_length: int) -> None:
    answer = request.answer
    if not 0 <= answer.start < answer.stop <= completion_length:
        raise ValueError(
            f"the answer {answer} is empty or outside the completion of {completion_length} tokens"
        )
    if not prompt_length:
        raise ValueError("the prompt is empty, so that the first token has nothing to predict it")
    for span in request.spans:
        if not 0 <= span.start < span.stop <= answer.start:
            raise ValueError(
                f"the span {span} is empty, outside the completion or not before the answer "
                f"{answer}"
            )
