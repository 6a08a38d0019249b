"""The one bridge from params.yaml to the model's own types.

loaded_base.py  the base as it lies in its files, loaded anew or lent by a process that holds it
base.py         the base as it is asked for: inflated, tuned, in its precision; the settings of a tuning
sampling.py     an inversion and an edit,
steps.py        the steps that an edit takes, and
controls.py     what stands beside the UNet in it: controls, a reference picture
baseline.py     edits by other methods
"""
