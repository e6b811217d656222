"""Synthetic scenes, one module a family: `from taco.data_gen.scenes import prices; prices.render(random.Random(0))`."""
