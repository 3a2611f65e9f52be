"""Models and completions to measure: random ones of any length, or real reference solutions."""

import argparse
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoTokenizer

from cfdapo.credit.alignment import to_tokens
from cfdapo.credit.importance import DropRequest
from cfdapo.credit.spans import find_answer, find_spans


@dataclass(frozen=True)
class Solution:
    """A reference solution and the question before it, which need not be its own."""

    question: str
    text: str


def random_requests(
    *,
    completions: int,
    prompts: int,
    spans: int,
    prompt_length: int,
    length: int,
    vocabulary: int,
    seed: int = 0,
) -> list[DropRequest]:
    """Random completions of about `length` tokens that consist of spans and a three-token answer.

    They take turns behind the `prompts`, of `prompt_length` tokens each.
    """
    generator = random.Random(seed)

    def ids(count: int) -> list[int]:
        return [generator.randrange(1, vocabulary) for _ in range(count)]

    shared = [ids(prompt_length) for _ in range(prompts)]
    requests = []
    for i in range(completions):
        tokens = length + generator.randint(-length // 8, length // 8)
        edges = [k * (tokens - 5) // spans for k in range(spans + 1)]
        found = [slice(begin, end - 1) for begin, end in zip(edges, edges[1:], strict=False)]
        answer = slice(tokens - 4, tokens - 1)
        requests.append(DropRequest(shared[i % prompts], ids(tokens), found, answer))
    return requests


def warm_up_request(request: DropRequest) -> DropRequest:
    """The beginning of one, as short as can be: it warms up and leaves next to nothing behind."""
    return DropRequest(
        request.prompt_ids[:2], request.completion_ids[:3], [slice(0, 1)], slice(2, 3)
    )


# No solution has fewer tokens.
SHORTEST = 20


def load(folder: Path) -> tuple[nn.Module, Any]:
    """Model and tokenizer of a folder, which may hold a GGUF file instead."""
    gguf = next(folder.glob("*.gguf"), None)
    source = {"gguf_file": gguf.name} if gguf else {}
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **source)
    return model, AutoTokenizer.from_pretrained(folder, **source)


def read_solutions(options: argparse.Namespace, count: int) -> list[Solution]:
    """`count` solutions with spans and an answer, spread over the first --prompts questions.

    A group of solutions behind one prompt has a rollout's shape: one prompt, different completions.
    """
    questions, solutions = [], []
    for row in map(json.loads, options.data.read_text(encoding="utf-8").splitlines()):
        if len(questions) < options.prompts:
            questions.append(row["question"])
        text = re.sub(r"<<.*?>>", "", row.get("solution") or row["answer"])
        found = find_spans(text, options.spans)
        if len(found) < options.least_spans or not found or find_answer(text) is None:
            continue
        solutions.append(Solution(questions[len(solutions) % options.prompts], text))
        if len(solutions) == count:
            break
    return solutions


def long_solutions(
    solutions: list[Solution], completions: int, prompts: int, tokenizer: Any, length: int
) -> list[Solution]:
    """Real text of at least `length` tokens: solutions one behind another, then the last's answer.

    At most `completions`, behind the questions of the first `prompts` solutions. No solution is
    used twice, as equal completions would be measured once.
    """
    made, lines, size = [], [], 0
    for solution in solutions:
        *reasoning, answer = solution.text.strip().split("\n")
        lines += reasoning
        size += len(encode_text("\n".join(reasoning) + "\n", tokenizer))
        if size < length:
            continue
        question = solutions[len(made) % prompts].question
        made.append(Solution(question, "\n".join([*lines, answer])))
        lines, size = [], 0
        if len(made) == completions:
            break
    return made


def encode_prompt(question: str, tokenizer: Any) -> list[int]:
    """The question as a chat message, up to where the model is to answer."""
    message = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(message, add_generation_prompt=True)["input_ids"]


def encode_text(text: str, tokenizer: Any) -> list[int]:
    """Token ids of a completion."""
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def real_requests(
    solutions: list[Solution], options: argparse.Namespace, tokenizer: Any
) -> list[DropRequest]:
    """What to measure in every solution."""
    requests = []
    for solution in solutions:
        ids = encode_text(solution.text, tokenizer)
        ranges = [*find_spans(solution.text, options.spans), find_answer(solution.text)]
        *spans, answer = to_tokens(ranges, ids, tokenizer)
        requests.append(
            DropRequest(encode_prompt(solution.question, tokenizer), ids, spans, answer)
        )
    return requests
