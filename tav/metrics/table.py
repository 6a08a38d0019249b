"""The one table of metrics: for the report, `tav table`, docs/metrics.md and MLflow. The formulas are in metrics.py.

A new metric is a function in metrics.py, its values in metrics.json (stage evaluate), and a line here.
"""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    title: str
    """As the heading of a column."""
    meaning: str
    """In one sentence or two, for whoever reads the numbers."""
    better: Literal["higher", "lower", "near the source"]
    """Near the source: a still picture is as consistent as can be, and the source itself has its own motion. So an
    extreme is not the best; the distance to the source tells something."""
    model: str
    """What it is measured with. Values of two different models don't compare."""
    range: str
    defined_by: str
    """The benchmark whose formula it is."""
    format: str = "{:.3f}"
    knob: str = ""
    """The setting under `evaluate` that names its model; "" where no setting does."""

    def text(self, value: float | None, sign: str = "") -> str:
        """As the report and the table show a value; "" for none. sign: "+" shows it on positive numbers too."""
        if value is None:
            return ""
        return self.format.replace(":", f":{sign}").format(value).replace("-", "\N{MINUS SIGN}")


METRICS = {
    "frame_consistency": Metric(
        "Frame consistency",
        "Mean CLIP cosine over all pairs of frames: does the video show one thing throughout? A still picture has 1.",
        better="near the source",
        model="CLIP",
        range="-1 to 1",
        defined_by="LOVEU-TGVE 2023",
        knob="clip",
    ),
    "consecutive_consistency": Metric(
        "Consecutive consistency",
        "Mean CLIP cosine of each frame and the next.",
        better="near the source",
        model="CLIP",
        range="-1 to 1",
        defined_by="V2VBench",
        knob="clip",
    ),
    "textual_alignment": Metric(
        "Textual alignment",
        "Mean over frames of exp(logit_scale) · cosine(frame, prompt) by CLIP: does the edit show what was asked for? "
        "The source's own value is with its caption.",
        better="higher",
        model="CLIP",
        range="about 0 to 100",
        defined_by="LOVEU-TGVE 2023",
        format="{:.2f}",
        knob="clip",
    ),
    "pick_score": Metric(
        "PickScore",
        "The same by a CLIP that was trained on what people chose; only when evaluate.pick_score is set.",
        better="higher",
        model="PickScore",
        range="about 0 to 100",
        defined_by="LOVEU-TGVE 2023",
        format="{:.2f}",
        knob="pick_score",
    ),
    "motion_alignment": Metric(
        "Motion alignment, px",
        "Negative mean distance, in pixels, between the optical flows of edit and source. 0 is the same motion.",
        better="near the source",
        model="optical flow (DIS)",
        range="up to 0",
        defined_by="V2VBench",
        format="{:.2f}",
    ),
    "semantic_consistency": Metric(
        "Semantic consistency",
        "Mean over consecutive frames of max(0, cosine) of CLIP's pooled features.",
        better="near the source",
        model="CLIP",
        range="0 to 1",
        defined_by="V2VBench",
        knob="clip",
    ),
    "object_consistency": Metric(
        "Object consistency",
        "The same of DINOv2's pooled features.",
        better="near the source",
        model="DINOv2",
        range="0 to 1",
        defined_by="V2VBench",
        knob="dino",
    ),
    "frames_text_alignment": Metric(
        "Frames text alignment",
        "Textual alignment of frames that were not made 480x480 first.",
        better="higher",
        model="CLIP",
        range="about 0 to 100",
        defined_by="V2VBench",
        format="{:.2f}",
        knob="clip",
    ),
    "frames_pick_score": Metric(
        "Frames PickScore",
        "PickScore of frames that were not made 480x480 first.",
        better="higher",
        model="PickScore",
        range="about 0 to 100",
        defined_by="V2VBench",
        format="{:.2f}",
        knob="pick_score",
    ),
    "aesthetic_quality": Metric(
        "Aesthetic quality",
        "How much people would like a frame, by linear layers on CLIP's image embedding; mean over frames.",
        better="higher",
        model="LAION aesthetic predictor",
        range="about 0 to 10",
        defined_by="V2VBench",
        format="{:.2f}",
        knob="aesthetic",
    ),
    "structure_distance": Metric(
        "Structure distance",
        "Mean squared difference of edit's and source's self-similarity, by the keys of DINO's last layer.",
        better="lower",
        model="DINO",
        range="0 up",
        defined_by="PIE-Bench",
        format="{:.4f}",
        knob="dino",
    ),
    "source_psnr": Metric(
        "PSNR to the source, dB",
        "How like the source the edit is, pixel by pixel. An edit that did nothing has the most (100 at most).",
        better="near the source",
        model="none",
        range="0 to 100",
        defined_by="",
        format="{:.2f}",
    ),
    "background_psnr": Metric(
        "Background PSNR, dB",
        "The same outside of the edit's mask: how well the rest was kept. Only of edits with a mask.",
        better="higher",
        model="none",
        range="0 to 100",
        defined_by="",
        format="{:.2f}",
    ),
    "source_lpips": Metric(
        "LPIPS to the source",
        "How far apart edit and source look, by a network's features. An edit that did nothing has 0.",
        better="near the source",
        model="LPIPS",
        range="0 up",
        defined_by="PIE-Bench",
        knob="lpips",
    ),
    "background_lpips": Metric(
        "Background LPIPS",
        "The same outside of the edit's mask: how well the rest was kept. Only of edits with a mask.",
        better="lower",
        model="LPIPS",
        range="0 up",
        defined_by="PIE-Bench",
        format="{:.4f}",
        knob="lpips",
    ),
    "warping_error": Metric(
        "Warping error",
        "Mean squared difference of each frame and the next, led back by the source's optical flow: flicker.",
        better="lower",
        model="optical flow (DIS)",
        range="0 to 1",
        defined_by="Lai et al. 2018",
        format="{:.4f}",
    ),
}
"""By the name that metrics.json and MLflow have, in the order in which they are shown."""


def as_markdown() -> str:
    """The table for docs/metrics.md and for MLflow's page."""
    rows = [("name", "what it says", "better", "measured with", "range", "defined by"), ("---",) * 6]
    rows += [(f"`{name}`", m.meaning, m.better, m.model, m.range, m.defined_by) for name, m in METRICS.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
