"""libvips without its log.

pyvips hands warnings to Python. If Python then frees a picture that also has a warning, GLib ends
the process, because a log handler may not log. Faults are reported by errors here, not by the log.
"""

import pyvips

_EVERY_LEVEL = 0xFF
pyvips._remove_log_handler()
# A handler in C: it looks for a type with the name of the log, and does nothing with the result.
pyvips.glib_lib.g_log_set_handler(
    b"VIPS",
    _EVERY_LEVEL,
    pyvips.ffi.cast("GLogFunc", pyvips.ffi.addressof(pyvips.gobject_lib, "g_type_from_name")),
    pyvips.ffi.NULL,
)

__all__ = ["pyvips"]
