"""HTML pages: a template filled in, with its pictures inside where the page travels alone."""

import base64

from jinja2 import Environment, PackageLoader, StrictUndefined


def render_page(room: str, template: str, **values: object) -> str:
    """Fill in a template; whatever is put into it is escaped.

    Args:
        room: subpackage that the template lies in.
        template: its file name.
        values: what the template names.
    """
    environment = Environment(
        loader=PackageLoader("audio_anomaly_detector", room),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(**values)


def data_url(png: bytes) -> str:
    """A picture as the source of an ``<img>``."""
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
