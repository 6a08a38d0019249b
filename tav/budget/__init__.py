"""What a run will take: memory and time, told before anything runs, and what is saved where it must be."""
