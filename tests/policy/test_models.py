"""Models and adapters that cannot be loaded are named, with what to do."""

import builtins
import json
import os
import resource
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, LlamaForCausalLM, dynamic_module_utils

from cfdapo.files import UserError, read_json, sha256_of, write_json
from cfdapo.policy.generation import generate
from cfdapo.policy.models import (
    add_lora,
    convert_gguf,
    load_adapter,
    load_base,
    load_tokenizer,
    save_base,
    write_manifest,
)
from cfdapo.policy.tiny import make_model, make_tokenizer
from cfdapo.problems.arithmetic import make_problems
from cfdapo.provenance import origin_of, same_model
from cfdapo.settings import GgufModel, LoraSettings

LORA = LoraSettings(r=4, alpha=4, dropout=0.0)
TINY = {"hidden_size": 4, "intermediate_size": 4, "num_attention_heads": 1, "num_hidden_layers": 1}


@pytest.fixture
def adapter(prepared, tmp_path):
    model, _ = load_base(prepared / "model")
    torch.manual_seed(0)
    lora = add_lora(model, LORA)
    for name, parameter in lora.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    lora.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_adapters_can_be_swapped_on_one_base(prepared, adapter):
    base, tokenizer = load_base(prepared / "model")
    ids = tokenizer("Mia has 3 pens.", return_tensors="pt")
    untrained = base(**ids).logits
    once = load_adapter(base, adapter, "step1")
    first = once(**ids).logits
    twice = load_adapter(once, adapter, "step2")
    assert not torch.allclose(untrained, first)
    assert torch.equal(twice(**ids).logits, first)
    with twice.disable_adapter():
        torch.testing.assert_close(twice(**ids).logits, untrained)


def test_lora_is_on_all_seven_projections_and_starts_at_zero(prepared):
    base, tokenizer = load_base(prepared / "model")
    ids = tokenizer("Mia has 3 pens.", return_tensors="pt")
    before = base(**ids).logits
    lora = add_lora(base, LORA)
    adapted = {name.split(".lora_A")[0].rsplit(".", 1)[1]
               for name, _ in lora.named_parameters() if "lora_A" in name}  # fmt: skip
    assert adapted == {f"{part}_proj" for part in ("q", "k", "v", "o", "gate", "up", "down")}
    torch.testing.assert_close(lora(**ids).logits, before)


def test_an_adapters_settings_are_the_same_file_in_every_process(adapter):
    """Strings in a set stand in another order in every process."""
    modules = read_json(adapter / "adapter_config.json")["target_modules"]
    assert modules == sorted(modules) and len(modules) == 14


def test_missing_adapter_names_the_file(prepared, tmp_path):
    base, _ = load_base(prepared / "model")
    with pytest.raises(UserError, match="missing adapter"):
        load_adapter(base, tmp_path / "step25", "step25")


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_cut_adapter_is_damaged(prepared, adapter, keep):
    weights = adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:keep])
    base, _ = load_base(prepared / "model")
    with pytest.raises(UserError, match="adapter_model.safetensors: damaged adapter"):
        load_adapter(base, adapter, "step25")


def test_adapter_of_another_shape_is_damaged(adapter):
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    config = AutoConfig.for_model("llama", **shape, num_hidden_layers=2, vocab_size=50)
    with pytest.raises(UserError, match="damaged adapter"):
        load_adapter(LlamaForCausalLM(config), adapter, "step25")


def test_model_that_cannot_be_loaded_offline_is_named(tmp_path):
    revision = "0" * 40
    write_json(
        tmp_path / "manifest.json", {"source": "hub", "id": "nobody/nothing", "revision": revision}
    )
    with pytest.raises(UserError, match=f"nobody/nothing at {revision} cannot be loaded"):
        load_base(tmp_path)


def flip(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", flip),
        ("model.safetensors", lambda path: path.write_bytes(path.read_bytes()[:1000])),
        ("model.safetensors", Path.unlink),
        ("model-2.safetensors", lambda path: path.write_bytes(b"")),
        ("manifest.json", lambda path: path.write_text('{"source": "made"}')),
        ("manifest.json", lambda path: path.write_text("[1]")),
    ],
)
def test_a_base_model_that_is_not_what_was_prepared_is_named(prepared, tmp_path, name, change):
    folder = shutil.copytree(prepared / "model", tmp_path / "model")
    (folder / ".snakemake_timestamp").touch()
    load_base(folder)
    change(folder / name)
    with pytest.raises(UserError, match=str(folder / name)):
        load_base(folder)


@pytest.mark.parametrize("name", ["chat_template.jinja", "generation_config.json", "new.json"])
def test_a_models_origin_tells_what_its_other_files_are_now(prepared, tmp_path, name):
    folder = shutil.copytree(prepared / "model", tmp_path / "model")
    before = origin_of(folder)
    (folder / name).write_text("{}")
    after = origin_of(folder)
    assert before != after and same_model(before, after)
    assert after["sha256"][name] == sha256_of(folder / name)
    other = after | {"sha256": after["sha256"] | {"model.safetensors": "0"}}
    assert not same_model(before, other) and not same_model(before, before | {"id": "other"})


