"""A completion ends with the same tokens in training and evaluation, and reads alike in both."""

import shutil

import pytest
from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from cfdapo.credit.alignment import completion_text
from cfdapo.files import UserError, read_json, write_json
from cfdapo.policy.generation import encode_prompt, generate
from cfdapo.policy.models import end_tokens, load_base
from cfdapo.policy.sampling import sample

# Ids of the tiny tokenizer: the pad token, the end, the roles; from 4 on ordinary ones.
PAD, END, USER, ASSISTANT = range(4)
ORDINARY = 70


@pytest.fixture
def base(prepared, tmp_path):
    """Copies the prepared model, with other end tokens of the model and of the tokenizer."""

    def change(of_model, of_tokenizer="<|end|>", **tokenizer_config):
        folder = tmp_path / "base"
        shutil.copytree(prepared / "model", folder, dirs_exist_ok=True)
        config = read_json(folder / "generation_config.json")
        write_json(folder / "generation_config.json", config | {"eos_token_id": of_model})
        file = folder / "tokenizer_config.json"
        write_json(file, read_json(file) | {"eos_token": of_tokenizer} | tokenizer_config)
        return folder

    return change


@pytest.mark.parametrize(
    ("of_model", "of_tokenizer", "ends"),
    [
        (END, "<|end|>", [END]),
        (None, "<|end|>", [END]),
        ([], "<|end|>", [END]),
        # Llama-3.2's: the tokenizer's is one of the model's.
        ([USER, END, ASSISTANT], "<|end|>", [END, USER, ASSISTANT]),
        # They differ.
        (USER, "<|end|>", [END, USER]),
        ([USER, ASSISTANT], "<|end|>", [END, USER, ASSISTANT]),
        # 0 is an id like any other, on either side.
        (PAD, "<|end|>", [END, PAD]),
        ([PAD, ORDINARY], "<|end|>", [END, PAD, ORDINARY]),
        (END, "<|pad|>", [PAD, END]),
        (None, "<|pad|>", [PAD]),
        # Only the model knows.
        (PAD, None, [PAD]),
        ([USER, PAD], None, [USER, PAD]),
    ],
)
def test_training_and_evaluation_end_at_the_union(base, build, of_model, of_tokenizer, ends):
    folder = base(of_model, of_tokenizer)
    model, tokenizer = load_base(folder)
    assert end_tokens(model, tokenizer) == ends
    trainer = build("vanilla", model_dir=folder)
    adapted, own = trainer.model, trainer.processing_class
    assert end_tokens(adapted, own) == ends
    assert sorted(trainer.eos_token_ids) == sorted(ends)
    assert sorted(trainer.generation_config.eos_token_id) == sorted(ends)
    assert trainer.generation_config.pad_token_id == own.pad_token_id == tokenizer.pad_token_id


def test_a_model_without_any_end_is_refused(base):
    folder = base(None, None)
    for name in ("config.json", "generation_config.json"):
        config = read_json(folder / name)
        config.pop("eos_token_id", None)
        write_json(folder / name, config)
    with pytest.raises(UserError, match="neither .* names a token that ends a text"):
        load_base(folder)


def rollout(trainer) -> tuple[list[dict], dict[str, list[list[int]]]]:
    """The rows of a batch, and the trainer's prompts and completions without their padding."""
    batch = next(iter(trainer.get_train_dataloader()))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1  # set by train() itself
    output = trainer._generate_and_score_completions(batch)
    return batch, {
        part: [
            ids[mask.bool()].tolist()
            for ids, mask in zip(output[f"{part}_ids"], output[f"{part}_mask"], strict=True)
        ]
        for part in ("prompt", "completion")
    }


def test_rollouts_end_where_evaluated_and_measured_completions_do(base, build):
    """Nearly uniform, so that 0, 1 and an ordinary token are drawn; the mask and metrics follow."""
    folder, temperature = base([PAD, ORDINARY]), 50.0
    drawn = {"max_completion_tokens": 60, "temperature": temperature, "top_p": 1.0}
    trainer = build("vanilla", model_dir=folder, batch_size=16, **drawn)
    _, trained = rollout(trainer)
    model, tokenizer = load_base(folder)
    measured = sample(model, tokenizer, trained["prompt"], 60, temperature, 1.0, seed=1)
    ends = {PAD, END, ORDINARY}
    for completions in (trained["completion"], measured):
        assert all(not ends & set(ids[:-1]) for ids in completions)
        assert all(len(ids) == 60 or ids[-1] in ends for ids in completions)
    assert {ids[-1] for ids in trained["completion"] + measured} >= {PAD, ORDINARY}
    metrics = trainer._metrics["train"]
    clipped = [ids[-1] not in ends for ids in trained["completion"]]
    assert metrics["completions/clipped_ratio"] == [pytest.approx(sum(clipped) / len(clipped))]
    lengths = [len(ids) for ids in trained["completion"]]
    assert metrics["completions/mean_length"] == [pytest.approx(sum(lengths) / len(lengths))]


