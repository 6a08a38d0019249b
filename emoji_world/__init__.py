"""The world that the shipped models were trained on, and how to train them again."""
