"""A model in a folder of one's own disk: prepared without a copy, told by its content."""

import json
import shutil

import pytest
import torch
from transformers import AutoTokenizer

from cfdapo.files import UserError, read_json
from cfdapo.policy.local import content_hash, files_of
from cfdapo.policy.models import load_base, load_tokenizer, save_base
from cfdapo.policy.tiny import make_model, make_tokenizer
from cfdapo.provenance import origin_of, same_model


@pytest.fixture
def own(prepared, tmp_path):
    """A folder with a model, as somebody's training left it, with a checkpoint below it."""
    folder = shutil.copytree(prepared / "model", tmp_path / "own")
    (folder / "manifest.json").unlink()
    (folder / "checkpoint-5").mkdir()
    (folder / "checkpoint-5" / "model.safetensors").touch()
    return folder


def prepare(stage, folder, out):
    entry = {"source": "local", "path": str(folder)}
    entry |= {"chat_template_kwargs": {}, "chat_template_date": None}
    flags = ("--name", "own", "--entry", json.dumps(entry), "--task", "arithmetic", "--out", out)
    done = stage("prepare_model", *flags)
    assert done.returncode == 0, done.stderr


def test_a_local_model_is_the_one_in_its_folder(own, prepared, stage, tmp_path):
    prepare(stage, own, tmp_path / "model")
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["manifest.json"]
    model, tokenizer = load_base(tmp_path / "model")
    reference, its_tokenizer = load_base(prepared / "model")
    for one, other in zip(model.parameters(), reference.parameters(), strict=True):
        assert torch.equal(one, other)
    text = "Anna has 23 apples.\nHow many are 4 more?"
    assert tokenizer(text)["input_ids"] == its_tokenizer(text)["input_ids"]


def test_its_origin_is_its_content_wherever_it_lies(own, stage, tmp_path):
    prepare(stage, own, tmp_path / "one")
    moved = shutil.copytree(own, tmp_path / "moved")
    prepare(stage, moved, tmp_path / "two")
    one, two = origin_of(tmp_path / "one"), origin_of(tmp_path / "two")
    files = read_json(tmp_path / "one" / "manifest.json")["files"]
    assert one == two and one["source"] == "local" and one["revision"] == content_hash(files)
    assert "checkpoint-5/model.safetensors" not in files and one["sha256"].keys() == {
        "model.safetensors"
    }
    (moved / "generation_config.json").write_text('{"eos_token_id": 2}')
    prepare(stage, moved, tmp_path / "three")
    assert not same_model(one, origin_of(tmp_path / "three"))


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json"])
def test_a_model_that_asks_for_code_of_its_own_is_refused(own, stage, tmp_path, file):
    asked = read_json(own / file) | {"auto_map": {"AutoModelForCausalLM": "modeling.Mine"}}
    (own / file).write_text(json.dumps(asked))
    with pytest.raises(AssertionError, match=f"{own}/{file}: asks for code of the model's own"):
        prepare(stage, own, tmp_path / "model")
    assert not (tmp_path / "model" / "manifest.json").exists()


def test_a_tokenizer_that_names_no_class_of_its_own_is_read_as_saved(stage, tmp_path):
    """Qwen2's automatic class has rules of its own for cutting text."""
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    made = make_tokenizer(["Anna has 23 apples and 4 pears."], 300)
    model = make_model("qwen2", {**shape, "num_attention_heads": 2}, made, 0)
    save_base(model, made, tmp_path / "own")
    prepare(stage, tmp_path / "own", tmp_path / "model")
    text = "She has 23 pears.\nHow many 17 ?"
    ids = made(text)["input_ids"]
    assert load_tokenizer(tmp_path / "model")(text)["input_ids"] == ids
    assert AutoTokenizer.from_pretrained(tmp_path / "own")(text)["input_ids"] != ids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: (own / "tokenizer.json").write_text("{}"), "tokenizer.json is not what was"),
        (lambda own: (own / "generation_config.json").unlink(), "generation_config.json is miss"),
        (lambda own: (own / "new.safetensors").touch(), "new.safetensors is not its own"),
    ],
)
def test_a_folder_that_changes_later_is_not_loaded(own, stage, tmp_path, change, message):
    prepare(stage, own, tmp_path / "model")
    change(own)
    with pytest.raises(UserError, match=f"{own}/{message}"):
        load_base(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (shutil.rmtree, "no such folder"),
        (lambda own: (own / "config.json").unlink(), "is no model .there is no config.json"),
        (lambda own: (own / "config.json").rename(own / "adapter_config.json"), "is an adapter"),
        (lambda own: (own / "model.safetensors").rename(own / "model.bin"), "has no .*safetensors"),
        (
            lambda own: (own / "model.safetensors.index.json").write_text(
                '{"weight_map": {"a": "model-2.safetensors"}}'
            ),
            "lacks weights .*model-2.safetensors",
        ),
    ],
)
def test_what_is_no_model_is_refused_by_name(own, change, message):
    change(own)
    with pytest.raises(UserError, match=f"^{own}: {message}"):
        files_of(own)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "config.json",
            {"auto_map": {"AutoModelForCausalLM": "own.Model"}},
            "asks for code of the",
        ),
        ("tokenizer_config.json", {"auto_map": {}}, "asks for code of the model's own"),
        ("adapter_config.json", {"peft_type": "LORA"}, "an adapter lies beside the model"),
    ],
)
def test_trap_a_folder_that_would_be_loaded_as_another_model_is_refused(
    own, name, content, message
):
    file = own / name
    file.write_text(json.dumps((read_json(file) if file.is_file() else {}) | content))
    with pytest.raises(UserError, match=f"^{file}: {message}"):
        files_of(own)


def test_trap_nobody_is_asked_whether_to_run_a_models_code(own, stage, monkeypatch, tmp_path):
    """As transformers asks, where it is not told; a yes that is piped in would run it."""
    prepare(stage, own, tmp_path / "model")
    ran = tmp_path / "ran"
    (own / "own.py").write_text(f"open({str(ran)!r}, 'w')")
    config = read_json(own / "config.json")
    code = {
        "model_type": "own",
        "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"},
    }
    (own / "config.json").write_text(json.dumps(config | code))
    monkeypatch.setattr("cfdapo.policy.models.require_prepared", lambda *given: None)
    monkeypatch.setattr("builtins.input", lambda *said: "y")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_base(tmp_path / "model")
    assert not ran.exists()
