"""Plots are readable in either theme."""

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from napari_anomaly.ui.plots import recolour


def test_what_is_black_takes_the_ink_and_colours_stay():
    axes = Figure().add_subplot()
    (curve,) = axes.plot([1, 2], color="tab:blue", label="curve")
    limit = axes.axvline(1, color="black", label="limit")
    axes.set(title="title", xlabel="score")
    axes.legend()
    recolour(axes.figure, "#111111", "#eeeeee")
    texts = [axes.title, axes.xaxis.label, *axes.get_xticklabels(), *axes.get_legend().get_texts()]
    assert {to_hex(one.get_color()) for one in [limit, *texts]} == {"#eeeeee"}
    assert to_hex(axes.get_facecolor()) == to_hex(axes.figure.get_facecolor()) == "#111111"
    assert curve.get_color() == "tab:blue"


def test_a_plot_follows_the_theme(make_napari_viewer, needs_screen):
    from napari_anomaly.ui.plots import ThemedPlot

    viewer = make_napari_viewer()
    plot = ThemedPlot(viewer, lambda axes: axes.set_title("scores"))
    viewer.theme = "light"
    light = to_hex(plot.axes.get_facecolor()), to_hex(plot.axes.title.get_color())
    viewer.theme = "dark"
    dark = to_hex(plot.axes.get_facecolor()), to_hex(plot.axes.title.get_color())
    assert light[0] > dark[0]
    assert light[1] < dark[1]
