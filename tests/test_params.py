"""params.yaml: what is right is read whole, what is wrong is told at once and by name."""

import copy
from pathlib import Path
from typing import Any

import pytest

from tav.params import Attention, Mask, UserError, check, check_key, load, read_yaml

SHIPPED = Path(__file__).parent.parent / "params.yaml"


@pytest.fixture
def data() -> dict[str, Any]:
    shipped = read_yaml(SHIPPED)
    video = {"path": "videos/a.mp4", "caption": "a cat", "extract": {}, "tune": {}}
    return {**shipped, "videos": {"cat": video}, "edits": {"cat--dog": {"video": "cat", "prompt": "a dog"}}}


def error_of(data: dict[str, Any]) -> str:
    with pytest.raises(UserError) as error:
        check(data)
    return str(error.value)


def test_shipped_file_is_right() -> None:
    params = load(SHIPPED)
    assert params.videos
    assert params.edits
    for key in params.edits:
        params.edit_of(key)


def test_own_settings_lie_over_the_section(data: dict[str, Any]) -> None:
    data["videos"]["cat"] |= {"tune": {"steps": 7}, "extract": {"stride": 3}}
    data["extract"] |= {"fps": 8, "stride": None}
    data["edits"]["cat--dog"] |= {"strength": 0.5, "from": "noise", "seed": 0}
    params = check(data)
    assert params.tune_of("cat").steps == 7
    assert params.tune_of("cat").seed == params.tune.seed
    assert (params.extract_of("cat").stride, params.extract_of("cat").fps) == (3, None)
    edit = params.edit_of("cat--dog")
    assert (edit.strength, edit.start_from, edit.seed) == (0.5, "noise", 0)
    assert edit.guidance_scale == params.edit.guidance_scale


def test_all_errors_at_once(data: dict[str, Any]) -> None:
    data["tune"] |= {"step": 3, "learning_rate": "fast"}
    data["edit"]["strength"] = 1.5
    data["edits"]["cat--dog"]["video"] = "cta"
    said = error_of(data)
    assert "tune.step: unknown key; did you mean 'steps'?" in said
    assert "tune.learning_rate" in said
    assert "'fast'" in said
    assert "edit.strength" in said
    assert "1.5" in said
    assert "edits.cat--dog.video: there is no video 'cta'; did you mean 'cat'?" in said
    assert "\n" not in said


def test_own_settings_are_checked_where_the_section_is_none(data: dict[str, Any]) -> None:
    data["tune"], data["videos"]["cat"]["tune"] = None, {"stepz": 3}
    said = error_of(data)
    assert "tune: is empty" in said
    assert "videos.cat.tune.stepz: unknown key" in said


def test_own_settings_are_checked_too(data: dict[str, Any]) -> None:
    data["videos"]["cat"]["tune"] = {"stepz": 3}
    data["edits"]["cat--dog"]["strength"] = 0
    said = error_of(data)
    assert "videos.cat.tune.stepz: unknown key; did you mean 'steps'?" in said
    assert "edits.cat--dog.strength" in said


@pytest.mark.parametrize(
    "key",
    [
        "a b",
        "../a",
        "a/b",
        "a;b",
        "$(touch x)",
        "",
        "a.b",
        "a@b",
        "a" * 65,
        "a\n",
        "🙂",
        "a\u202eb",
        "a\xa0b",
        "\uff0c",
        "𠀀" * 60,
    ],
)
def test_odd_names_are_refused(data: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError, match="can't be a name"):
        check_key(key)
    renamed = copy.deepcopy(data)
    renamed["videos"][key] = renamed["videos"].pop("cat")
    assert "can't be a name" in error_of(renamed)


@pytest.mark.parametrize("key", ["a", "-", "a" * 64, "视频", "किताब", "größe", "क_1", "𠀀" * 50])
def test_a_name_has_letters_of_any_script(data: dict[str, Any], key: str) -> None:
    data["videos"][check_key(key)] = data["videos"].pop("cat")
    data["edits"]["cat--dog"]["video"] = key
    assert list(check(data).videos) == [key]


@pytest.mark.parametrize("knob", ["steps", "checkpoint_every", "window_frames"])
def test_a_count_beyond_all_machines_is_refused(data: dict[str, Any], knob: str) -> None:
    data["tune"][knob] = 10**400
    assert f"tune.{knob}: input should be less than or equal to 1000000000" in error_of(data)


