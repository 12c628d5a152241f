"""How good weights are: measures, scores, and the confidence that is fitted to them."""
