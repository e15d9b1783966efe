"""What a reader moves by hand: parts of a page that compute in the browser.

They come as one piece of HTML with its own style and script and fetch nothing, so they work offline
from a file, in the book and in JupyterLab. Without JavaScript, or where a page strips scripts, a
static figure stands in their place.
"""

import base64
import html
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy.special import softmax

from kdutils import figures

STATIC_TEMPERATURES = (1, 4, 16, 64)

# The script takes all it needs from the element it stands in: it defines no names and looks for no
# ids, so any number of these, even equal ones, share a page.
_SCRIPT = """
(() => {
  const root = document.currentScript.closest(".softmax-explorer");
  const find = (selector) => [...root.querySelectorAll(selector)];
  const logits = JSON.parse(root.dataset.logits);
  const buttons = find("button"), rows = find("tr");
  const [slider] = find("input"), [shown] = find(".value"), [entropy] = find("output");
  let image = 0;

  const softmax = (values, temperature) => {
    const highest = Math.max(...values);
    const weights = values.map((value) => Math.exp((value - highest) / temperature));
    const sum = weights.reduce((a, b) => a + b);
    return weights.map((weight) => weight / sum);
  };
  const written = (p) => (p >= 0.0005 ? p.toFixed(3) : p > 0 ? p.toExponential(0) : "0");
  const draw = () => {
    const temperature = 2 ** slider.value;
    const probabilities = softmax(logits[image], temperature);
    shown.textContent = `T = ${Number(temperature.toPrecision(3))}`;
    slider.setAttribute("aria-valuetext", shown.textContent);
    probabilities.forEach((p, row) => {
      rows[row].querySelector("i").style.width = `${100 * p}%`;
      rows[row].lastElementChild.textContent = written(p);
    });
    const nats = probabilities.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
    entropy.textContent = nats.toFixed(3);
  };

  buttons.forEach((button, index) => button.addEventListener("click", () => {
    image = index;
    buttons.forEach((each) => each.setAttribute("aria-pressed", each === button));
    draw();
  }));
  slider.addEventListener("input", draw);
  draw();
  root.querySelector(".static").remove();
  root.querySelector(".live").hidden = false;
})();
"""

# The colours of the figures; text is that of the page around it.
_STYLE = f"""
.softmax-explorer {{
  --bar: {figures.LIGHT["series"].split()[0]}; max-width: {figures.WIDTH}px; text-align: left;
}}
{figures.DARK_PAGE} .softmax-explorer {{ --bar: {figures.DARK["series"].split()[0]}; }}
.softmax-explorer .images {{ display: flex; flex-wrap: wrap; gap: 0.5rem; }}
.softmax-explorer button {{
  width: 6.5rem; padding: 0.4rem; border: 1px solid #8888; border-radius: 0.25rem;
  background: none; color: inherit; font: inherit; font-size: 0.8em; line-height: 1.2;
  cursor: pointer;
}}
.softmax-explorer button[aria-pressed="true"] {{ outline: 3px solid var(--bar); }}
.softmax-explorer button:focus-visible {{ outline: 3px dashed currentColor; outline-offset: 2px; }}
.softmax-explorer img {{
  display: block; width: 4rem; height: 4rem; margin: 0 auto 0.3rem; image-rendering: pixelated;
}}
.softmax-explorer label {{ display: block; margin-top: 0.8rem; }}
.softmax-explorer input {{
  display: block; width: 100%; margin: 0.4rem 0 0; accent-color: var(--bar);
}}
.softmax-explorer .scale {{
  display: flex; justify-content: space-between; font-size: 0.8em; opacity: 0.8;
}}
.softmax-explorer table.bars {{
  display: table; width: 100%; margin: 0.5rem 0; border-collapse: collapse; font: inherit;
  font-variant-numeric: tabular-nums;
}}
.softmax-explorer table.bars :is(th, td) {{
  width: 1%; padding: 0.1rem 0.4rem; border: 0; background: none; text-align: right;
  white-space: nowrap;
}}
.softmax-explorer table.bars td.bar {{ width: auto; }}
.softmax-explorer table.bars td:last-child {{ min-width: 4rem; }}
.softmax-explorer i {{
  display: block; min-width: 1px; height: 1rem; background: var(--bar);
}}
"""


@dataclass(frozen=True, eq=False)
class SoftmaxExplorer:
    """A slider for the temperature, and what it does to the softmax of a few images.

    Keyboard: the images are buttons, the temperature is a native slider (arrow keys, Page Up and
    Down, Home, End).

    Args:
        logits: `(N, C)`, a model's pre-softmax scores.
        images: `(N, H, W)` or `(N, H, W, 1)`, uint8.
        names: What each image is, in a few words.
        classes: Names of the classes.

    Raises:
        ValueError: There is no image, or the arguments do not fit each other.
    """

    logits: np.ndarray
    images: np.ndarray
    names: Sequence[str]
    classes: Sequence[str]

    def __post_init__(self):
        count, classes = len(self.names), len(self.classes)
        if not count or np.shape(self.logits) != (count, classes) or len(self.images) != count:
            raise ValueError(
                f"{count} names and {classes} classes need logits ({count}, {classes}) and as many "
                f"images as names, at least one; these are logits {np.shape(self.logits)} and "
                f"{len(self.images)} images"
            )

    def _repr_html_(self) -> str:
        logits = np.asarray(self.logits, "float64").round(4).tolist()
        rows = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th>'
            '<td class="bar"><i></i></td><td></td></tr>'
            for name in self.classes
        )
        marks = "".join(f"<span>{2.0**power:g}</span>" for power in range(-1, 7))
        return (
            f'<div class="softmax-explorer" data-logits="{html.escape(json.dumps(logits))}">'
            f"<style>{_STYLE}</style>"
            f'<div class="static">{self._static()}</div>'
            '<div class="live" hidden>'
            f'<div class="images" role="group" aria-label="Image">{self._buttons()}</div>'
            '<label>Temperature <span class="value" aria-hidden="true"></span>'
            '<input type="range" min="-1" max="6" step="0.125" value="0"></label>'
            f'<div class="scale" aria-hidden="true">{marks}</div>'
            f'<table class="bars" aria-label="Probability of each class">{rows}</table>'
            f"<div>Entropy <output></output> of at most {np.log(len(self.classes)):.3f} nats</div>"
            f"</div><script>{_SCRIPT}</script></div>"
        )

    def _buttons(self) -> str:
        return "".join(
            f'<button type="button" aria-pressed="{"false" if position else "true"}">'
            f'<img src="{_data_uri(image)}" alt="">{html.escape(name)}</button>'
            for position, (image, name) in enumerate(zip(self.images, self.names, strict=True))
        )

    def _static(self) -> str:
        probabilities = {t: softmax(np.asarray(self.logits[0]) / t) for t in STATIC_TEMPERATURES}
        bundle = figures.themed(
            lambda figure: figures.soft_targets(figure, probabilities, self.classes),
            alt=f"Class probabilities of one image ({self.names[0]}) at several temperatures.",
        )
        return bundle._repr_mimebundle_()["text/html"]


def _data_uri(image: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(np.asarray(image, "uint8").reshape(image.shape[:2])).save(file, "png")
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
