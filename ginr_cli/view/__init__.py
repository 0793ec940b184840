"""The page of `ginr view`: a server on this machine, and what it shows."""
