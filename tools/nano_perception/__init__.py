"""The embedded network for objects and depth: weights, vocabulary and card. `taco.tools.perception` loads it."""
