"""Question programs: annotation -> question and answer; question and observations -> thoughts and actions.

>>> from taco.data_gen.programs.prices import QUESTION_TYPES
"""
