"""How good the answers are: scoring, and the report over a folder of traces.

>>> from taco.evaluation import evaluate
>>> evaluate(read_traces("out")).accuracy
"""

from taco.evaluation.report import Report, evaluate
from taco.evaluation.scoring import is_correct, parse_number

__all__ = ["Report", "evaluate", "is_correct", "parse_number"]
