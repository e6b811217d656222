"""Other people's forms of a trace: what is written for them, and how it is read back. `catalogue.forms` has them all."""
