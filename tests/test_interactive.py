"""Interactive parts of a page, in a browser, from a file of their own."""

import base64
import html
import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax
from scipy.stats import entropy

from kdutils.interactive import SoftmaxExplorer

RANDOM = np.random.default_rng(3)
LOGITS = RANDOM.normal(0, 9, (2, 10))
IMAGES = RANDOM.integers(0, 256, (2, 28, 28, 1), dtype="uint8")
NAMES = ("a 2 like a 3", 'a "7" <b>&')
EXPLORER = SoftmaxExplorer(LOGITS, IMAGES, NAMES, [str(digit) for digit in range(10)])


@pytest.fixture
def open_page(browser, tmp_path):
    """Opens a page of some HTML from a file; fails on errors and on requests that leave it."""
    faults, contexts = [], []

    def open_page(*parts, width=1280, theme="light", **options):
        path = tmp_path / "page.html"
        path.write_text(
            f'<!doctype html><html data-theme="{theme}"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><body>{"".join(parts)}</html>',
            encoding="utf-8",
        )
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        tab = contexts[-1].new_page()
        tab.on("console", lambda said: said.type == "error" and faults.append(said.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:")) or faults.append(request.url)
            ),
        )
        tab.goto(path.as_uri())
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert faults == []


def shown(explorer):
    """Temperature, probabilities, bars (as fractions of the longest possible) and entropy."""
    temperature = explorer.locator(".value").inner_text()
    nats = explorer.locator("output").inner_text()
    rows = explorer.locator("tr")
    probabilities = [float(text) for text in rows.locator("td:last-child").all_inner_texts()]
    bars = rows.locator("i").evaluate_all(
        "bars => bars.map(bar => bar.offsetWidth / bar.parentElement.clientWidth)"
    )
    return float(temperature.removeprefix("T = ")), np.array(probabilities), bars, float(nats)


def assert_shows(explorer, logits, temperature):
    found, probabilities, bars, nats = shown(explorer)
    expected = softmax(logits / temperature)
    assert found == pytest.approx(temperature, rel=0.005)
    np.testing.assert_allclose(probabilities, expected, atol=5.1e-4)
    assert probabilities.sum() == pytest.approx(1, abs=5e-3)
    # Between the cells' paddings, and never thinner than a pixel.
    np.testing.assert_allclose(bars, expected, atol=0.04)
    assert nats == pytest.approx(entropy(expected), abs=1e-3)


def test_the_keyboard_moves_the_temperature(open_page):
    tab = open_page(EXPLORER._repr_html_())
    explorer = tab.locator(".softmax-explorer")
    assert_shows(explorer, LOGITS[0], 1)
    slider = tab.get_by_role("slider", name="Temperature")
    slider.focus()
    for _ in range(4):
        slider.press("ArrowRight")
    assert slider.get_attribute("aria-valuetext") == "T = 1.41"
    assert_shows(explorer, LOGITS[0], math.sqrt(2))
    slider.press("End")
    assert_shows(explorer, LOGITS[0], 64)
    slider.press("Home")
    assert_shows(explorer, LOGITS[0], 0.5)


def test_the_keyboard_chooses_the_image(open_page):
    tab = open_page(EXPLORER._repr_html_())
    tab.keyboard.press("Tab")
    tab.keyboard.press("Tab")
    tab.keyboard.press("Enter")
    assert_shows(tab.locator(".softmax-explorer"), LOGITS[1], 1)
    pressed = tab.get_by_role("button", pressed=True)
    assert pressed.inner_text() == NAMES[1]
    assert tab.get_by_role("group", name="Image").get_by_role("button").count() == 2


def test_very_small_probabilities_are_written_out(open_page):
    explorer = SoftmaxExplorer([[0.0, -30.0, -900.0]], IMAGES[:1], ["a"], list("abc"))
    tab = open_page(explorer._repr_html_())
    assert tab.locator("td:last-child").all_inner_texts() == ["1.000", "9e-14", "0"]
    assert tab.locator("output").inner_text() == "0.000"


def test_two_on_a_page_do_not_meet(open_page):
    tab = open_page(EXPLORER._repr_html_(), EXPLORER._repr_html_())
    first, second = tab.locator(".softmax-explorer").all()
    first.get_by_role("slider").press("End")
    second.get_by_role("button").nth(1).click()
    assert_shows(first, LOGITS[0], 64)
    assert_shows(second, LOGITS[1], 1)


def test_the_script_also_runs_where_it_is_put_into_a_page_later(open_page):
    tab = open_page('<div id="cell"></div>')
    # As JupyterLab shows an output: by innerHTML, each script then replaced by a copy of itself.
    tab.evaluate(
        """(source) => {
            const cell = document.createElement("div");
            cell.innerHTML = source;
            for (const script of cell.querySelectorAll("script")) {
                const copy = document.createElement("script");
                copy.textContent = script.textContent;
                script.replaceWith(copy);
            }
            document.getElementById("cell").append(cell);
        }""",
        EXPLORER._repr_html_(),
    )
    assert_shows(tab.locator(".softmax-explorer"), LOGITS[0], 1)


def test_without_scripts_a_figure_stands_in_its_place(open_page):
    tab = open_page(EXPLORER._repr_html_(), java_script_enabled=False)
    picture = tab.locator(".softmax-explorer img:visible")
    assert picture.count() == 1
    assert picture.get_attribute("alt").startswith("Class probabilities of one image (a 2 like")
    assert not tab.get_by_role("slider").is_visible()


def test_with_scripts_the_figure_is_gone(open_page):
    tab = open_page(EXPLORER._repr_html_())
    assert tab.locator(".themed-figure").count() == 0
    assert tab.get_by_role("slider").is_visible()


@pytest.mark.parametrize(
    ("theme", "color"), [("light", "rgb(0, 67, 140)"), ("dark", "rgb(79, 159, 232)")]
)
def test_bars_take_the_colour_of_the_theme(open_page, theme, color):
    tab = open_page(EXPLORER._repr_html_(), theme=theme)
    bar = tab.locator("tr i").first
    assert bar.evaluate("bar => getComputedStyle(bar).backgroundColor") == color


def test_it_fits_a_phone(open_page):
    tab = open_page(EXPLORER._repr_html_(), width=320)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 320
    assert tab.locator("td.bar").first.bounding_box()["width"] > 150


def test_names_are_escaped_and_images_are_whole():
    page = EXPLORER._repr_html_()
    assert "a &quot;7&quot; &lt;b&gt;&amp;" in page
    assert "<b>" not in page
    (packed,) = re.findall(r'data-logits="([^"]*)"', page)
    np.testing.assert_allclose(json.loads(html.unescape(packed)), LOGITS, atol=5.1e-5)
    pictures = re.findall(r'<img src="data:image/png;base64,([^"]*)" alt="">', page)
    decoded = [np.asarray(Image.open(io.BytesIO(base64.b64decode(each)))) for each in pictures]
    np.testing.assert_array_equal(decoded, IMAGES[..., 0])


@pytest.mark.parametrize(
    ("logits", "images", "names"),
    [(LOGITS[:0], IMAGES[:0], []), (LOGITS[:, :9], IMAGES, NAMES), (LOGITS, IMAGES[:1], NAMES)],
)
def test_arguments_that_do_not_fit_are_refused(logits, images, names):
    with pytest.raises(ValueError, match="need logits"):
        SoftmaxExplorer(logits, images, names, [str(digit) for digit in range(10)])
