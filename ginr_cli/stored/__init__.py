"""`ginr upscale` for pictures that are read from a store or written to one."""
