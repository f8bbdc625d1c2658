"""Array annotations are checked while tests run, and window tests are left out where napari is missing."""

from importlib.util import find_spec

from jaxtyping import install_import_hook

# Before any test imports the package: axis names and dtypes in signatures become checks. An int may pass for a float.
_CHECK = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
install_import_hook("napari_anomaly", _CHECK)

collect_ignore = [] if find_spec("napari") else ["ui"]
