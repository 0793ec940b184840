"""The command line of `ginr`: parse, call one function of the library, report."""
