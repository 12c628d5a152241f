"""What becomes of tracks: messages, and the outputs that take them."""
