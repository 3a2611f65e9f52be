"""`cfdapo score` on a tiny model: three outputs of the same numbers, and errors for users."""

import io
import json
import shutil
from pathlib import Path

import pytest

from cfdapo.__main__ import COMMANDS, main
from cfdapo.analysis.records.measured_credit import COMPLETION_COLUMNS, SPAN_COLUMNS
from cfdapo.commands.score import _parser
from cfdapo.credit.assigner import CreditAssigner, CreditConfig
from cfdapo.credit.rules import rule_names
from cfdapo.files import UserError
from cfdapo.policy.models import load_any
from cfdapo.policy.scored import ALONE, Asked, CompletionScorer
from cfdapo.provenance import MANIFEST

PROMPT = "Mia has 3 pens. Mia buys 4 more. Mia then has 2 times as many. How many pens?"
GOOD = "Now 3 + 4 = 7.\nSo 7 * 2 = 14.\n#### 14"
ROWS = [
    {"id": "good", "prompt": PROMPT, "completion": GOOD},
    {"prompt": [{"role": "user", "content": PROMPT}], "completion": "I do not know."},
    {"prompt": PROMPT, "completion": [{"role": "assistant", "content": "#### 14"}]},
]


@pytest.fixture(scope="module")
def folder(prepared, tmp_path_factory) -> Path:
    """The tiny model as any folder in transformers' format, without a study's manifest."""
    copied = tmp_path_factory.mktemp("any") / "my model"
    shutil.copytree(prepared / "model", copied, ignore=shutil.ignore_patterns(MANIFEST))
    return copied


@pytest.fixture(scope="module")
def loaded(folder):
    model, tokenizer = load_any(folder)
    return model.eval(), tokenizer


@pytest.fixture
def score(folder, capsys):
    """Runs the command; returns its code, standard output and standard error."""

    def score(*flags: str, model: Path = folder) -> tuple[int, str, str]:
        code = main(["score", "--model", str(model), *flags])
        return code, *capsys.readouterr()

    return score


def rows_file(tmp_path: Path, rows=ROWS) -> str:
    path = tmp_path / "asked.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return str(path)