def test_what_the_policy_says_ends_at_the_same_place_in_training_and_evaluation(base, build):
    """Nearly greedy, by a model whose second end is the seventh token that it writes."""
    model, tokenizer = load_base(base(END))
    problem = {"prompt": [{"role": "user", "content": "Mia has 3 pens. How many?"}]}
    prompt = encode_prompt(tokenizer, problem["prompt"], {})
    (said,) = generate(model.eval(), tokenizer, [prompt], 12, 1)
    folder = base([said[6]])
    model, tokenizer = load_base(folder)
    trainer = build("vanilla", model_dir=folder, temperature=1e-4, max_completion_tokens=12)
    _, trained = rollout(trainer)
    assert trained["completion"] == list(
        generate(model.eval(), tokenizer, trained["prompt"], 12, len(trained["prompt"]))
    )
    assert {ids[-1] for ids in trained["completion"]} == {said[6]}
    assert max(map(len, trained["completion"])) < 12


def test_an_end_is_no_part_of_the_text_whatever_it_is_marked_as(base):
    """An added token that the tokenizer does not call special, as some ends of a turn are."""
    folder = base(END)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    tokenizer.add_tokens([AddedToken("<|turn|>", special=False, normalized=False)])
    turn = tokenizer.convert_tokens_to_ids("<|turn|>")
    tokenizer.save_pretrained(folder)
    config = read_json(folder / "generation_config.json")
    write_json(folder / "generation_config.json", config | {"eos_token_id": [END, turn]})
    plain = tokenizer("#### 18")["input_ids"]
    assert completion_text([*plain, turn], tokenizer) == "#### 18<|turn|>"
    _, loaded = load_base(folder)
    assert completion_text([*plain, turn], loaded) == "#### 18"
    for text in ("a<|turn|>b", " <|turn|>", "#### 18<|end|>"):
        assert loaded(text)["input_ids"] == tokenizer(text)["input_ids"]


def test_the_trainer_grades_the_text_that_evaluation_grades(base, build):
    """Not what the tokenizer would parse out of it, nor with its spaces cleaned up."""
    template = {"defaults": {"role": "assistant"}, "fields": {"content": {}}}
    folder = base(
        END,
        clean_up_tokenization_spaces=True,
        clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output=True,
        response_template=template,
    )
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)
    ids = tokenizer("it 's 1 ,000 .")["input_ids"]
    assert tokenizer.response_template and tokenizer.decode(ids) == "it's 1,000."
    trainer = build("vanilla", model_dir=folder, temperature=50.0)
    own, graded = trainer.processing_class, []
    trainer.reward_funcs = [
        lambda completions, completion_ids, **_: graded.extend(
            zip((one[0]["content"] for one in completions), completion_ids, strict=True)
        ) or [float(i % 2) for i in range(len(completions))]
    ]  # fmt: skip
    rollout(trainer)
    assert len(graded) == 8
    assert all(text == completion_text(ids, own) for text, ids in graded)
    assert own.decode(ids) == "it 's 1 ,000 ."


def test_the_trainer_encodes_prompts_as_evaluation_does(base, build):
    """By a template with variables of its own, whose clock stands still."""
    folder = base(END)
    template = (
        "{{ strftime_now('%A, %d %b %Y') }}{{ tone }}\n"
        + (folder / "chat_template.jinja").read_text()
    )
    (folder / "chat_template.jinja").write_text(template)
    manifest = read_json(folder / "manifest.json")
    write_json(folder / "manifest.json", manifest | {"chat_template_date": "2024-07-26"})
    chat = {"tone": " Be brief."}
    trainer = build("vanilla", model_dir=folder, chat=chat, batch_size=16)
    batch, trained = rollout(trainer)
    _, tokenizer = load_base(folder)
    for row, read in zip(batch, trained["prompt"], strict=True):
        assert read == encode_prompt(tokenizer, row["prompt"], chat)
        assert tokenizer.decode(read).startswith("Friday, 26 Jul 2024 Be brief.\n<|user|>")