def test_a_models_own_code_is_never_run_whatever_the_terminal_says(tmp_path, monkeypatch):
    monkeypatch.setattr(builtins, "input", lambda *_: "y")
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(dynamic_module_utils, "TIME_OUT_REMOTE_CODE", 15)
    own = tmp_path / "own"
    own.mkdir()
    classes = {"AutoConfig": "mine.Config", "AutoTokenizer": [None, "mine.Tokenizer"]}
    (own / "config.json").write_text(json.dumps({"model_type": "mine", "auto_map": classes}))
    (own / "tokenizer_config.json").write_text(json.dumps({"auto_map": classes}))
    (own / "mine.py").write_text(f"open({str(tmp_path / 'was_run')!r}, 'w')")
    with pytest.raises(UserError, match="own cannot be loaded"):
        load_tokenizer(tmp_path, {"source": "local", "path": str(own)})
    assert not (tmp_path / "was_run").exists()


def test_weights_that_cannot_be_loaded_are_named(prepared, tmp_path):
    """As they were prepared, but no model."""
    folder = shutil.copytree(prepared / "model", tmp_path / "model")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    write_manifest(folder, "test", {"source": "made"}, {})
    with pytest.raises(UserError, match="model cannot be loaded"):
        load_base(folder)


def test_gguf_package_that_is_not_installed_is_named(tmp_path):
    entry = GgufModel("gguf", "no-such-package", "x.gguf", "0" * 64, {}, None)
    with pytest.raises(UserError, match="no-such-package is not installed"):
        convert_gguf(entry, tmp_path)


def test_others_can_read_a_saved_model(prepared, tmp_path):
    model, tokenizer = load_base(prepared / "model")
    before = os.umask(0o022)
    try:
        save_base(model, tokenizer, tmp_path)
        write_manifest(tmp_path, "test", {"source": "made"}, {})
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    assert {"model.safetensors", "tokenizer.json", "manifest.json"} < set(modes)
    assert set(modes.values()) == {0o644}, modes


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json"])
def test_a_model_without_room_is_an_error_that_names_the_folder(prepared, tmp_path, file):
    model, tokenizer = load_base(prepared / "model")
    if file == "tokenizer.json":  # the weights, which are larger, then come through
        model = make_model("llama", TINY, tokenizer, seed=0)
    room, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, ((prepared / "model" / file).stat().st_size - 1, hard)
    )
    try:
        with pytest.raises(UserError, match=f"^{tmp_path}: cannot be written .*; make room"):
            save_base(model, tokenizer, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    assert (tmp_path / "model.safetensors").is_file() == (file == "tokenizer.json")


def test_a_models_origin_is_its_commit_and_the_hashes_of_its_weights(prepared, tmp_path):
    made = read_json(prepared / "model" / "manifest.json")
    assert origin_of(prepared / "model") == {
        "source": "made",
        "id": None,
        "revision": None,
        "sha256": made["sha256"],
    }
    entry = {"source": "hub", "id": "somebody/tiny", "revision": "0" * 40}
    files = {"config.json": "1", "model-1.safetensors": "2", "more/model.safetensors": "3"}
    write_manifest(tmp_path, "test", entry, {"files": files})
    weights = {"model-1.safetensors": "2", "more/model.safetensors": "3"}
    assert origin_of(tmp_path) == entry | {"sha256": weights}


@pytest.mark.parametrize("architecture", ["qwen3", "qwen2", "llama"])
def test_a_saved_model_and_tokenizer_are_loaded_as_they_were(architecture, tmp_path):
    row = make_problems("train", 1, seed=1)[0]
    tokenizer = make_tokenizer([row["question"], row["solution"]] * 20, 300)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_attention_heads": 2}
    shape |= {"num_hidden_layers": 1, "num_key_value_heads": 2}
    model = make_model(architecture, shape, tokenizer, seed=0)
    save_base(model, tokenizer, tmp_path)
    write_manifest(tmp_path, "test", {"source": "made"}, {})
    loaded, read = load_base(tmp_path)
    ids = tokenizer(row["solution"], return_tensors="pt")
    assert read(row["solution"])["input_ids"] == ids["input_ids"][0].tolist()
    conversation = [{"role": "user", "content": row["question"]}]
    assert read.apply_chat_template(conversation) == tokenizer.apply_chat_template(conversation)
    assert (read.pad_token, read.eos_token) == (tokenizer.pad_token, tokenizer.eos_token)
    torch.testing.assert_close(loaded(**ids).logits, model(**ids).logits)


def test_a_models_own_sampling_defaults_do_not_reach_evaluation(prepared, tmp_path):
    shutil.copytree(prepared / "model", tmp_path / "model")
    path = tmp_path / "model" / "generation_config.json"
    brought = read_json(path)
    write_json(path, brought | {"repetition_penalty": 3.0, "no_repeat_ngram_size": 2})
    completions = []
    for folder in (prepared / "model", tmp_path / "model"):
        model, tokenizer = load_base(folder)
        prompt = tokenizer("So 4 + 3 = 7.\nSo 4 + 3 = 7.\nSo")["input_ids"]
        completions.append(list(generate(model.eval(), tokenizer, [prompt], 30, 1)))
        assert model.generation_config.eos_token_id == brought["eos_token_id"]
    assert completions[0] == completions[1]


def test_only_the_last_adapter_stays_in_memory(prepared, adapter):
    base, _ = load_base(prepared / "model")
    model = load_adapter(load_adapter(base, adapter, "step1"), adapter, "step2")
    assert list(model.peft_config) == ["step2"]
