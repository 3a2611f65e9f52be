"""Records of measured credit whose texts are made problems and whose drops come from a seed."""

import random
from typing import Any

from cfdapo.credit.spans import find_answer, find_spans
from cfdapo.problems.answers import extract_answer
from cfdapo.problems.arithmetic import iterate_problems, label_sentences
from cfdapo.vocabulary import COMBINATIONS


def make_records(completions: int = 24, seed: int = 0) -> tuple[list[dict], list[dict]]:
    """(spans, completions): three in four sampled, in groups of four; a token is a character."""
    generator = random.Random(seed)
    problems = iterate_problems("train", seed, careless=0.5)
    spans, rows = [], []
    for number in range(completions):
        problem = next(problems)
        source = "gold" if number % 4 == 3 else "sampled"
        group, place = divmod(number, 4)
        name = f"gold-{group}" if source == "gold" else f"sampled-{group}-{place}"
        row = _completion(name, source, group, problem)
        found = _spans(row, generator)
        for span in found:
            width = span["token_end"] - span["token_start"]
            row["weights"][span["token_start"] : span["token_end"]] = [span["weight"]] * width
        spans += found
        rows.append(row)
    return spans, rows


def _completion(name: str, source: str, group: int, problem: dict[str, Any]) -> dict[str, Any]:
    text = problem["solution"]
    answer = find_answer(text)
    correct = extract_answer(text) == problem["answer"]
    sampled = source == "sampled"
    return {
        "completion": name,
        "source": source,
        "policy": "untrained",
        "problem": f"arithmetic-train-{group}",
        "question": problem["question"],
        "gold": problem["answer"],
        "text": text,
        "tokens": [[index, index + 1] for index in range(len(text))],
        "weights": [1.0] * len(text),
        "answer": {
            "start": answer.start,
            "end": answer.end,
            "token_start": answer.start,
            "token_end": answer.end,
        },
        "extracted": extract_answer(text),
        "correct": correct,
        "group": group if sampled else None,
        "advantage": (0.5 if correct else -0.5) if sampled else None,
        "noise": False,
    }


def _spans(row: dict[str, Any], generator: random.Random) -> list[dict[str, Any]]:
    """Causal spans have lower drops on average, so that every analysis has something to find."""
    text, end = row["text"], row["answer"]["start"]
    found = find_spans(text)
    sentences = label_sentences(text, row["extracted"])
    drops, labels = [], []
    for span in found:
        sentence = next(s for s in sentences if s.start <= span.start < s.end)
        labels.append(sentence)
        drops.append(generator.gauss(-1.5 if sentence.label == "causal" else 0.1, 1.0))
    low, high = min(-d for d in drops), max(-d for d in drops)
    last = text.rfind("\n", 0, found[-1].start) + 1
    rows = []
    for number, (span, drop, sentence) in enumerate(zip(found, drops, labels, strict=True)):
        normalized = (-drop - low) / (high - low + 1e-4)
        line_start = text.rfind("\n", 0, span.start) + 1
        rows.append(
            {
                "completion": row["completion"],
                "source": row["source"],
                "span": number,
                "kind": span.kind,
                "text": text[span.start : span.end],
                "line": text[line_start:].split("\n")[0].strip(),
                "start": span.start,
                "end": span.end,
                "token_start": span.start,
                "token_end": span.end,
                "position": (span.start + span.end) / 2 / end,
                "last_line": span.start >= last,
                "drop": drop,
                "importance": -drop,
                "normalized": normalized,
                "weight": 0.5 + 3.5 * normalized,
                "drops": {
                    name: drop if name == "pad/answer" else drop + generator.gauss(0, 0.3)
                    for name in COMBINATIONS
                },
                "padded_drops": {},
                "entropy": generator.uniform(0, 1),
                "correct": row["correct"],
                "label": sentence.label,
                "dependants": sentence.dependants,
            }
        )
    return rows
