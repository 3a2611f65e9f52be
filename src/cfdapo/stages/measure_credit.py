"""Measure the credit of a policy's completions: a row a span, a row a completion."""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cfdapo.checksums import finish, sha256_of_input
from cfdapo.credit.assigner import CreditConfig, config_of
from cfdapo.devices import take_gpu
from cfdapo.files import UserError, as_jsonl, read_jsonl
from cfdapo.integrity import check_credit, require_own_adapters
from cfdapo.locks import only_one
from cfdapo.policy.checkpoints import adapter_hash
from cfdapo.policy.generation import encode_prompts, messages, prompts_hash
from cfdapo.policy.models import load_adapter, load_base
from cfdapo.policy.records import Completion, Recorder
from cfdapo.policy.sampling import group_advantages, sample
from cfdapo.policy.training import load_proxy
from cfdapo.problems.task import get_task
from cfdapo.provenance import code_hash, origin_of, with_own_code
from cfdapo.settings import (
    ChatVariables,
    CreditSettings,
    MeasurementSettings,
    SamplingSettings,
    from_flag,
    may_be_absent,
    plain,
)
from cfdapo.stages import run
from cfdapo.stages.batches import run_batches
from cfdapo.study import config_hash
from cfdapo.vocabulary import COMBINATIONS


@dataclass(frozen=True)
class MeasureSettings:
    """What credit is measured with; how the policy was trained is no part of it."""

    task: str
    chat: ChatVariables
    training: SamplingSettings
    credit: CreditSettings
    measurement: MeasurementSettings
    proxy_chat: ChatVariables | None = may_be_absent()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="the prepared base model")
    parser.add_argument("--problems", type=Path, required=True, help="measured.jsonl")
    parser.add_argument("--adapter", type=Path, help="of the trained policy; none: untrained")
    parser.add_argument("--policy", required=True, help="the policy's name in the records")
    parser.add_argument(
        "--settings",
        type=from_flag(MeasureSettings),
        required=True,
        help="task, chat, training, credit and measurement",
    )
    parser.add_argument("--proxy-dir", type=Path, help="prepared folder of the model credit.proxy")
    parser.add_argument("--out", type=Path, required=True, help="credit/{model}.jsonl")
    given = vars(parser.parse_args())
    take_gpu()
    with only_one(
        given["out"].with_name(f".{given['out'].stem}.lock"), f"credit of {given['out']}"
    ):
        measure_credit(**given)


def measure_credit(
    model_dir: Path,
    problems: Path,
    settings: MeasureSettings,
    policy: str,
    out: Path,
    adapter: Path | None = None,
    proxy_dir: Path | None = None,
) -> None:
    """Sample, score and write `out` and its completions; resume after the last whole batch."""
    made_from = _made_from(model_dir, problems, settings, policy, adapter, proxy_dir)
    work = _Work(model_dir, read_jsonl(problems), settings, policy, adapter, proxy_dir)
    made_from |= work.prompt_hashes()
    spans, completions = [], []
    partial, beside = out.with_suffix(".partial.jsonl"), out.with_suffix(".completions.jsonl")
    for batch in run_batches(partial, config_hash(made_from), work.batches()):
        spans += batch["spans"]
        completions += batch["completions"]
    check_credit(out, spans, beside, completions, made_from)
    finish(beside, as_jsonl(completions), made_from)
    finish(out, as_jsonl(spans), made_from)
    partial.unlink()
    print(f"{len(completions)} completions, {len(spans)} spans")


def _made_from(
    model_dir: Path,
    problems: Path,
    settings: MeasureSettings,
    policy: str,
    adapter: Path | None,
    proxy_dir: Path | None,
) -> dict[str, Any]:
    """What the records depend on beside prompts, which their checksums keep.

    Raises `UserError` where the adapter is not the one that its run's record has at its step.
    """
    made_from: dict[str, Any] = {
        "settings": plain(settings),
        "code": code_hash("cfdapo.stages.measure_credit", settings.task),
        "policy": policy,
        "problems": sha256_of_input(problems),
        "model": origin_of(model_dir),
        "adapter": adapter_hash(adapter) if adapter else None,
        "proxy": origin_of(proxy_dir) if proxy_dir else None,
    }
    if adapter:
        step = adapter.name.removeprefix("step")
        run_folder = adapter.parent.parent
        require_own_adapters(run_folder, {step: made_from["adapter"]}, made_from["model"])
    return with_own_code(made_from, settings.credit)


