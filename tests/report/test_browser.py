"""The page in a real browser: quiet, alone, every figure drawn, readable on a phone, in the dark and on paper."""

import pytest
from headless import CHROMIUM, Browser

import dbpsim as dbp

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: the page is not seen by a browser")
_LONG = "a_hardware_name_of_a_designer_who_writes_everything_into_names_" * 3


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    net = dbp.models.mlp(64, 16, 16, 10, input_shape=(8, 8, 1))
    train, test = dbp.datasets.load("digits", limit=32, image_shape=(8, 8, 1))
    x, y = train.batch(16)
    chip = dbp.Chip.program(net, "pcm", seed=1)
    run = dbp.relax(chip, x, y, record=True)
    exact = dbp.backprop(net, x, y)
    trained = dbp.train(net, train, test, epochs=2, batch=16)
    return dbp.report(
        chip, run, tmp_path_factory.mktemp("report"), exact=exact, training=trained,
        compare=["digital-gpu", "analog-bp"],
        dataset_label="<script>document.title='stolen'</script>", title=f"Report {_LONG}", command=f"dbpsim {_LONG}",
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    chromium = Browser(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_opens_quietly_and_whole(browser, page, width, scheme):
    browser.open(page, width=width, scheme=scheme)
    requests = [r["request"]["url"] for r in browser.told("Network.requestWillBeSent")]
    assert [u for u in requests if not u.startswith("data:")] == [page.resolve().as_uri()]
    assert browser.told("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled") == []
    assert browser.value("document.title").startswith("Report")
    across = browser.value("[document.documentElement.scrollWidth, window.innerWidth]")
    assert across[0] <= across[1] == width, "the page itself must not scroll sideways"
    ids = browser.value("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


def test_every_figure_is_drawn_within_its_frame(browser, page):
    browser.open(page, width=390)
    boxes = browser.value(
        "[...document.querySelectorAll('figure svg')].map(s => { const f = s.getBoundingClientRect(), b = s.getBBox();"
        " return [f.width, f.height, b.width, b.height, s.querySelectorAll('path').length, f.right]; })"
    )
    assert len(boxes) == len(list(page.parent.glob("*.svg"))) > 5
    for width, height, *box, paths, right in boxes:
        assert min(width, height, *box) > 50
        assert paths > 10
        assert right <= 390


def test_drawings_take_the_page_s_ink_and_the_ink_is_readable(browser, page):
    for scheme in ("light", "dark"):
        browser.open(page, scheme=scheme)
        ink, paper = browser.value("[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]")
        assert _contrast(ink, paper) > 7
        faint = browser.value("getComputedStyle(document.querySelector('figcaption')).color")
        assert _contrast(faint, paper) > 4.5
        drawn = browser.value(
            "[...document.querySelectorAll('figure svg')].map(s => getComputedStyle(s.querySelector('g[id*=text] g')).fill)"
        )
        assert set(drawn) == {ink}


def _contrast(one, other):
    # WCAG 2.1: relative luminances
    def luminance(text):
        parts = [int(p) / 255 for p in text[text.index("(") + 1 : -1].split(",")[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_links_lead_somewhere_and_pictures_have_words(browser, page):
    browser.open(page)
    dead = browser.value("[...document.querySelectorAll('nav a')].filter(a => !document.querySelector(a.hash)).length")
    assert dead == 0
    assert browser.value("document.querySelectorAll('nav a').length") >= 5
    silent = browser.value("[...document.querySelectorAll('[role=img]')].filter(e => !(e.ariaLabel || '').trim()).length")
    assert silent == 0


def test_it_prints(browser, page):
    browser.open(page, scheme="dark")
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert len(printed) > 20_000
