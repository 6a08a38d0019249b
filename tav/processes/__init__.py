"""How our processes end, who holds a file's lock, and what a DVC that was killed had begun to write."""
