"""Every form that traces can be written in.

>>> sorted(forms())
['actionstudio', 'agentohana', 'llava', 'mantis', 'parquet', 'sharegpt', 'xlam']
"""

from taco.data_gen.formats import calls, conversations, parquet
from taco.data_gen.formats.form import Form


def forms() -> dict[str, Form]:
    """Every form by its name."""
    return {form.name: form for form in (parquet.PARQUET, *conversations.FORMS, *calls.FORMS)}
