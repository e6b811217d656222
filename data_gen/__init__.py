"""Makes traces to train on and tasks to evaluate on: scenes, question programs, observations, verification.

$ taco-data generate --n 1000 --seed 1 --out data/prices
"""
