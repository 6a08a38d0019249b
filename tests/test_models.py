"""What a model is, is data for DVC: weights that change under an unchanged name make stale what was made with them."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML
from tracked_project import dvc

from tav import params
from tav.artifacts import model_record, read_json, write_json
from tav.commands.old_keys import with_sources
from tav.params import UserError, check, read_yaml
from tav.running.guard import guard
from tav.running.weights import check_weights, parts_of, pinned
from tav.stages import Progress, model

ROOT = Path(__file__).parents[1]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
USERS = """
  tune:
    cmd: echo > tuned
    deps: [artifacts/models/base.json]
    outs: [tuned]
  evaluate:
    cmd: echo > measured
    deps: [artifacts/models/clip.json]
    outs: [measured]
"""


def write(data: dict[str, Any]) -> None:
    with Path("params.yaml").open("w") as file:
        YAML().dump(data, file)


def stale() -> set[str]:
    """Of a process of its own: DVC within this one may print to where an earlier test had it print."""
    asked = [sys.executable, "-m", "dvc", "status", "--json"]
    return set(json.loads(subprocess.run(asked, capture_output=True, text=True, check=True).stdout))


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """params.yaml's content, of a project that is the current folder. The weights are texts."""
    monkeypatch.chdir(tmp_path)
    for name in ("sd/unet/w.safetensors", "sd/model_index.json", "clip/config.json", "blip2/config.json"):
        file = Path("models", name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    Path("models/lora.safetensors").write_text("a LoRA")
    made: dict[str, Any] = read_yaml(ROOT / "params.yaml")
    made |= {"videos": {}, "edits": {}}
    made["base"] |= {"source": "models/sd", "loras": [{"source": "models/lora.safetensors", "scale": 0.5}]}
    made["caption"]["model"]["source"], made["evaluate"]["clip"]["source"] = "models/blip2", "models/clip"
    write(made)
    Path("recipe.yaml").write_text((ROOT / "recipe.yaml").read_text())
    return made


def run(name: str) -> list[dict[str, Any]]:
    reports: list[Progress] = []
    model.run(params.load(), "", reports.append)
    assert [(p.done, p.total) for p in reports] == [(i, 6) for i in range(1, 7)]
    found: list[dict[str, Any]] = read_json(model_record(name))
    return found


@pytest.mark.usefixtures("data")
class TestRecord:
    def test_each_file_that_is_read_has_its_hash(self) -> None:
        Path("models/sd/README.md").write_text("not read")
        Path("models/sd/.cache").mkdir()
        Path("models/sd/.cache/x.json").write_text("not read")
        base, lora = run("base")
        assert (base["source"], base["commit"]) == ("models/sd", None)
        assert base["files"].keys() == {"unet/w.safetensors", "model_index.json"}
        assert lora["files"].keys() == {"lora.safetensors"}
        assert run("pick_score") == []

    def test_a_hash_is_kept_until_its_file_changes(self) -> None:
        Path(".dvc/tmp").mkdir(parents=True)
        before = run("base")
        kept = json.loads(Path(".dvc/tmp/tav-hashes.json").read_text())
        assert set(kept.values()) >= {hash for part in before for hash in part["files"].values()}
        Path(".dvc/tmp/tav-hashes.json").write_text(json.dumps(dict.fromkeys(kept, "known")))
        assert {hash for part in run("base") for hash in part["files"].values()} == {"known"}
        Path("models/lora.safetensors").write_text("another LoRA")
        assert run("base")[1]["files"] != {"lora.safetensors": "known"}
        Path(".dvc/tmp/tav-hashes.json").write_text("damaged")
        assert run("base")[0] == before[0]

    def test_a_commit_of_the_hub_asks_nobody(self, data: dict[str, Any]) -> None:
        data["evaluate"]["pick_score"] = {"source": f"hub:owner/name@{COMMIT}"}
        write(data)
        assert run("pick_score") == [{"source": f"hub:owner/name@{COMMIT}", "commit": COMMIT, "files": {}}]

    def test_a_branch_that_moved_stays_at_its_commit(self, data: dict[str, Any]) -> None:
        data["evaluate"]["pick_score"] = {"source": "hub:owner/name"}
        write(data)
        known = [{"source": "hub:owner/name", "commit": COMMIT, "files": {}}]
        write_json(model_record("pick_score"), known)
        assert run("pick_score") == known  # the hub is out of reach

    def test_controls_of_all_edits(self, data: dict[str, Any]) -> None:
        data["videos"] = {"cat": {"path": "cat.mp4", "caption": "a cat", "extract": {}, "tune": {}}}
        control = {"kind": "canny", "model": {"source": "models/lora.safetensors"}}
        data["edits"] = {name: {"video": "cat", "prompt": "a dog", "controls": [control]} for name in "ab"}
        data["condition"]["kinds"] = ["canny"]
        write(data)
        assert [part["source"] for part in run("controls")] == ["models/lora.safetensors"]
        Path("models/jacket.png").write_text("a picture")
        data["edits"]["a"]["reference"] = {"picture": "models/jacket.png", "model": {"source": "models/clip"}}
        write(data)
        assert [part["source"] for part in run("controls")][1:] == ["models/clip", "models/jacket.png"]
        before = run("controls")[2]["files"]
        data["videos"]["cat"]["tune"] = {"control": {"frames": "mine", "model": {"source": "models/sd"}}}
        write(data)
        assert [part["source"] for part in run("controls")][2] == "models/sd"
        data["videos"]["cat"]["tune"] = {}
        write(data)
        Path("models/jacket.png").write_text("another")
        assert run("controls")[2]["files"] != before

    def test_prior_pictures_stand_beside_the_base(self, data: dict[str, Any]) -> None:
        """On which tuning depends, also those of one video alone."""
        folder = Path("models/cats")
        folder.mkdir()
        (folder / "1.png").write_text("a picture")
        (folder / "2.JPG").write_text("another")
        (folder / "notes.md").write_text("not read")
        own = {"prior_pictures": {"prompt": "a cat", "folder": "models/cats"}}
        data["videos"] = {"cat": {"path": "cat.mp4", "caption": "a cat", "extract": {}, "tune": own}}
        write(data)
        before = run("base")[-1]
        assert before["source"] == "models/cats"
        assert before["files"].keys() == {"1.png", "2.JPG"}
        (folder / "1.png").write_text("a third")
        assert run("base")[-1] != before

    @pytest.mark.parametrize(
        ("source", "said"),
        [("models/typo", "no such folder or file; a model on the hub is hub:"), ("hub:nobody/none", "not found")],
    )
    def test_what_is_not_there(self, data: dict[str, Any], source: str, said: str) -> None:
        data["base"]["source"] = source
        write(data)
        with pytest.raises(UserError, match=said):
            run("base")


def test_exchanged_weights_make_stale_what_was_made_with_them(data: dict[str, Any]) -> None:
    dag = (ROOT / "dvc.yaml").read_text()
    stage = dag[dag.index("stages:") : dag.index("  extract:")].replace("python -m tav", f"{sys.executable} -m tav")
    Path("dvc.yaml").write_text(stage + USERS)
    dvc("init", "--no-scm")
    dvc("repro")
    assert stale() == set()
    Path("models/README.md").write_text("DVC watches the folder, and what a model is stays the same")
    dvc("repro")
    before = Path("dvc.lock").read_text()
    Path("models/lora.safetensors").write_text("another LoRA")
    assert "model" in stale()
    dvc("repro", "model")
    assert stale() == {"tune"}
    dvc("repro")
    Path("models/lora.safetensors").write_text("a LoRA")
    dvc("repro")
    assert Path("dvc.lock").read_text() == before
    data["base"]["config"] = "models/clip"
    write(data)
    dvc("repro", "model")
    assert stale() == {"tune"}


@pytest.mark.usefixtures("data")
class TestRunner:
    def test_weights_that_changed_since_are_refused_at_the_start(self, tmp_path: Path) -> None:
        run("base")
        parts = parts_of([str(model_record("base")), "videos/x.mp4"])
        check_weights(parts)
        Path("models/lora.safetensors").write_text("another LoRA")
        with pytest.raises(UserError, match=r"models/lora\.safetensors was changed since .* run `dvc repro -f model`"):
            check_weights(parts)

    def test_weights_that_change_under_a_stage_are_noticed(self, data: dict[str, Any]) -> None:
        data["videos"] = {"cat": {"path": "cat.mp4", "caption": "a cat", "extract": {}, "tune": {}}}
        write(data)
        Path("dvc.yaml").write_text((ROOT / "dvc.yaml").read_text())
        run("base")
        with (
            pytest.raises(UserError, match=r"models/lora\.safetensors was changed while tune@cat ran"),
            guard("tune", "cat"),
        ):
            Path("models/lora.safetensors").write_text("another LoRA")

    def test_a_branch_of_the_hub_is_the_commit_that_was_found(self, data: dict[str, Any]) -> None:
        for section in ("base", "evaluate"):
            place = data[section] if section == "base" else data[section]["clip"]
            place["source"] = "hub:owner/name@main"
        found = {"hub:owner/name@main": {"commit": COMMIT}, "models/blip2": {"commit": None}}
        data["videos"] = {"cat": {"path": "cat.mp4", "caption": "a cat", "extract": {}, "tune": {}}}
        data["edits"] = {"cat--dog": {"video": "cat", "prompt": "a dog", "seed": 7}}
        now = pinned(check(data), found)
        assert (now.videos, now.edits) == (check(data).videos, check(data).edits)
        assert (now.base.place, now.base.revision, now.evaluate.clip.revision) == ("hub:owner/name", COMMIT, COMMIT)
        assert now.caption == check(data).caption


class TestSource:
    @pytest.mark.parametrize(
        ("source", "expected"),
        [
            ("hub:a/b", ("a/b", None)),
            ("hub:a.b/c_d-1.5@refs/pr/1", ("a.b/c_d-1.5", "refs/pr/1")),
            ("a/b", (None, None)),
            ("models/x@main", (None, None)),
        ],
    )
    def test_only_the_hubs_mark_asks_the_hub(self, source: str, expected: tuple[str | None, str | None]) -> None:
        assert params.split_source(source) == expected

    @pytest.mark.parametrize("source", ["hub:", "hub:a/b/c", "hub:a/b@", "hub:../b", "hub: a/b"])
    def test_half_a_name_is_refused(self, data: dict[str, Any], source: str) -> None:
        data["base"]["source"] = source
        with pytest.raises(UserError, match=r"^params\.yaml: base\.source: .* is no model on the hub: write hub:owner"):
            check(data)

    def test_old_keys_say_what_to_write(self, data: dict[str, Any]) -> None:
        data["evaluate"]["clip"] = {"path": "x", "hub_id": "a/b", "revision": "main"}
        data["base"]["loras"] = [{"path": "y.safetensors"}]
        with pytest.raises(UserError) as error:
            check(data)
        assert "evaluate.clip: path, hub_id, revision became one key: write source: 'hub:a/b@main'" in str(error.value)
        assert "base.loras.0: path became one key: write source: 'y.safetensors'" in str(error.value)


OLD = """# mine
base:                     # the model
  path: models/sd         # here
  hub_id: null            # gone
  revision: null
  loras: [{path: "a b.safetensors", scale: 0.8}]
caption:
  model: {hub_id: c/d, revision: main, path: x}
evaluate:
  clip: {path: models/clip, hub_id: null, revision: null}
  pick_score:
    hub_id: e/f
    revision: v1
videos: {v: {path: v.mp4}}
"""
NEW = """# mine
base:                     # the model
  source: models/sd         # here
  loras: [{source: a b.safetensors, scale: 0.8}]
caption:
  model: {source: "hub:c/d@main"}
evaluate:
  clip: {source: models/clip}
  pick_score:
    source: hub:e/f@v1
videos: {v: {path: v.mp4}}
"""


def test_an_old_text_gets_the_new_key_and_keeps_its_comments() -> None:
    assert with_sources(OLD) == NEW
    assert with_sources(NEW) == NEW


def test_a_text_that_can_not_be_changed_safely_is_left_alone() -> None:
    with pytest.raises(UserError, match="do it in an editor"):
        with_sources("base: &b {path: x}\ncaption: {model: *b}\n")
