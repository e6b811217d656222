"""Other people's forms of a trace: what is written for them, and how it is read back.

>>> sorted(forms())
['actionstudio', 'agentohana', 'llava', 'mantis', 'parquet', 'sharegpt', 'xlam']
"""

from taco.data_gen.formats.form import Form


def forms() -> dict[str, Form]:
    """Every form by its name."""
    from taco.data_gen.formats import calls, conversations, parquet

    return {form.name: form for form in (parquet.PARQUET, *conversations.FORMS, *calls.FORMS)}
