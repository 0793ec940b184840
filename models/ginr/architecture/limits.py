"""Limits that keep flat ground flat and grey pictures grey, read from the LR pixels alone.

A network trained on photographs sharpens edges, and beside a drawn edge that leaves a halo on the
flat ground. A pixel of LR is limited from below in a colour if a flat patch, 3x3 pixels of all but
one value, lies within 3 pixels of it and that patch is about the least in the 5x5 pixels around it:
then nothing there may lie more than a level below that least. From above likewise. What lies on the
other side of an edge is free, so thin lines may come out darker than any pixel of LR. And where the
5x5 pixels are grey, so is the field. Limits are interpolated bilinearly: the field stays continuous.

Letters: B batch, H W the LR picture, h' w' a rendered grid, Q queries. The eight numbers of a limit
are LOW and HIGH in three colours, COLOUR: how much of its colour the field keeps, ACTIVE: 1 where
any of them may change something.
"""

LEVEL = 1 / 255
FLAT = 2.5 * LEVEL
"""The least and largest value of flat patches differ by less."""
SIDE = 5  # LR pixels whose range is the limit
NEAR = 7  # LR pixels among which a flat patch is looked for
ABOUT = 1 / 14  # of the range, and ALMOST: LR itself rings beside an edge
ALMOST = 1.25 * LEVEL
FREE = 2.0  # a limit that far away is none: colours are clipped to [0, 1] in the end
COLOUR, ACTIVE, N_LIMIT = 6, 7, 8
