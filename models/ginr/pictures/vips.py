"""libvips without its log.

pyvips hands warnings to Python. If Python then frees a picture that also has a warning, GLib ends
the process, because a log handler may not log. Faults are reported by errors here, not by the log.
"""

import os
import sys

if "pyvips" in sys.modules:  # another package's, with the log that it wants
    import pyvips
else:
    os.environ["VIPS_WARNING"] = "off"  # read once, when libvips starts
    import pyvips

    del os.environ["VIPS_WARNING"]
    pyvips._remove_log_handler()

__all__ = ["pyvips"]
