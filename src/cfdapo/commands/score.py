"""Drops and weights of completions by span, as text, JSON lines or one HTML page; needs no study.

A completion and its prompt come from the command line, or many from JSON lines with "prompt" (text,
or a conversation), "completion", and optionally "id" and "function" (that code is to define).
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cfdapo.files import UserError, atomic_write, parse_jsonl, read_json, read_text
from cfdapo.settings import CreditSettings
from cfdapo.vocabulary import INTERVENTIONS, SINKS

if TYPE_CHECKING:
    from cfdapo.credit.assigner import CreditConfig
    from cfdapo.policy.scored import Asked, CompletionScorer, Scored

FORMATS = ("text", "json", "html")
_BY_SUFFIX = {".html": "html", ".json": "json", ".jsonl": "json"}
# Of a study's credit, what is about many steps or another model.
_OF_TRAINING = ("every", "cache", "proxy")
_HELP = {
    "max_spans": "most spans a completion",
    "w_min": "least weight of a span",
    "w_max": "greatest weight of a span",
    "w_answer": "weight of the answer",
    "rescale_to_mean_one": "divide the weights by their mean",
    "method": "prefix or serial, both exact, or gradient, an estimate",
    "intervention": ", ".join(INTERVENTIONS),
    "sink": f"what may lose probability: {' or '.join(SINKS)}",
    "token_budget": "most tokens in one forward pass",
    "select": "all spans, or the longest, or those with most arithmetic",
    "select_k": "how many of these",
    "spans": "arithmetic, code, or a function of one's own as mypackage.spans:find",
    "answer": "number, choice, latex, exact, returns, function, or a function of one's own",
    "options": "the mode's own settings, as JSON",
    "precision": "of the measurement: float32, or policy, as the model computes",
}


def main(given: Sequence[str]) -> None:
    """Score what the arguments name and write it out.

    Raises UserError for whatever of them cannot be scored, before anything is written.
    """
    arguments = _parser().parse_args(given)
    chosen = arguments.format or _BY_SUFFIX.get(Path(arguments.out or "").suffix, "text")
    with _quiet():
        asked = _read(arguments)
        credit = _credit(arguments)
        scorer = _scorer(arguments, credit)
        scored = scorer.score(asked)
    made = {"text": _text, "json": _json, "html": _page}[chosen](scored, credit, arguments)
    if arguments.out:
        atomic_write(arguments.out, made)
        print(f"{len(scored)} scored, {_measured(scored)} of them measured: {arguments.out}")
    else:
        print(made, end="")
    if arguments.out or chosen != "text":
        for one in scored:
            for note in one.notes:
                print(f"{one.completion['completion']}: {note}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cfdapo score",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", type=Path, required=True, help="a folder in transformers' format, or prepared"
    )
    parser.add_argument("--adapter", type=Path, help="a LoRA adapter's folder, on top of it")
    what = parser.add_argument_group("what to score")
    what.add_argument("--prompt", help="the prompt's text; a user's message where there are chats")
    what.add_argument("--completion", help="the completion's text")
    what.add_argument("--jsonl", help="many of them, a JSON object a line; - is standard input")
    what.add_argument("--raw", action="store_true", help="prompts without the chat template")
    what.add_argument(
        "--chat", type=_object, default={}, help="variables of the chat template, as JSON"
    )
    what.add_argument(
        "--chat-date", type=_day, help="day that the template's clock shows, as 2024-07-26"
    )
    what.add_argument(
        "--unfinished", action="store_true", help="do not end completions with the end token"
    )
    what.add_argument("--function", help="the function that code is to define")
    out = parser.add_argument_group("output")
    out.add_argument("--format", choices=FORMATS, help="default: by --out's name, else text")
    out.add_argument("--out", help="the file to write (default: standard output)")
    how = parser.add_argument_group("credit, as a study's (config/README.md)")
    how.add_argument("--mode", default="counterfactual", help="the rule that gives weights")
    for one in fields(CreditSettings):
        if one.name not in _OF_TRAINING:
            _add(how, one.name, getattr(CreditSettings(), one.name))
    how.add_argument("--seed", type=int, default=0, help="of modes that draw (default: 0)")
    how.add_argument(
        "--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights"
    )
    return parser


def _add(group: Any, name: str, default: Any) -> None:
    flag, text = f"--{name.replace('_', '-')}", _HELP[name]
    if isinstance(default, bool):
        group.add_argument(flag, action="store_true", help=text)
    elif isinstance(default, dict):
        group.add_argument(flag, type=_object, default={}, help=text)
    else:
        group.add_argument(
            flag, type=type(default), default=default, help=f"{text} (default: {default})"
        )


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not valid JSON ({error})") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON object")
    return value


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no day ({error})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Standard output is for the result alone; what the measurement says goes beside it."""
    # A folder needs no network; a hub model that a study prepared lies in the local cache.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    with redirect_stdout(sys.stderr):
        yield


