"""The page's fields, made of the settings' own types."""

from pathlib import Path

import pytest

from tav.params import Extract, Tune, UserError, load
from tav.studio.fields import fields, own_settings

ROOT = Path(__file__).parents[2]


def test_every_knob_has_its_field() -> None:
    known = {(field.section, field.name): field for field in fields(load(ROOT / "params.yaml"))}
    for section, kind in (("extract", Extract), ("tune", Tune)):
        for name, knob in kind.model_fields.items():
            assert known[section, name].info.startswith((knob.description or "").strip()[:20])
    assert "(above 0, to 1) params.yaml: 0.5" in known["edit", "strength"].info
    assert known["extract", "fit"].choices == ("crop", "pad", "stretch")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mask", "{path: secret.png}"),
        ("first_frame", "secret.png"),
        ("controls", "[{model: {source: a}, kind: canny}]"),
        ("reference", "{picture: a}"),
    ],
)
def test_no_path_in_a_setting(name: str, text: str) -> None:
    known = fields(load(ROOT / "params.yaml"))
    given = [text if (field.section, field.name) == ("edit", name) else "" for field in known]
    with pytest.raises(UserError, match=rf"edit\.{name}: the page takes no paths: set it in params.yaml"):
        own_settings(known, given)