@pytest.mark.parametrize("blank", ["", "  ", "\n", "\u3000"])
def test_a_blank_text_is_none(data: dict[str, Any], blank: str) -> None:
    data["edits"]["cat--dog"]["prompt"] = data["videos"]["cat"]["caption"] = blank
    said = error_of(data)
    assert "edits.cat--dog.prompt: is blank: write what it is" in said
    assert "videos.cat.caption: is blank" in said


def test_two_rates_are_refused(data: dict[str, Any]) -> None:
    data["extract"] |= {"fps": 8, "stride": 2}
    assert "set one to null" in error_of(data)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"steps": 11}, "steps (11) of 10 noise levels (invert.num_inference_steps 20, strength 0.5): set at most 10"),
        ({"scheduler": "lcm"}, "scheduler lcm is for few steps: set steps to 4, or to what its LoRA is for"),
        ({"scheduler": "tcd", "steps": 4, "attention": {}}, "set scheduler to ddim, or to tcd with eta 0"),
        ({"method": "per-frame-ddim", "steps": 4}, "method per-frame-ddim takes no steps: those are tune-a-video's"),
        ({"method": "plug-and-play", "scheduler": "lcm", "steps": 4}, "(method plug-and-play) is on another path"),
    ],
)
def test_few_steps_that_do_not_fit_are_refused(data: dict[str, Any], given: dict[str, Any], said: str) -> None:
    data["edit"]["strength"] = 0.5
    data["invert"] |= {"method": "ddim", "num_inference_steps": 20}
    data["edits"]["cat--dog"] = {"video": "cat", "prompt": "a dog"} | given
    assert said in error_of(data)


def test_few_steps_and_the_inversion(data: dict[str, Any]) -> None:
    data["invert"] |= {"method": "edit_friendly", "num_inference_steps": 20}
    data["edit"]["strength"] = 1.0
    data["edits"]["cat--dog"] = {"video": "cat", "prompt": "a dog", "steps": 4}
    assert "invert.method edit_friendly has noise for each of its steps" in error_of(data)
    data["edits"]["cat--dog"]["from"] = "noise"
    assert check(data).edit_of("cat--dog").steps == 4
    data["invert"]["method"] = "ddim"
    data["edits"]["cat--dog"] = {"video": "cat", "prompt": "a dog", "steps": 4, "scheduler": "tcd", "attention": {}}
    data["edits"]["cat--dog"]["eta"] = 0.0
    assert check(data).edit_of("cat--dog").scheduler == "tcd"


def test_where_an_edit_may_change_something(data: dict[str, Any]) -> None:
    """Of the section, or of the edit's own, which takes the other's place as a whole."""
    data["edit"]["mask"] = {"words": ["cat"], "grow": 3}
    data["edits"]["cat--dog"] |= {"mask": {"box": [0, 0, 0.5, 1]}, "attention": {"amplify": {"dog": 2}}}
    settings = check(data).edit_of("cat--dog")
    assert settings.mask == Mask(box=(0, 0, 0.5, 1))
    assert settings.attention == Attention(amplify={"dog": 2})
    for wrong, said in (
        ({"mask": {"box": [0, 0, 1, 1], "words": ["cat"]}}, "got box and words of path, box, words and point"),
        ({"mask": {"grow": 3}}, "got none of path, box, words and point"),
        ({"mask": {"box": [0.5, 0, 0.5, 1]}}, "is empty: give [left, top, right, bottom]"),
        ({"attention": {"cross_replace": 2}}, "cross_replace"),
    ):
        assert said in error_of(data | {"edits": {"a": {"video": "cat", "prompt": "a dog", **wrong}}}), said
    for wrong, said in (
        ({"attention": {}, "method": "plug-and-play"}, "method plug-and-play takes no attention"),
        ({"mask": {"words": ["cat"]}, "method": "per-frame-ddim"}, "method per-frame-ddim takes no mask"),
    ):
        assert said in error_of(data | {"edits": {"a": {"video": "cat", "prompt": "a dog", **wrong}}}), said
    data["compute"]["token_merging"] = 0.5
    assert "cat--dog has attention: set compute.token_merging (0.5) to 0.0" in error_of(data)


def test_exponent_without_dot_is_a_number(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_text("rate: 4e-4\nflag: on\n")
    assert read_yaml(file) == {"rate": 4e-4, "flag": "on"}


@pytest.mark.parametrize(("text", "said"), [("a: [", "is not YAML"), ("", "params.yaml"), ("- 1", "params.yaml")])
def test_broken_file(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)
    with pytest.raises(UserError, match=said):
        load(file)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run this in the project's folder"):
        load(tmp_path / "params.yaml")