def _read(arguments: argparse.Namespace) -> list["Asked"]:
    """What is to be scored; one by one or out of a file, not both."""
    from cfdapo.policy.scored import Asked

    single = arguments.prompt is not None, arguments.completion is not None
    if arguments.jsonl is None:
        if not all(single):
            raise UserError("score: needs --prompt and --completion, or --jsonl")
        if not arguments.prompt.strip():
            raise UserError("--prompt: is empty")
        return [Asked("1", arguments.prompt, arguments.completion, arguments.function)]
    if any(single):
        raise UserError("score: takes --jsonl, or --prompt and --completion, not both")
    where = "standard input" if arguments.jsonl == "-" else arguments.jsonl
    text = _standard_input() if arguments.jsonl == "-" else read_text(arguments.jsonl)
    asked: dict[str, Asked] = {}
    for number, row in parse_jsonl(text, where):
        one = _asked(row, f"{where}, line {number}", str(len(asked) + 1), arguments.function)
        if one.name in asked:
            raise UserError(f"{where}, line {number}: another completion has the id {one.name!r}")
        asked[one.name] = one
    if not asked:
        raise UserError(f"{where}: holds no completion")
    return list(asked.values())


def _standard_input() -> str:
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise UserError(f"standard input: not valid UTF-8 ({error})") from error


def _asked(row: dict[str, Any], where: str, name: str, function: str | None) -> "Asked":
    from cfdapo.policy.scored import Asked

    if missing := [key for key in ("prompt", "completion") if key not in row]:
        raise UserError(f"{where}: lacks {', '.join(missing)}")
    prompt, completion = row["prompt"], row["completion"]
    if _is_conversation(completion) and len(completion) == 1:
        completion = completion[0]["content"]
    if not isinstance(completion, str):
        raise UserError(f"{where}: completion must be text, or one message")
    if not (isinstance(prompt, str) and prompt.strip()) and not _is_conversation(prompt):
        raise UserError(f"{where}: prompt must be text, or messages with role and content")
    if not completion.strip():
        raise UserError(f"{where}: the completion is empty")
    named = row.get("function", function)
    if named is not None and not isinstance(named, str):
        raise UserError(f"{where}: function must be a name")
    return Asked(str(row.get("id", name)), prompt, completion, named)


def _is_conversation(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(
            isinstance(one, dict)
            and isinstance(one.get("role"), str)
            and isinstance(one.get("content"), str)
            for one in value
        )
    )


def _credit(arguments: argparse.Namespace) -> "CreditConfig":
    from cfdapo.credit.assigner import CreditConfig

    names = [one.name for one in fields(CreditSettings) if one.name not in _OF_TRAINING]
    given = {name: getattr(arguments, name) for name in names}
    try:
        credit = CreditConfig(mode=arguments.mode, **given)
    except ValueError as error:
        raise UserError(f"credit: {error}") from error
    if credit.w_min > credit.w_max:
        raise UserError(f"--w-min: {credit.w_min} is greater than --w-max, {credit.w_max}")
    if credit.max_spans < 1:
        raise UserError(f"--max-spans: {credit.max_spans} must be at least 1")
    return credit