def test_json_has_the_drops_and_weights_that_training_would_have(score, loaded, tmp_path):
    code, out, said = score("--jsonl", rows_file(tmp_path), "--format", "json", "--sink", "rest")
    good, unknown, bare = map(json.loads, out.splitlines())
    assert code == 0 and good["id"] == "good" and [unknown["id"], bare["id"]] == ["2", "3"]
    model, tokenizer = loaded
    chat = [{"role": "user", "content": PROMPT}]
    prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)
    ids = [*tokenizer(GOOD, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assigner = CreditAssigner(tokenizer, CreditConfig(sink="rest"))
    (credit,) = assigner.assign(model, [prompt], [ids]).credits
    assert good["weights"] == pytest.approx(credit.weights.tolist())
    assert [span["drop"] for span in good["spans"]] == pytest.approx(credit.drops.tolist())
    assert [span["text"] for span in good["spans"]] == ["3 + 4 = 7", "7 * 2 = 14"]
    assert good["answer"]["text"] == "14" and good["notes"] == []
    assert good["credit"]["sink"] == "rest" and set(unknown["weights"]) == {1.0}
    assert "no answer is found (answer: number), so every weight is 1" in unknown["notes"][0]
    assert "no span with a token of its own" in bare["notes"][0]
    assert "2: no answer is found" in said and "3: no span" in said and "good:" not in said


def test_a_prepared_folder_and_any_other_give_the_same(score, prepared):
    flags = ("--prompt", PROMPT, "--completion", GOOD, "--format", "json")
    one, other = (
        json.loads(score(*flags, model=m)[1]) for m in (prepared / "model", _any(prepared))
    )
    assert {**one, "model": ""} == {**other, "model": ""}


def _any(prepared: Path) -> Path:
    copied = prepared / "copied"
    if not copied.exists():
        shutil.copytree(prepared / "model", copied, ignore=shutil.ignore_patterns(MANIFEST))
    return copied


def test_text_is_a_table_by_span(score):
    code, out, _ = score("--prompt", PROMPT, "--completion", GOOD, "--w-max", "3")
    lines = out.splitlines()
    assert code == 0 and "mode counterfactual, intervention pad, sink answer" in lines[0]
    assert [line.rpartition("  ")[2] for line in lines[4:6]] == ["3 + 4 = 7", "7 * 2 = 14"]
    assert any(" 3.00 " in line or " 0.50 " in line for line in lines)
    assert sum(" 1.50  answer      14" in line for line in lines) == 1


def test_the_page_is_one_file_without_verdicts(score, tmp_path):
    out = tmp_path / "page.html"
    code, said, _ = score("--jsonl", rows_file(tmp_path), "--out", str(out), "--mode", "inverted")
    page = out.read_text()
    assert code == 0 and "3 scored, 1 of them measured" in said
    assert "states 14" in page and "✓" not in page and "✗" not in page
    assert "mode inverted" in page and "counterfactual credit" not in page
    assert "my model" in page and "none, by cfdapo score" in page and 'name="show"' not in page
    assert "http" not in page.replace("http-equiv", "")


@pytest.mark.parametrize("mode", sorted(ALONE))
def test_every_mode_of_one_completion_gives_its_weights(loaded, mode):
    scorer = CompletionScorer(*loaded, CreditConfig(mode=mode))
    (one,) = scorer.score([Asked("a", PROMPT, GOOD)])
    (again,) = scorer.score([Asked("a", PROMPT, GOOD)])
    assert one == again and len(one.completion["weights"]) == len(one.completion["tokens"])
    assert (set(one.completion["weights"]) == {1.0}) == (mode == "vanilla")
    assert set(one.completion) == set(COMPLETION_COLUMNS)
    assert all(set(span) == set(SPAN_COLUMNS) for span in one.spans)


@pytest.mark.parametrize("mode", sorted(set(rule_names()) - set(ALONE)))
def test_modes_that_need_a_group_are_refused(loaded, mode):
    with pytest.raises(UserError, match=f"mode {mode} needs a group.*allowed: counterfactual"):
        CompletionScorer(*loaded, CreditConfig(mode=mode))


def test_standard_input_that_is_no_text_is_one_line(score, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\n"), encoding="utf-8"))
    code, out, said = score("--jsonl", "-")
    assert code == 2 and out == "" and "error: standard input: not valid UTF-8" in said


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['{"prompt": "a", "completion": "b"}', "", '{"prompt": "a", "com'], "line 3: not valid"),
        (['{"prompt": "a"}'], "line 1: lacks completion"),
        (['{"prompt": "a", "completion": " "}'], "line 1: the completion is empty"),
        (['{"prompt": "", "completion": "b"}'], "line 1: prompt must be text, or messages"),
        (['{"prompt": [{"role": "user"}], "completion": "b"}'], "line 1: prompt must be"),
        (['{"prompt": "a", "completion": 5}'], "line 1: completion must be text"),
        (['{"prompt": "a", "completion": "b", "id": "x"}'] * 2, "line 2: another .* id 'x'"),
        (["[]"], "line 1: is no JSON object"),
        ([""], "holds no completion"),
    ],
)
def test_a_wrong_line_is_named(score, tmp_path, lines, message):
    (tmp_path / "asked.jsonl").write_text("\n".join(lines))
    code, out, said = score("--jsonl", str(tmp_path / "asked.jsonl"))
    assert code == 2 and out == ""
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(said)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--prompt", "a"), "needs --prompt and --completion, or --jsonl"),
        (("--prompt", "a", "--completion", ""), "the completion is empty"),
        (("--prompt", " ", "--completion", "b"), "--prompt: is empty"),
        (("--prompt", "a", "--jsonl", "x"), "not both"),
        (("--jsonl", "/no/such.jsonl"), "/no/such.jsonl: cannot be read"),
        (
            ("--prompt", "a", "--completion", "b", "--sink", "end"),
            "unknown sink 'end'; allowed: an",
        ),
        (("--prompt", "a", "--completion", "b", "--mode", "best"), "unknown mode 'best'"),
        (("--prompt", "a", "--completion", "b", "--mode", "no.such:Rule"), "no module no.such"),
        (("--prompt", "a", "--completion", "b", "--w-min", "9"), "--w-min: 9.0 is greater than"),
        (("--prompt", "a", "--completion", "1 " * 300), "the model reads 256"),
    ],
)
def test_what_cannot_be_scored_is_one_line(score, flags, message):
    code, out, said = score(*flags)
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 2 and out == "" and message in line


def test_a_folder_that_is_no_model_or_has_code_of_its_own_is_refused(score, folder, tmp_path):
    flags = ("--prompt", "a", "--completion", "b")
    assert "no such folder" in score(*flags, model=tmp_path / "gone")[2]
    assert "there is no config.json" in score(*flags, model=tmp_path)[2]
    foreign = tmp_path / "foreign"
    shutil.copytree(folder, foreign)
    config = json.loads((foreign / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling.Mine"}
    (foreign / "config.json").write_text(json.dumps(config))
    (foreign / "modeling.py").write_text("raise SystemExit('it was run')")
    code, _, said = score(*flags, model=foreign)
    assert code == 2 and "config.json: asks for code of the model's own (auto_map)" in said


def test_a_model_without_a_chat_template_reads_text_and_one_with_a_clock_needs_its_day(loaded):
    model, tokenizer = loaded
    template = tokenizer.chat_template
    asked = [Asked("a", PROMPT, GOOD)]
    try:
        (raw,) = CompletionScorer(model, tokenizer, CreditConfig(), raw=True).score(asked)
        tokenizer.chat_template = None
        assert CompletionScorer(model, tokenizer, CreditConfig()).score(asked) == [raw]
        tokenizer.chat_template = "{{ strftime_now('%d') }}" + template
        with pytest.raises(UserError, match="reads a clock"):
            CompletionScorer(model, tokenizer, CreditConfig()).score(asked)
    finally:
        tokenizer.chat_template = template


def test_without_arguments_it_lists_what_it_can_do(capsys):
    assert main([]) == 0
    overview = capsys.readouterr().out
    assert all(f"cfdapo {name}" in overview for name in COMMANDS) and "make study" in overview
    assert main(["scores"]) == 2
    assert "unknown command 'scores'; there are: score" in capsys.readouterr().err


def test_every_option_of_credit_is_there_and_explained():
    told = _parser().format_help()
    for name in ("intervention", "sink", "spans", "answer", "mode", "max-spans", "select-k"):
        assert f"--{name}" in told
