import pytest

from tav.params import UserError
from tav.video.address import address


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://127.0.0.1/live", "can't push to http://"),
        ("rtmp://127.0.0.1/live", "lacks the application or the key"),
        ("rtmp:///live/key", "needs a host"),
        ("udp://127.0.0.1", "needs a host and a port"),
        ("rtmp://[::1/live/key", "is no address"),
        ("rtmp://host:99999/live/key", "is no address"),
        ("out.doc", "or a file that ends in .flv"),
        ("no-such-folder/out.flv", "no folder"),
    ],
)
def test_addresses_that_are_none(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        address(text)


def test_passwords_are_not_shown() -> None:
    assert address("rtmp://me:pw@host/live/secret").shown == "rtmp://host/live/…"
    assert address("srt://host:9000").shown == "srt://host:9000"
