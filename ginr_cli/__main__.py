"""`python -m ginr_cli` is `ginr`."""

from ginr_cli.main import main

main()
