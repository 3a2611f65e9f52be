"""Models in a folder of one's own disk: what of it is the model, and the hash that tells it."""

import hashlib
from pathlib import Path

from cfdapo.files import UserError, read_json, sha256_of
from cfdapo.provenance import WEIGHTS, is_weights

# What transformers reads of a folder; other files are none of the model, nor are the checkpoints
# that a trainer left in folders below it.
PATTERNS = (WEIGHTS, "*.json", "*.txt", "*.model", "*.jinja", "additional_chat_templates/*.jinja")


def files_of(folder: str | Path) -> dict[str, str]:
    """sha256 of every file that the model in `folder` consists of, by its name there.

    Raises:
        UserError: there is no such folder, it holds no model in transformers' format, or one that
            would be loaded as another: by code of its own, or with an adapter on top.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; a local model's path names one")
    names = names_in(folder)
    if "config.json" not in names:
        adapter = "adapter_config.json" in names
        is_what = "is an adapter; merge it into its base model first" if adapter else "is no model"
        raise UserError(f"{folder}: {is_what} (there is no config.json)")
    if not any(map(is_weights, names)):
        raise UserError(f"{folder}: has no {WEIGHTS}; weights in other formats are not loaded")
    _require_all_shards(folder, names)
    refuse_code(folder)
    refuse_adapter(folder)
    return {name: sha256_of(folder / name) for name in sorted(names)}


def refuse_code(folder: Path) -> None:
    """Refuse a model that asks for code of its own, which is never run.

    Raises `UserError` naming the file that asks for it.
    """
    for file in sorted(folder.glob("*config.json")):
        if "auto_map" in read_json(file):
            raise UserError(
                f"{file}: asks for code of the model's own (auto_map), which is never run; where "
                "transformers knows the architecture itself, take auto_map out of the file"
            )


def refuse_adapter(folder: Path) -> None:
    """Refuse a model with an adapter beside it, which transformers would put on top unasked.

    Its weights may lie elsewhere, or run code when they are read, and no hash of ours covers them.
    Raises `UserError` naming the file.
    """
    if (file := folder / "adapter_config.json").is_file():
        raise UserError(
            f"{file}: an adapter lies beside the model and would be loaded on top of it; merge it "
            "into the model, or move it to a folder of its own"
        )


def names_in(folder: Path) -> set[str]:
    """The names of a model's files in its folder."""
    found = (path for pattern in PATTERNS for path in folder.glob(pattern))
    return {path.relative_to(folder).as_posix() for path in found if path.is_file()}


def content_hash(files: dict[str, str]) -> str:
    """sha256 over `files_of`: what a commit is for a model of the hub."""
    lines = (f"{name}\0{sha256}\n" for name, sha256 in sorted(files.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _require_all_shards(folder: Path, names: set[str]) -> None:
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return
    listed = read_json(index).get("weight_map")
    shards = set(listed.values()) if isinstance(listed, dict) else set()
    if missing := sorted(shards - names):
        raise UserError(f"{folder}: lacks weights that {index.name} names: {', '.join(missing)}")
