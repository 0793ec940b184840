"""`ginr upscale --cluster`: the pictures that are planned as ever are enlarged by workers on Ray."""
