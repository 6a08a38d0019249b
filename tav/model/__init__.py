"""The video model: Stable Diffusion's UNet inflated along time, tuned, inverted and sampled."""
