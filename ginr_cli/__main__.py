"""`python -m ginr_cli` is `ginr`."""

from ginr_cli.main import process

process()
