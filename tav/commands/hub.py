"""`tav export --hub FOLDER`: what was tuned on a video, as a repository for the Hugging Face hub."""

import shutil
from pathlib import Path

from tav.artifacts import artifact, atomic, read_header
from tav.commands.export import alone, free, write_yaml
from tav.commands.lora import RANK, weights_of, write_lora
from tav.params import Params, UserError

CARD = """---
library_name: tav
pipeline_tag: text-to-video
tags: [tune-a-video, video-editing, lora]
{base}---
# {video}: tuned with Tune-A-Video

What {of} learned from one video ("{caption}", {frames} frames, {steps} steps): its motion. With a new prompt it makes a
new video with that motion.

{edits}
| file | |
| --- | --- |
| weights.safetensors | the tuned tensors, for `tav` and its `load_tuned_weights` |
| lora.safetensors | the same as a LoRA of rank {rank} for diffusers; it lacks {error:.1%} of what tuning added |
| params.yaml | every setting: `tav` makes it again from the source video |

```python
from pathlib import Path

from tav.model.pretrained import load_pipeline
from tav.model.tuned_weights import load_tuned_weights

pipe = load_pipeline("{place}")
load_tuned_weights(pipe.unet, Path("weights.safetensors"))
```

The base's license holds for what was tuned from it. The source video is not in here.
"""


def export_hub(params: Params, name: str | None, to: Path) -> list[str]:
    """Write the folder. name: a video, or an edit of it; None: the one that is tuned. Raises UserError."""
    free(to)
    video, weights = weights_of(params, name or _only(params))
    edits = [key for key, edit in params.edits.items() if edit.video == video]
    with_preview = [key for key in edits if artifact("edit", key, "preview.gif").exists()]
    with atomic(to) as folder:
        folder.mkdir()
        shutil.copyfile(weights, folder / "weights.safetensors")
        error = write_lora(params, video, weights, folder / "lora.safetensors", RANK)
        for key in with_preview:
            for suffix, file in (("gif", "preview.gif"), ("mp4", "video.mp4")):
                shutil.copyfile(artifact("edit", key, file), folder / f"{key}.{suffix}")
        data = alone(params, edits[0]) if edits else params.model_dump(mode="json", by_alias=True)
        everything = params.model_dump(mode="json", by_alias=True, exclude_none=True)["edits"]
        write_yaml(folder / "params.yaml", data | {"edits": {key: everything[key] for key in edits}})
        (folder / "README.md").write_text(_card(params, video, weights, with_preview, error), encoding="utf-8")
    return [
        f"{to}: {video} with a model card and {len(with_preview)} edits. Read README.md, then send it: "
        f"huggingface-cli upload OWNER/NAME {to}"
    ]


def _only(params: Params) -> str:
    tuned = [key for key in params.videos if artifact("tune", key, "weights.safetensors").exists()]
    if len(tuned) != 1:
        got = f"{len(tuned)} videos are tuned ({', '.join(tuned)})" if tuned else "no video is tuned yet"
        raise UserError(f"{got}: name one, as in `tav export VIDEO --hub FOLDER`")
    return tuned[0]


def _card(params: Params, video: str, weights: Path, edits: list[str], error: float) -> str:
    source = params.base.source
    hub_id = source.removeprefix("hub:").partition("@")[0] if source.startswith("hub:") else ""
    of = hub_id or Path(source).name
    shown = [f'![{params.edits[key].prompt}]({key}.gif)\n*"{params.edits[key].prompt}"*\n' for key in edits]
    return CARD.format(
        base=f"base_model: {hub_id}\n" if hub_id else "",
        of=of,
        place=source if hub_id else of,
        video=video,
        caption=read_header(weights).get("prompt", ""),
        frames=params.extract_of(video).num_frames,
        steps=params.tune_of(video).steps,
        edits="\n".join(shown),
        rank=RANK,
        error=error,
    )
