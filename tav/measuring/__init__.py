"""The models that metrics are measured with, and what was measured before. The formulas are in tav.metrics."""
