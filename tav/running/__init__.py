"""A stage as it runs: alone in its folder, guarded against edits under it, with its bar."""
