"""Nothing but the one file is opened: no playlist, no device, no script, whatever it is called."""

from pathlib import Path

import pytest
from make_video import make_video

from tav.params import UserError
from tav.video import probe
from tav.video.sound import read_audio

PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{other}\n"
DASH = (
    '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT1S" '
    'profiles="urn:mpeg:dash:profile:isoff-main:2011"><Period><AdaptationSet mimeType="video/mp4"><Representation '
    'id="1" bandwidth="1"><BaseURL>{other}</BaseURL></Representation></AdaptationSet></Period></MPD>'
)
PLAYLISTS = {
    "concat": "ffconcat version 1.0\nfile {other}\n",
    "hls": PLAYLIST + "#EXT-X-ENDLIST\n",
    "live": PLAYLIST,  # without an end FFmpeg waits for more
    "dash": DASH,
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n",
    "metadata": ";FFMETADATA1\ntitle={other}\n",
    "subtitles": "1\n00:00:00,000 --> 00:00:01,000\n{other}\n",
}


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8", ".mpd", ".ffconcat", ".sdp", ".txt", "", "%03d.png"])
@pytest.mark.parametrize("kind", PLAYLISTS)
def test_what_names_other_files_is_refused(kind: str, suffix: str, tmp_path: Path) -> None:
    other = make_video(tmp_path / "other.mp4", tone=0.5)
    path = tmp_path / f"v{suffix}"
    for named in (other, other.name):
        path.write_text(PLAYLISTS[kind].format(other=named))
        for read in (probe, read_audio):
            with pytest.raises(UserError, match="is not a video") as error:
                read(path)
            assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["pipe:0", "fd:", "concat:other.mp4|other.mp4", "file:other.mp4", "lavfi", "data:x"])
def test_a_name_is_only_a_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "other.mp4")
    with pytest.raises(UserError, match="no such video"):
        probe(Path(name))
    (tmp_path / "other.mp4").rename(tmp_path / name.replace("/", ""))
    assert probe(Path(name)).num_frames == 24
