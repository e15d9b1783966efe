"""What a reader needs of every figure."""

from matplotlib.text import Text

from kdutils import figures


def require_legible(drawing):
    """Fail unless all words of a figure are large enough and lie inside it, in both themes."""
    sizes = []

    def draw(figure):
        drawing(figure)
        figure.draw_without_rendering()
        sizes.extend(
            text.get_fontsize()
            for text in figure.findobj(Text)
            if text.get_visible() and text.get_text().strip()
        )
        drawn, page = figure.get_tightbbox().padded(-0.01), figure.bbox_inches
        assert page.contains(*drawn.min)
        assert page.contains(*drawn.max)

    figures.themed(draw, "a figure")
    assert sizes
    assert min(sizes) >= 10
