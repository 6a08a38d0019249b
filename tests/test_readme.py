"""What the README and the other pages say is there and runs."""

import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tav.params import check, read_yaml
from tav.video import probe

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


PAGES = [
    *ROOT.glob("*.md"),
    *ROOT.glob("docs/*.md"),
    ROOT / "benchmarks/NOTES.md",
    ROOT / "models/emoji-world/README.md",
]


MADE_BY_THE_SITE = {"reference.md"}


def blocks(language: str, page: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.M | re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    assert targets or page != ROOT / "README.md"
    assert not [
        t
        for t in targets
        if not t.startswith("https://") and t not in MADE_BY_THE_SITE and not (page.parent / t).exists()
    ]


def test_commands_exist() -> None:
    from tav.__main__ import app

    shell = "\n".join(blocks(""))
    known = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(re.findall(r"^tav (\w+)", shell, re.M)) <= known
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"^make (\w+)", shell, re.M)) <= targets


SETTINGS = [*blocks("yaml"), *blocks("yaml", (ROOT / "docs/bases.md").read_text())]


@pytest.mark.parametrize("text", SETTINGS)
def test_settings_for_real_weights_are_known(text: str) -> None:
    shown, data = YAML(typ="safe", pure=True).load(text), read_yaml(ROOT / "params.yaml")
    for section, values in shown.items():
        for name, value in values.items():
            data[section][name] = data[section][name] | value if isinstance(value, dict) else value
    check(data)


def test_every_base_has_its_settings() -> None:
    assert len(SETTINGS) == 4


def test_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (ROOT / "models/emoji-world/stable-diffusion/unet").exists():
        pytest.skip("the shipped weights are not there")
    (code,) = blocks("python")
    assert "steps=50" in code
    (tmp_path / "models").symlink_to(ROOT / "models")
    (tmp_path / "videos").symlink_to(ROOT / "videos")
    short = code.replace("steps=50", "steps=2")
    monkeypatch.chdir(tmp_path)
    exec(compile(short, "README.md", "exec"), {"__name__": "__main__"})
    assert probe(tmp_path / "edited.mp4").num_frames == 8
