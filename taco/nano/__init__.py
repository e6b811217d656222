"""taco-nano, the embedded model: weights, tokenizer, processor, the record of its training and its card (README.md).

>>> from taco.models import load_model
>>> load_model("nano").record.tools[0].name
'OCR'
"""
