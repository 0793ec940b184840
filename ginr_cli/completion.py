"""What a shell completes."""

import os
from glob import escape, glob


def complete_checkpoint(incomplete: str) -> list[str]:
    """Names of checkpoints, files of checkpoints and folders that begin with a text."""
    from ginr.checkpoints.checkpoint import shipped_checkpoints

    found = [name for name in shipped_checkpoints() if name.startswith(incomplete)]
    for path in sorted(glob(f"{escape(incomplete)}*")):
        if os.path.isdir(path):
            is_run = os.path.exists(os.path.join(path, "model.safetensors"))
            found.append(path if is_run else os.path.join(path, ""))
        elif path.endswith(".safetensors"):
            found.append(path)
    return found
