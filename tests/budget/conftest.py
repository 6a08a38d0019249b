from model_fixtures import either_folder, frames, moments, pipe, prompt_embeds, sd_folder

__all__ = ["either_folder", "frames", "moments", "pipe", "prompt_embeds", "sd_folder"]
