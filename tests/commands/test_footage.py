"""What `tav add` takes of a path: regular files alone, and of a folder its images."""

import os
import stat
from pathlib import Path

import pytest

from tav.commands.footage import lines_on_left_out, look_at
from tav.params import UserError

SECRET = "a private key"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "id_rsa"
    file.write_text(SECRET)
    return file


def test_a_folder_gives_its_images_and_tells_the_rest(walk: Path, tmp_path: Path, secret: Path) -> None:
    (walk / "readme.txt").symlink_to(secret)
    (walk / "self").symlink_to(walk)
    (walk / "loop").symlink_to("loop")
    (walk / "zero").symlink_to("/dev/zero")
    (walk / "notes.md").write_text("notes")
    (walk / ".hidden.png").write_bytes((walk / "0.png").read_bytes())
    (walk / "more.png").mkdir()
    os.mkfifo(walk / "pipe")
    os.mknod(walk / "socket", stat.S_IFSOCK | 0o600)
    footage = look_at(walk)
    assert [file.name for file in footage.files] == ["0.png", "1.png", "2.png"]
    assert set(footage.left_out) == {
        "'.hidden.png' (hidden)",
        "'loop' (a link)",
        "'more.png' (a folder)",
        "'notes.md' (no image)",
        "'pipe' (a pipe)",
        "'readme.txt' (a link)",
        "'self' (a link)",
        "'socket' (a socket)",
        "'zero' (a link)",
    }
    (told,) = lines_on_left_out(footage)
    assert told.endswith("and 4 more")
    footage.copy_to(tmp_path / "copy")
    assert sorted(file.name for file in (tmp_path / "copy").iterdir()) == ["0.png", "1.png", "2.png"]
    assert all(not file.is_symlink() for file in (tmp_path / "copy").iterdir())


@pytest.mark.parametrize("target", ["0.png", "../id_rsa", "nowhere", "1b.png", "/dev/zero"])
def test_an_image_that_is_a_link_is_refused(walk: Path, secret: Path, target: str) -> None:
    """Left out, it would be missing in the middle."""
    (walk / "1b.png").symlink_to(target)
    with pytest.raises(UserError, match=r"1b\.png' is a link.*copy of the image"):
        look_at(walk)


def test_an_image_that_is_a_pipe_is_refused(walk: Path) -> None:
    os.mkfifo(walk / "1b.png")
    with pytest.raises(UserError, match=r"1b\.png' is a pipe"):
        look_at(walk)


def test_a_file_that_becomes_a_link_is_not_followed(walk: Path, tmp_path: Path, secret: Path) -> None:
    footage = look_at(walk)
    (walk / "1.png").unlink()
    (walk / "1.png").symlink_to(secret)
    with pytest.raises(UserError, match=r"1\.png"):
        footage.copy_to(tmp_path / "copy")
    (walk / "1.png").unlink()
    os.mkfifo(walk / "1.png")
    with pytest.raises(UserError, match=r"1\.png"):
        footage.copy_to(tmp_path / "copy2")


@pytest.mark.parametrize("content", [{}, {"a.txt": "a"}, {".a.png": "a"}])
def test_a_folder_without_images(tmp_path: Path, content: dict[str, str]) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(UserError, match="has no images"):
        look_at(folder)


@pytest.mark.parametrize("path", ["nowhere.mp4", "x" * 300, "loop", "/dev/zero", "pipe", "id_rsa/x"])
def test_what_cant_be_opened(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    with pytest.raises(UserError, match=path[:20]):
        look_at(Path(path))


@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("a.MP4", ".mp4"),
        ("a.mp4 ", ".mp4"),
        ("a", ""),
        ("a.", ""),
        ("Dr. Who walks", ""),
        ("a.${x}", ""),
        ("a.视频", ""),
    ],
)
def test_suffix_of_a_copy(video: Path, name: str, suffix: str) -> None:
    assert look_at(video.rename(video.with_name(name))).suffix == suffix


def test_same(walk: Path, video: Path, tmp_path: Path) -> None:
    folder, file = look_at(walk), look_at(video)
    folder.copy_to(tmp_path / "copy")
    file.copy_to(tmp_path / "copy.mp4")
    assert folder.is_same(tmp_path / "copy")
    assert file.is_same(tmp_path / "copy.mp4")
    assert not file.is_same(tmp_path / "copy")
    assert not folder.is_same(tmp_path / "nowhere")
    (tmp_path / "copy/3.png").write_bytes((walk / "0.png").read_bytes())
    assert not folder.is_same(tmp_path / "copy")
    (tmp_path / "copy/3.png").unlink()
    (tmp_path / "copy/2.png").write_bytes((walk / "0.png").read_bytes())
    assert not folder.is_same(tmp_path / "copy")