def _scorer(arguments: argparse.Namespace, credit: "CreditConfig") -> "CompletionScorer":
    from cfdapo.devices import take_gpu
    from cfdapo.policy.models import load_adapter, load_any
    from cfdapo.policy.scored import CompletionScorer
    from cfdapo.policy.templates import fix_day
    from cfdapo.provenance import MANIFEST

    take_gpu()
    base, tokenizer = load_any(arguments.model, arguments.dtype)
    model = load_adapter(base, arguments.adapter, "policy") if arguments.adapter else base
    model.eval().requires_grad_(False)
    if arguments.chat_date:
        fix_day(tokenizer, arguments.chat_date)
    manifest = arguments.model / MANIFEST
    prepared = read_json(manifest) if manifest.is_file() else {}
    return CompletionScorer(
        model,
        tokenizer,
        credit,
        policy=str(arguments.adapter or arguments.model),
        chat=prepared.get("chat_template_kwargs", {}) | arguments.chat,
        raw=arguments.raw,
        ended=not arguments.unfinished,
        seed=arguments.seed,
    )


def _measured(scored: Sequence["Scored"]) -> int:
    return sum(bool(one.spans) for one in scored)


def _json(scored: Sequence["Scored"], credit: "CreditConfig", arguments: argparse.Namespace) -> str:
    """A JSON object a completion, in the order given."""
    from cfdapo.files import as_jsonl
    from cfdapo.policy.scored import weight_of
    from cfdapo.settings import ModeCredit, part_of, plain

    said = plain(part_of(ModeCredit, credit))
    settings = {key: value for key, value in said.items() if key not in _OF_TRAINING}
    of_span = ["start", "end", "text", "kind", "token_start", "token_end"]
    of_span += ["drop", "importance", "normalized"]
    rows = []
    for one in scored:
        row, answer = one.completion, one.completion["answer"]
        rows.append(
            {
                "id": row["completion"],
                "model": str(arguments.model),
                "adapter": str(arguments.adapter) if arguments.adapter else None,
                "credit": settings,
                "text": row["text"],
                "answer": answer and {"text": row["extracted"], **answer},
                "spans": [
                    {**{key: span[key] for key in of_span}, "weight": weight_of(row, span)}
                    for span in one.spans
                ],
                "tokens": row["tokens"],
                "weights": row["weights"],
                "notes": one.notes,
            }
        )
    return as_jsonl(rows)


def _page(scored: Sequence["Scored"], credit: "CreditConfig", arguments: argparse.Namespace) -> str:
    """The credit map, which shows at most twenty completions and says of how many."""
    from cfdapo.analysis.credit_map.page import MapSettings, credit_map
    from cfdapo.analysis.records.measured_credit import spans_frame

    settings = MapSettings(
        credit.intervention, credit.sink, credit.w_min, credit.w_max, credit.w_answer, credit.mode
    )
    return credit_map(
        spans_frame([span for one in scored for span in one.spans]),
        [one.completion for one in scored],
        "none, by cfdapo score",
        arguments.model.resolve().name,
        settings,
    )


def _text(scored: Sequence["Scored"], credit: "CreditConfig", arguments: argparse.Namespace) -> str:
    """A table a completion: drops in nats, and weights, by span."""
    head = (
        f"model {arguments.model}, mode {credit.mode}, intervention {credit.intervention}, "
        f"sink {credit.sink}\n"
    )
    return head + "".join(f"\n{_block(one)}" for one in scored)


def _block(one: "Scored") -> str:
    from cfdapo.analysis.credit_map.completion import nats, number
    from cfdapo.policy.scored import weight_of

    row, answer = one.completion, one.completion["answer"]
    lines = [f"{row['completion']}: {_short(row['question'])}"]
    if one.spans:
        lines.append(f"{'drop (nats)':>13}{'weight':>9}  {'kind':<12}span")
    for span in one.spans:
        measured = f"{nats(span['drop']):>13}{number(weight_of(row, span), 2):>9}"
        lines.append(f"{measured}  {span['kind']:<12}{_short(span['text'])}")
    if answer:
        mean = number(weight_of(row, answer), 2)
        lines.append(f"{'':>13}{mean:>9}  {'answer':<12}{_short(row['extracted'])}")
    lines += [f"  note: {note}" for note in one.notes]
    return "\n".join(lines) + "\n"


def _short(text: str, most: int = 72) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"
