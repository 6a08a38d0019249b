"""The bridge from params.yaml to what stands beside the UNet: controls and their maps, a reference picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tav.model.size import Size
from tav.params import Control, Edit, user_errors
from tav.params import Reference as Asked

if TYPE_CHECKING:
    import numpy as np

    from tav.model.control import Controls
    from tav.model.control import Model as ControlModel
    from tav.model.reference import Reference
    from tav.model.reference_files import AdapterShapes, ReferenceFiles


def open_controls(asked: Sequence[Control], pipe: Any) -> "tuple[ControlModel, ...]":
    """The networks of controls, as the pipeline's UNet runs. Raises UserError."""
    if not asked:
        return ()
    from tav.model.control_files import load_control

    dtype, factor = pipe.unet.conv_in.weight.dtype, pipe.vae_scale_factor
    with user_errors():
        return tuple(
            load_control(
                control.model.place,
                pipe.unet,
                factor=factor,
                revision=control.model.revision,
                dtype=dtype,
                device=pipe.device,
            )
            for control in asked
        )


def control_shapes(asked: Sequence[Control], shapes: Any) -> "tuple[ControlModel, ...]":
    """The same without their weights. shapes: from `load_shapes`. Raises UserError."""
    if not asked:
        return ()
    from tav.model.control_files import load_control_shapes

    factor = 2 ** (len(shapes.vae.config.block_out_channels) - 1)
    with user_errors():
        return tuple(
            load_control_shapes(control.model.place, shapes.unet, factor=factor, revision=control.model.revision)
            for control in asked
        )


def controls_of(
    asked: Sequence[Control], networks: "Sequence[ControlModel]", maps: "Sequence[np.ndarray]", pipe: Any
) -> "Controls | None":
    """What stands beside the UNet. None where there is no control. Raises UserError.

    Args:
        asked: the controls.
        networks: of these, from `open_controls`.
        maps: that each of them follows, uint8 (f h w 3).
        pipe: from `open_base`.
    """
    if not networks:
        return None
    from tav.model import control

    controls = [
        control.Control(network, control.pixel_maps(of_network, pipe.device), one.scale, one.start, one.end)
        for one, network, of_network in zip(asked, networks, maps, strict=True)
    ]
    latent_size = Size(*(side // pipe.vae_scale_factor for side in maps[0].shape[1:3]))
    with user_errors():
        return control.Controls(controls, pipe.unet, latent_size)


def open_reference(settings: Edit, picture: "np.ndarray | None", pipe: Any) -> "Reference | None":
    """An edit's reference picture, uint8 (h w 3), as the pipeline's UNet takes it. Raises UserError."""
    if settings.reference is None or picture is None:
        return None
    from tav.model.reference import load_reference

    with user_errors():
        return load_reference(pipe, _files_of(settings.reference), picture, scale=settings.reference.scale)


def reference_shapes(settings: Edit, shapes: Any) -> "AdapterShapes | None":
    """What its adapter holds, without weights. shapes: a pipeline, or from `load_shapes`. Raises UserError."""
    if settings.reference is None:
        return None
    from tav.model.reference_files import adapter_shapes

    with user_errors():
        return adapter_shapes(_files_of(settings.reference), shapes.unet)


def _files_of(asked: Asked) -> "ReferenceFiles":
    from tav.model.reference_files import ReferenceFiles

    model = asked.model
    return ReferenceFiles(model.place, model.file, model.image_encoder, model.revision)
