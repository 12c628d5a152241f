"""The live page: what a run sees, in a browser, and where it is asked for other things."""
