"""The compiled book, as a reader meets it: opened from disk, without a network."""

import json
import re
from contextlib import contextmanager
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest

from kdutils.paths import ROOT

TOC = (ROOT / "_toc.yml").read_text(encoding="utf-8")
PAGES = re.findall(r"^[\s-]*(?:root|file): *(\S+)", TOC, re.MULTILINE)
NOTEBOOK_PAGES = [page for page in PAGES if page.startswith("notebooks/")]


@pytest.fixture
def visit(browser, book):
    """Opens a page, and fails in the end on what the console or a request had to complain of."""

    @contextmanager
    def visit(page, width=1280, query="", **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        tab = context.new_page()
        faults = []
        tab.on("console", lambda said: said.type == "error" and faults.append(said.text))
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("request", lambda request: is_local(request.url) or faults.append(request.url))
        tab.goto(f"{(book / page).as_uri()}.html{query}")
        tab.evaluate("() => window.MathJax?.startup?.promise.then(() => true)")
        yield tab
        context.close()
        assert faults == []

    return visit


def is_local(url):
    return urlsplit(url).scheme in ("file", "data")


class References(HTMLParser):
    """Collects the anchors of a page and what it refers to."""

    def __init__(self, path):
        super().__init__()
        self.anchors, self.targets = {""}, []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.anchors.update(values[key] for key in ("id", "name") if values.get(key))
        self.targets += [values[key] for key in ("href", "src") if key in values]


QUESTIONS = {
    "task1": ["1a", "1b", "1c", "1d", "1e", *(str(number) for number in range(2, 14))],
    "task2": [*(f"1{part}" for part in "abcdef"), *(f"2{part}" for part in "abcdefg")],
}
FINDINGS = {"task1": "tab-findings", "task2": "tab-findings-2"}


@pytest.mark.parametrize("task", QUESTIONS)
def test_the_pages_come_in_the_order_of_their_questions(task):
    numbers = [int(number) for number in re.findall(rf"{task}_q(\d+)_", TOC)]
    assert numbers == sorted(numbers)


@pytest.mark.parametrize("task", QUESTIONS)
def test_every_question_is_one_click_from_the_first_page(book, task):
    page = (book / "book/index.html").read_text(encoding="utf-8")
    _, _, after = page.partition(f'id="{FINDINGS[task]}"')
    table = after.partition("</table>")[0]
    links = re.findall(r'<a class="reference internal" href="([^"]+)"[^>]*>(.*?)</a>', table)
    texts = {re.sub(r"<[^>]+>", "", text): target for target, text in links}
    for question in QUESTIONS[task]:
        (target,) = (target for text, target in texts.items() if text.startswith(f"{question}. "))
        path, _, anchor = target.partition("#")
        answer = References((book / "book" / path).resolve())
        assert not anchor or anchor in answer.anchors
        if not anchor:
            assert re.search(rf"{task}_q0?{question}_", path), target


@pytest.mark.parametrize("page", PAGES)
def test_internal_links_and_images_resolve(book, page):
    path = book / f"{page}.html"

    def resolves(target):
        url = urlsplit(target)
        file = (path.parent / unquote(url.path)).resolve() if url.path else path
        if not file.is_file():
            return False
        return file.suffix != ".html" or unquote(url.fragment) in References(file).anchors

    internal = [target for target in References(path).targets if not urlsplit(target).scheme]
    assert internal
    assert [target for target in internal if not resolves(target)] == []


@pytest.mark.parametrize("page", NOTEBOOK_PAGES)
def test_the_download_is_the_executed_notebook(book, smoke_report, page):
    (download,) = (
        target
        for target in References(book / f"{page}.html").targets
        if target.endswith(".ipynb") and "_sources" in target
    )
    path = (book / page).parent / download
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code" and cell["source"]]
    assert all(cell["execution_count"] for cell in code)
    assert any(cell["outputs"] for cell in code)
    assert notebook["metadata"]["papermill"]["parameters"]["profile"] == "smoke"
    assert str(smoke_report) not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("page", NOTEBOOK_PAGES)
def test_pages_of_another_profile_say_so(book, page):
    _, banner, after = source(book, page).partition('<div class="profile-banner"')
    assert banner
    assert "smoke" in after.partition("</div>")[0]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_offline_with_its_formulas_and_fitting_figures(visit, page):
    with visit(page) as tab:
        assert tab.locator(".bd-article h1").count() == 1
        assert "Exception was encountered" not in tab.locator(".bd-article").inner_text()
        formulas = tab.locator(".bd-article .math").count()
        assert tab.locator(".bd-article .math mjx-container > svg").count() == formulas
        assert tab.locator("[data-mml-node=merror]").count() == 0
        for scheme in ("light", "dark"):
            tab.emulate_media(color_scheme=scheme)
            tab.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
            assert pictures(tab) == [[f"only-{scheme}"]] * tab.locator(".themed-figure").count()


@pytest.mark.parametrize("page", PAGES)
def test_nothing_sticks_out_of_a_phone(visit, page):
    with visit(page, width=390) as tab:
        tab.evaluate("document.querySelectorAll('details').forEach((box) => { box.open = true; })")
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        for picture in tab.locator(".themed-figure img:visible").all():
            assert picture.bounding_box()["width"] > 300


def test_figures_follow_the_theme_button_and_need_no_script(visit, book):
    page = next(page for page in NOTEBOOK_PAGES if "themed-figure" in source(book, page))
    with visit(page, color_scheme="light") as tab:
        for _ in range(3):
            tab.locator(".theme-switch-button").first.click()
            mode = tab.evaluate("document.documentElement.dataset.mode")
            expected = "dark" if mode == "dark" else "light"
            assert set(map(tuple, pictures(tab))) == {(f"only-{expected}",)}
    with visit(page, java_script_enabled=False) as tab:
        figures = tab.locator(".themed-figure")
        assert figures.locator("img.only-light:visible").count() == figures.count()
        assert figures.locator("img.only-dark:visible").count() == 0


def test_the_softmax_is_moved_from_the_keyboard_on_its_page(visit):
    with visit("notebooks/task1_q01_distillation", color_scheme="dark") as tab:
        explorer = tab.locator(".softmax-explorer")
        slider = explorer.get_by_role("slider", name="Temperature")
        before = explorer.locator("td:last-child").all_inner_texts()
        slider.press("End")
        assert slider.get_attribute("aria-valuetext") == "T = 64"
        after = explorer.locator("td:last-child").all_inner_texts()
        assert sum(map(float, before)) == pytest.approx(1, abs=5e-3)
        assert sum(map(float, after)) == pytest.approx(1, abs=5e-3)
        assert max(map(float, after)) < max(map(float, before))
        bar = explorer.locator("tr i").first
        color = bar.evaluate("bar => getComputedStyle(bar).backgroundColor")
        assert color == "rgb(79, 159, 232)"


def test_one_button_shows_and_hides_all_code_from_the_keyboard(visit):
    with visit(NOTEBOOK_PAGES[0]) as tab:
        cells = tab.locator("div.cell details.hide")
        opened = tab.locator("div.cell details.hide[open]")
        button = tab.get_by_role("button", name="all code")
        assert cells.count() > 0
        assert opened.count() == 0
        assert button.inner_text() == "Show all code"
        button.focus()
        tab.keyboard.press("Enter")
        assert opened.count() == cells.count()
        assert button.inner_text() == "Hide all code"
        cells.first.locator("summary").click()
        tab.get_by_role("button", name="Show all code").wait_for()
        tab.keyboard.press("Tab")
        button.press("Space")
        button.press("Space")
        assert opened.count() == 0


def test_a_page_without_code_has_no_button_for_it(visit):
    with visit("book/glossary") as tab:
        assert tab.get_by_role("button", name="all code").count() == 0


def test_the_file_to_open_leads_to_the_first_page(book):
    assert 'content="0; url=book/index.html"' in source(book, "index")


def test_search_finds_the_glossary_offline(visit):
    with visit("search", query="?q=temperature") as tab:
        found = tab.locator("#search-results li a[href*='glossary']")
        found.first.wait_for()


def pictures(tab):
    """For each themed figure of a page, the classes of the pictures that can be seen."""
    return tab.evaluate(
        """() => [...document.querySelectorAll(".themed-figure")].map((figure) =>
            [...figure.querySelectorAll("img")]
            .filter((image) => image.checkVisibility() && image.naturalWidth > 0)
            .map((image) => image.className))"""
    )


def source(book, page):
    return (book / f"{page}.html").read_text(encoding="utf-8")
