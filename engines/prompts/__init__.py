"""What is asked for: prompts in words and by example, embedded into banks."""
