"""``napari-anomaly methods``."""

from napari_anomaly.cli.saying import say


def methods(name: str | None = None, /) -> None:
    """List the methods, what each is from, and its knobs with their defaults.

    Parameters
    ----------
    name
        Only this method, with all its knobs.
    """
    from napari_anomaly.core.methods.listing import listing

    say("\n".join(listing(name)))
