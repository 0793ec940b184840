"""A page with a slider next to an output: `ginr upscale --preview`."""

from pathlib import Path

from ginr.errors import PictureError, printable
from ginr_cli.batch.plan import Job
from ginr_cli.comparing.page import MAX_PIXELS, page_of, side_of, side_of_part, write_page
from ginr_cli.files import Writing


def write_preview(job: Job, writing: Writing) -> Path:
    """Write the page for a finished job. Raises PictureError if it cannot be written."""
    from ginr.pictures import read_picture
    from ginr.pictures.display import displayed

    if job.out_px > MAX_PIXELS:
        raise PictureError(
            f"{printable(job.output)} has over {MAX_PIXELS // 10**6} megapixels, more than a "
            "browser shows"
        )
    path = page_of(job.output)
    if job.box is None:
        before = side_of(job.source, lambda: displayed(read_picture(job.source, job.rules)))
    else:
        x, y, width, height = job.box
        whole = displayed(read_picture(job.source, job.rules))
        before = side_of_part(job.source.name, whole.crop((x, y, x + width, y + height)))
    after = side_of(job.output, lambda: displayed(read_picture(job.output)))
    write_page(path, before, after, overwrite=writing.overwrite)
    return path
