"""Fetching a pinned model, from a stand-in of the hub that serves a tiny model over HTTP."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cfdapo.files import UserError, read_json, sha256_of
from cfdapo.policy.hub import verify_snapshot
from cfdapo.policy.models import load_base, require_prepared
from cfdapo.policy.tiny import CHAT_TEMPLATE
from cfdapo.study import ROOT

NAME, COMMIT = "somebody/tiny", "0123456789abcdef0123456789abcdef01234567"
ENTRY = {"source": "hub", "id": NAME, "revision": COMMIT}
ENTRY |= {"chat_template_kwargs": {}, "chat_template_date": None}


@pytest.fixture(scope="module")
def hub(prepared):
    """A server that knows one model at one commit; yields its address and the paths asked for."""
    files = {path.name: path.read_bytes() for path in (prepared / "model").iterdir()}
    del files["manifest.json"]
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            _, _, name = self.path.partition(f"/{NAME}/resolve/{COMMIT}/")
            if self.path.startswith(f"/api/models/{NAME}/revision/{COMMIT}"):
                siblings = [{"rfilename": name} for name in files]
                listed = {"id": NAME, "sha": COMMIT, "siblings": siblings}
                self.answer(json.dumps(listed).encode(), "application/json")
            elif self.path.startswith(f"/api/models/{NAME}/tree/{COMMIT}"):
                listed = [
                    {"type": "file", "path": name, "size": len(data), "oid": git_hash(data)}
                    for name, data in files.items()
                ]
                self.answer(json.dumps(listed).encode(), "application/json")
            elif name in files:
                large = name.endswith(".safetensors")
                data = files[name]
                etag = hashlib.sha256(data).hexdigest() if large else git_hash(data)
                self.answer(data, "application/octet-stream", etag)
            else:
                self.send_error(404)

        do_HEAD = do_GET

        def answer(self, data, kind, etag=None):
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("X-Repo-Commit", COMMIT)
            if etag:
                self.send_header("ETag", f'"{etag}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()


def git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


# The client tries again five times, and waits 24 seconds in all.
IMPATIENT = "import time; time.sleep = lambda _: None"


def prepare(
    out: Path, cache: Path, before: str = "", **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run the stage, in a process that the statement `before` prepares."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    stage = "import runpy; runpy.run_module('cfdapo.stages.prepare_model', run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", f"{before}\n{stage}", "--name", "tiny", "--entry",
         json.dumps(ENTRY), "--task", "gsm8k", "--out", str(out)],
        env={**kept, "PYTHONPATH": str(ROOT / "src"), "HF_HOME": str(cache), **variables},
        capture_output=True,
        text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def fetched(hub, tmp_path_factory):
    """A folder with the model prepared in `model`, from the hub into the `cache` beside it."""
    folder = tmp_path_factory.mktemp("fetched")
    done = prepare(folder / "model", folder / "cache", HF_ENDPOINT=hub[0])
    assert done.returncode == 0, done.stderr
    return folder


def test_a_pinned_model_is_fetched_verified_and_then_loaded_offline(
    hub, fetched, prepared, tmp_path
):
    of_model = [path for path in hub[1] if NAME in path]
    assert of_model and all(COMMIT in path for path in of_model)
    manifest = read_json(fetched / "model" / "manifest.json")
    weights = sha256_of(prepared / "model" / "model.safetensors")
    assert manifest["revision"] == COMMIT and manifest["files"]["model.safetensors"] == weights
    # Offline, and the server is not even named: what jobs do after the target downloads.
    again = prepare(tmp_path / "again", fetched / "cache", HF_HUB_OFFLINE="1")
    assert again.returncode == 0, again.stderr
    assert read_json(tmp_path / "again" / "manifest.json")["files"] == manifest["files"]
    code = (
        "import sys; from cfdapo.policy.models import load_base; print(load_base(sys.argv[1])[0])"
    )
    variables = {"PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}
    loaded = subprocess.run(
        [sys.executable, "-c", code, str(fetched / "model")],
        env={**os.environ, **variables, "HF_HOME": str(fetched / "cache")},
        capture_output=True,
        text=True,
    )
    assert loaded.returncode == 0, loaded.stderr
    expected, _ = load_base(prepared / "model")
    assert type(expected).__name__ in loaded.stdout


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_file_of_the_cache_is_named(fetched, tmp_path, name):
    cache = shutil.copytree(fetched / "cache", tmp_path / "cache", symlinks=True)
    (file,) = cache.glob(f"hub/*/snapshots/{COMMIT}/{name}")
    verify_snapshot(file.parent)
    data = bytearray(file.read_bytes())
    data[-2] ^= 1
    file.write_bytes(data)
    with pytest.raises(UserError, match=rf"torn or changed: \S*{name};"):
        verify_snapshot(file.parent)


def test_a_file_of_the_cache_that_changed_since_it_was_fetched_is_not_loaded(
    fetched, tmp_path, monkeypatch
):
    cache = shutil.copytree(fetched / "cache", tmp_path / "cache", symlinks=True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache / "hub"))
    folder, manifest = fetched / "model", read_json(fetched / "model" / "manifest.json")
    require_prepared(folder, manifest)
    (weights,) = cache.glob(f"hub/*/snapshots/{COMMIT}/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UserError, match=rf"{weights} is not what was prepared.*target downloads"):
        require_prepared(folder, manifest)
    del manifest["files"]
    with pytest.raises(UserError, match="manifest.json: lists no weights; delete the folder"):
        require_prepared(folder, manifest)


def test_a_model_without_safetensors_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match="has no \\*.safetensors"):
        verify_snapshot(tmp_path)


def test_without_network_or_cache_the_model_and_what_to_do_are_named(tmp_path):
    nowhere = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = prepare(tmp_path / "model", tmp_path / "cache", IMPATIENT, **nowhere)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert f"error: models: {NAME} at {COMMIT} cannot be loaded from here" in done.stderr


def test_a_template_that_reads_a_clock_is_refused_when_it_is_fetched(prepared, tmp_path):
    """And before that, once it is in the cache; see test_dag."""
    snapshot = tmp_path / "cache" / "hub" / "models--somebody--tiny" / "snapshots" / COMMIT
    shutil.copytree(prepared / "model", snapshot)
    (snapshot / "chat_template.jinja").write_text("{{ strftime_now('%x') }}" + CHAT_TEMPLATE)
    done = prepare(tmp_path / "model", tmp_path / "cache", HF_HUB_OFFLINE="1")
    assert done.returncode == 2 and not (tmp_path / "model" / "manifest.json").exists()
    assert "error: models.tiny: its chat template reads a clock" in done.stderr
