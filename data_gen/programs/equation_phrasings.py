"""How questions about exercises are worded: a hundred wordings or more for each type.

>>> phrase(random.Random(0), PHRASINGS["solve"], {"which": "equation b", "unknown": "x"})
'What is x in equation b?'

``{which}`` names the exercise: "exercise b", or "the equation" where there is only one.
"""

_ASK = "(Please |Can you |Could you |)"
_TELL = "(Tell me|Give me|Find|Work out|Determine|Say)"
_HERE = "( in the picture| on the sheet| here| as shown|)"
_PLEASE = "(, please|)"

PHRASINGS: dict[str, tuple[str, ...]] = {
    "solve": (
        f"(Solve|Please solve) {{which}} for {{unknown}}{_HERE}{_PLEASE}.",
        f"(What is|What's|Which number is|What number is|What is the value of) {{unknown}} in {{which}}{_HERE}?",
        f"{_TELL} (the value of |){{unknown}} in {{which}}{_HERE}.",
        f"(Which|What) (value|number) (of|for) {{unknown}} (solves|satisfies|makes true) {{which}}{_HERE}?",
        f"{{which}}{_HERE}: (what is|find|give) {{unknown}}?",
    ),
    "larger_solution": (
        f"What is the (larger|greater|bigger) (solution|root) of {{which}}{_HERE}?",
        f"{_TELL} the (larger|greater|bigger) (solution|root|of the two solutions) of {{which}}{_HERE}{_PLEASE}.",
        f"Which is the (larger|greater|bigger) value of {{unknown}} (that solves|that satisfies|in) {{which}}{_HERE}?",
        f"(Solve|Please solve) {{which}}{_HERE} and (give|name|tell me) the (larger|greater|bigger) (solution|root|value).",
        f"What is the (largest|greatest) {{unknown}} (that solves|that satisfies|for) {{which}}{_HERE}?",
    ),
    "smaller_solution": (
        f"What is the (smaller|lesser|lower) (solution|root) of {{which}}{_HERE}?",
        f"{_TELL} the (smaller|lesser|lower) (solution|root|of the two solutions) of {{which}}{_HERE}{_PLEASE}.",
        f"Which is the (smaller|lesser|lower) value of {{unknown}} (that solves|that satisfies|in) {{which}}{_HERE}?",
        f"(Solve|Please solve) {{which}}{_HERE} and (give|name|tell me) the (smaller|lesser|lower) (solution|root|value).",
        f"What is the (smallest|least) {{unknown}} (that solves|that satisfies|for) {{which}}{_HERE}?",
    ),
    "sum_of_solutions": (
        f"What is the (sum|total) of (the|both|all|the two) (solutions|roots) of {{which}}{_HERE}?",
        f"{_TELL} the (sum|total) of (the|both|all|the two) (solutions|roots) of {{which}}{_HERE}.",
        f"(Solve|Please solve) {{which}}{_HERE} and add (the|both|the two) (solutions|roots){_PLEASE}.",
        f"(What do|How much do) the (two |)(solutions|roots) of {{which}}{_HERE} add up to?",
        f"What do you get if you add (the|both|the two) (solutions|roots) of {{which}}{_HERE}?",
    ),
    "system_value": (
        f"(What is|What's|Which number is|What is the value of) {{unknown}} in {{which}}{_HERE}?",
        f"(Solve|Please solve) {{which}}{_HERE}. (What is {{unknown}}?|Give {{unknown}}.|Tell me {{unknown}}.)",
        f"(Solve|Please solve) {{which}}{_HERE} and (give|tell me|name) {{unknown}}{_PLEASE}.",
        f"{_TELL} (the value of |){{unknown}} in {{which}}{_HERE}{_PLEASE}.",
        f"(Both equations of|The equations of|The two equations of) {{which}} hold{_HERE}. What is (the value of |){{unknown}}?",
    ),
    "system_sum": (
        f"What is {{unknown}} + {{other}} in {{which}}{_HERE}?",
        f"(What is|What's|How much is) the (sum|total) of {{unknown}} and {{other}} in {{which}}{_HERE}?",
        f"{_TELL} {{unknown}} (plus|+) {{other}} (in|for) {{which}}{_HERE}{_PLEASE}.",
        f"(Solve|Please solve) {{which}}{_HERE} and add (up |){{unknown}} and {{other}}.",
        f"What do {{unknown}} and {{other}} (of|in) {{which}}{_HERE} (add up to|sum to|make together)?",
    ),
    "sum_value": (
        f"{_ASK}(work out|calculate|compute|evaluate|do) {{which}}{_HERE}{_PLEASE}.",
        f"What is the (result|answer|value) of {{which}}{_HERE}?",
        f"(What does {{which}} come to|How much is {{which}}|What is {{which}} equal to){_HERE}?",
        f"(Which|What) number (belongs|goes|comes) (behind|after) the equals sign (of|in) {{which}}{_HERE}?",
        f"{_TELL} the (result|answer|value) of {{which}}{_HERE}.",
    ),
    "claim_right": (
        f"Is {{which}}{_HERE} (right|correct|true|worked out correctly)?",
        f"(Is it true what|Is it right what) {{which}} says{_HERE}?",
        f"(Was {{which}}|Has {{which}} been) (done|solved|worked out) (correctly|right|properly|without a mistake){_HERE}?",
        f"{_ASK}check {{which}}{_HERE}(:| -) is it (right|correct|true)?",
        f"Does the calculation in {{which}}{_HERE} (hold|check out|add up)?",
    ),
    "claim_corrected": (
        f"What should stand (behind|after|on the right of) the equals sign (of|in) {{which}}{_HERE}?",
        f"What is the (right|correct|true) (result|answer) of {{which}}{_HERE}?",
        f"(Which|What) number should {{which}} (give|have) as its (result|answer){_HERE}?",
        f"{_TELL} the (right|correct|true) (result|answer) of {{which}}{_HERE}{_PLEASE}.",
        f"What does the left side of {{which}} (really|actually|) (come to|give|equal){_HERE}?",
    ),
    "formula_value": (
        f"What is {{unknown}} in {{which}}{_HERE} (if|when|for) {{other}} (is|=|equals) {{value}}?",
        f"((If|When) {{other}} (is|=|equals) {{value}},|Let {{other}} be {{value}}:) what is {{unknown}} in {{which}}{_HERE}?",
        f"{_TELL} {{unknown}} (in|by|from) {{which}}{_HERE} for {{other}} = {{value}}.",
        f"(Put|Insert|Substitute) {{other}} = {{value}} (in|into) {{which}}{_HERE}. What is {{unknown}}?",
        f"What value does {{unknown}} (have|take) in {{which}}{_HERE} for {{other}} = {{value}}?",
    ),
    "difference": (
        f"How much (larger|greater|more) is the result of {{which}} than that of {{than}}{_HERE}?",
        f"By how much does the result of {{which}} (exceed|top|surpass) that of {{than}}{_HERE}?",
        f"What is the difference (between|of) the results of {{which}} and {{than}}{_HERE}?",
        f"{_TELL} the difference (between|of) the (results|answers|values) of {{which}} and {{than}}{_HERE}{_PLEASE}.",
        f"{_ASK}(subtract|take) the result of {{than}} from (that|the result) of {{which}}{_HERE}{_PLEASE}.",
    ),
    "missing": (
        f"What is the (solution of|answer to|result of) {{which}}{_HERE}?",
        f"{_ASK}(solve|work out|do) {{which}}{_HERE}{_PLEASE}.",
        f"(What does|What did|What should) {{which}} (come to|give|equal){_HERE}?",
        f"{_TELL} the (result|answer|solution) of {{which}}{_HERE}{_PLEASE}.",
    ),
    "number_of_exercises": (
        f"How many (exercises|problems|tasks|questions) (are there|are shown|do you see|are listed|are given){_HERE}?",
        f"(Count|Please count) the (exercises|problems|tasks|questions){_HERE}.",
        f"What is the number of (exercises|problems|tasks|questions){_HERE}?",
        f"{_TELL} (the number of|how many) (exercises|problems|tasks|questions) there are{_HERE}{_PLEASE}.",
    ),
    "paper_colour": (
        "(What|Which) (colour|color) is the (sheet|board|paper|background|card) (in the picture|here|)?",
        "What is the (colour|color) of the (sheet|board|paper|background|card)?",
        "(Which|What) (colour|color) (does the (sheet|board|paper|background|card) have|are the exercises written on)?",
        f"{_TELL} the (colour|color) of the (sheet|board|paper|background|card){_PLEASE}.",
    ),
}