class _Work:
    """The loaded policy, and everything to be measured in batches that are always cut alike."""

    def __init__(
        self,
        model_dir: Path,
        rows: list[dict[str, Any]],
        settings: MeasureSettings,
        policy: str,
        adapter: Path | None,
        proxy_dir: Path | None,
    ):
        self.training, self.measurement = settings.training, settings.measurement
        self.task = get_task(settings.task)
        base, self.tokenizer = load_base(model_dir, self.training.precision)
        self.model = load_adapter(base, adapter, "policy") if adapter else base
        self.model.eval().requires_grad_(False)
        credit = config_of(settings.credit, "counterfactual")
        proxy = load_proxy(credit, proxy_dir, self.training.precision)
        asked = [messages(self.task, row) for row in rows]
        self.prompts = encode_prompts(self.tokenizer, asked, settings.chat)
        self.proxy_prompts: list[Any] = [None] * len(rows)
        if proxy:
            self.proxy_prompts = encode_prompts(proxy.tokenizer, asked, settings.proxy_chat or {})
        self.rows = rows
        self.recorder = Recorder(
            self.model,
            self.tokenizer,
            self.task,
            credit,
            policy=policy,
            temperature=self.training.temperature,
            combinations=_combinations(self.measurement, credit),
            padding=self.measurement.padding,
            proxy=proxy,
        )
        self.recorder.settle(
            max(map(len, self.prompts), default=0),
            max([self._most_sampled(), *(len(self._reference(row)) for row in self._gold_rows())]),
        )

    def prompt_hashes(self) -> dict[str, str]:
        """Of the prompts as the policy and as what measures in its place reads them."""
        hashes = map(prompts_hash, (self.prompts, self.proxy_prompts))
        return dict(zip(("prompts", "proxy_prompts"), hashes, strict=True))

    def batches(self) -> Iterator[Any]:
        """What measures each batch, as functions of no arguments, sampled completions first."""
        size, samples = self.measurement.batch_size, self.measurement.samples
        step = max(1, size // samples)
        prompts, gold = self.measurement.prompts, self.measurement.gold
        for start in range(0, prompts, step):
            yield self._batch(self._sampled, range(start, min(start + step, prompts)))
        for start in range(0, gold, size):
            yield self._batch(self._gold, range(start, min(start + size, gold)))

    def _batch(self, make: Any, numbers: range) -> Any:
        def measure() -> dict[str, Any]:
            spans, completions = self.recorder.record(make(numbers))
            return {"spans": spans, "completions": completions}

        return measure

    def _sampled(self, numbers: range) -> list[Completion]:
        """The groups of the problems `numbers`."""
        samples, found = self.measurement.samples, []
        ids = sample(
            self.model,
            self.tokenizer,
            [self.prompts[number] for number in numbers for _ in range(samples)],
            self._most_sampled(),
            self.training.temperature,
            self.training.top_p,
            # Of the batch's own, so that one that is repeated is the same.
            seed=self.measurement.seed * 1_000_003 + numbers.start,
        )
        rows = [self.rows[number] for number in numbers for _ in range(samples)]
        correct = self.recorder.grade(rows, ids)
        for index, number in enumerate(numbers):
            own = slice(index * samples, (index + 1) * samples)
            found += self._group(number, ids[own], correct[own])
        return found

    def _group(self, number: int, group: list[list[int]], correct: list[bool]) -> list[Completion]:
        return [
            Completion(
                f"sampled-{number}-{place}",
                "sampled",
                self.rows[number],
                self.prompts[number],
                ids,
                right,
                self.proxy_prompts[number],
                number,
                advantage,
            )
            for place, (ids, right, advantage) in enumerate(
                zip(group, correct, group_advantages(correct), strict=True)
            )
        ]

    def _gold(self, numbers: range) -> list[Completion]:
        """The data set's own solutions of the problems `numbers`."""
        rows = [self.rows[number] for number in numbers]
        solutions = [self._reference(row) for row in rows]
        graded = zip(numbers, solutions, self.recorder.grade(rows, solutions), strict=True)
        return [
            Completion(
                f"gold-{number}",
                "gold",
                self.rows[number],
                self.prompts[number],
                ids,
                correct,
                self.proxy_prompts[number],
            )
            for number, ids, correct in graded
        ]

    def _gold_rows(self) -> list[dict[str, Any]]:
        return self.rows[: self.measurement.gold]

    def _reference(self, row: dict[str, Any]) -> list[int]:
        """The tokens of the data set's own solution, ended."""
        text = self.task.reference(row)
        return [
            *self.tokenizer(text, add_special_tokens=False)["input_ids"],
            self.tokenizer.eos_token_id,
        ]

    def _most_sampled(self) -> int:
        """Most tokens of a sampled completion."""
        return self.measurement.max_completion_tokens or self.training.max_completion_tokens


def _combinations(measurement: MeasurementSettings, credit: CreditConfig) -> list[tuple[str, str]]:
    """The pairs of intervention and sink to measure: all, the study's own, or those listed."""
    wanted = measurement.combinations
    if wanted == "study":
        return [(credit.intervention, credit.sink)]
    names = COMBINATIONS if wanted == "all" else wanted
    unknown = sorted(set(names) - set(COMBINATIONS))
    if unknown:
        raise UserError(f"measurement.combinations: unknown {', '.join(unknown)}")
    return [(intervention, sink) for intervention, _, sink in (n.partition("/") for n in names)]


if __name__ == "__main__":
    run(main)
