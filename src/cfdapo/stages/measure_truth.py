"""Measure what a policy's steps are truly worth, and every credit rule on the same completions."""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cfdapo.checksums import finish, sha256_of_input
from cfdapo.credit.assigner import CreditConfig
from cfdapo.credit.rules import get_rule
from cfdapo.devices import take_gpu
from cfdapo.files import UserError, as_jsonl, read_jsonl
from cfdapo.integrity import check_truth, require_own_adapters
from cfdapo.locks import only_one
from cfdapo.policy.checkpoints import adapter_hash
from cfdapo.policy.generation import encode_prompts, messages, prompts_hash
from cfdapo.policy.measured import LoadedPolicy, Problem
from cfdapo.policy.models import load_adapter, load_base
from cfdapo.policy.training import load_proxy
from cfdapo.policy.truth import TruthRecorder
from cfdapo.problems.task import get_task
from cfdapo.provenance import code_hash, origin_of, rule_hash, with_own_code
from cfdapo.settings import (
    ChatVariables,
    ModeCredit,
    SamplingSettings,
    TruthMeasurement,
    from_flag,
    may_be_absent,
    plain,
)
from cfdapo.stages import run
from cfdapo.stages.batches import run_batches
from cfdapo.study import config_hash


@dataclass(frozen=True)
class TruthSettings:
    """What the truth is measured with; `rules` has each one's credit by its name in the records."""

    task: str
    chat: ChatVariables
    training: SamplingSettings
    measurement: TruthMeasurement
    rules: Mapping[str, ModeCredit]
    proxy_chat: ChatVariables | None = may_be_absent()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model-dir", type=Path, required=True, help="the prepared base model")
    parser.add_argument("--problems", type=Path, required=True, help="measured.jsonl")
    parser.add_argument("--adapter", type=Path, help="of the trained policy; none: untrained")
    parser.add_argument("--policy", required=True, help="the policy's name in the records")
    parser.add_argument(
        "--settings",
        type=from_flag(TruthSettings),
        required=True,
        help="task, chat, training, measurement, and credit by rule",
    )
    parser.add_argument("--proxy-dir", type=Path, help="prepared folder of the model credit.proxy")
    parser.add_argument("--out", type=Path, required=True, help="credit/{model}.steps.jsonl")
    given = vars(parser.parse_args())
    take_gpu()
    with only_one(given["out"].with_name(f".{given['out'].stem}.lock"), f"truth of {given['out']}"):
        measure_truth(**given)


def measure_truth(
    model_dir: Path,
    problems: Path,
    settings: TruthSettings,
    policy: str,
    out: Path,
    adapter: Path | None = None,
    proxy_dir: Path | None = None,
) -> None:
    """Measure batch by batch, then write `out` and its rules; resume after the last whole batch."""
    made_from: dict[str, Any] = {
        # With the rules in their own order.
        "settings": plain(settings, sort_keys=False),
        "code": code_hash("cfdapo.stages.measure_truth", settings.task),
        "rules": _rule_code(settings),
        "policy": policy,
        "problems": sha256_of_input(problems),
        "model": origin_of(model_dir),
        "adapter": adapter_hash(adapter) if adapter else None,
        "proxy": origin_of(proxy_dir) if proxy_dir else None,
    }
    if adapter:
        hashes = {adapter.name.removeprefix("step"): made_from["adapter"]}
        require_own_adapters(adapter.parent.parent, hashes, made_from["model"])
    made_from = with_own_code(made_from, *settings.rules.values())
    wanted = read_jsonl(problems)[: settings.measurement.prompts]
    recorder, asked = _prepare(model_dir, wanted, settings, adapter, proxy_dir)
    made_from["prompts"] = prompts_hash([problem.prompt for problem in asked])
    steps, rules = [], []
    partial_file, beside = out.with_suffix(".partial.jsonl"), out.with_name(rules_name(out))
    batches = _batches(recorder, asked, settings.measurement)
    for batch in run_batches(partial_file, config_hash(made_from), batches):
        steps += batch["steps"]
        rules += batch["rules"]
    check_truth(out, steps, beside, rules, made_from)
    finish(beside, as_jsonl(rules), made_from)
    finish(out, as_jsonl(steps), made_from)
    partial_file.unlink()
    print(f"{len(steps)} steps, {len(settings.rules)} rules")


def rules_name(steps: Path) -> str:
    """The name of the rules' file beside the steps' one, credit/{model}.steps.jsonl."""
    return f"{steps.name.removesuffix('.steps.jsonl')}.rules.jsonl"


def _rule_code(settings: TruthSettings) -> dict[str, str]:
    modes = {credit.mode for credit in settings.rules.values()}
    return {mode: rule_hash(mode) for mode in sorted(modes)}


def _prepare(
    model_dir: Path,
    rows: list[dict[str, Any]],
    settings: TruthSettings,
    adapter: Path | None,
    proxy_dir: Path | None,
) -> tuple[TruthRecorder, list[Problem]]:
    """The loaded policy with the rules, and the problems with their prompts."""
    training, measurement = settings.training, settings.measurement
    if measurement.truth is None:
        raise UserError("measurement.truth: is null, so that there is no truth to measure")
    task = get_task(settings.task)
    base, tokenizer = load_base(model_dir, training.precision)
    model = load_adapter(base, adapter, "policy") if adapter else base
    model.eval().requires_grad_(False)
    configs = {name: _config(name, credit) for name, credit in settings.rules.items()}
    # One proxy serves the whole study.
    loaded = (load_proxy(one, proxy_dir, training.precision) for one in configs.values())
    proxy = next((one for one in loaded if one), None)
    conversations = [messages(task, row) for row in rows]
    prompts = encode_prompts(tokenizer, conversations, settings.chat)
    read: list[Any] = [None] * len(rows)
    if proxy:
        read = encode_prompts(proxy.tokenizer, conversations, settings.proxy_chat or {})
    problems = [Problem(*one) for one in zip(rows, prompts, read, strict=True)]
    policy = LoadedPolicy(
        model,
        tokenizer,
        task,
        settings.chat,
        training.temperature,
        training.top_p,
        measurement.max_completion_tokens or training.max_completion_tokens,
    )
    rules = {
        name: get_rule(config.mode)(tokenizer, config, proxy) for name, config in configs.items()
    }
    recorder = TruthRecorder(
        policy,
        rules,
        measurement.truth.continuations,
        measurement.samples,
        measurement.seed,
    )
    recorder.settle(max(map(len, prompts), default=0), problems)
    return recorder, problems


def _config(name: str, credit: ModeCredit) -> CreditConfig:
    try:
        # Nothing is to be remembered of one batch in another.
        return replace(CreditConfig(**vars(credit)), cache=0, every=1)
    except ValueError as error:
        raise UserError(f"measurement.rules: {name}: {error}") from error


def _batches(
    recorder: TruthRecorder, problems: list[Problem], measurement: TruthMeasurement
) -> Iterator[Any]:
    """What measures each batch, cut as measured credit is, as functions of no arguments."""
    size = max(1, measurement.batch_size // measurement.samples)
    for first in range(0, len(problems), size):
        yield partial(_measure, recorder, problems[first : first + size], first)


def _measure(recorder: TruthRecorder, problems: list[Problem], first: int) -> dict[str, Any]:
    steps, rules = recorder.record(problems, first)
    return {"steps": steps, "rules": rules}


if __name__ == "__main__":
    run(main)
