# Copyright: the overloom.fabric authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page of a fabric in a real browser, from a file, as a person opens it. Its screenshots are in the folder tests/output/page."""

from __future__ import annotations

import copy
import pathlib
import typing as t

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from ansible_collections.overloom.fabric.plugins.plugin_utils._plan.compile import compile_plan
from ansible_collections.overloom.fabric.plugins.plugin_utils._status import summary
from ansible_collections.overloom.fabric.tests.unit.intents import SPEC
from ansible_collections.overloom.fabric.tests.unit.plugins.plugin_utils import test_page

PICTURES = pathlib.Path(__file__).parents[1] / "output" / "page"
# The browser asks nobody anything: each of these is something that it otherwise fetches by itself.
ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--window-size=1600,1200",
)

Item = t.Dict[str, t.Any]


class Browser(webdriver.Chrome):
    """Chromium, which says what it did not like about a page."""

    def errors(self) -> list[str]:
        """What its console has of errors and refused content."""
        return [entry["message"] for entry in self.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")]

    def find(self, selector: str) -> list[t.Any]:
        return self.find_elements(By.CSS_SELECTOR, selector)

    def seen(self, selector: str) -> list[t.Any]:
        """The elements that a person sees."""
        return [one for one in self.find(selector) if one.is_displayed()]

    def prefer(self, scheme: str, media: str = "screen") -> None:
        """Light or dark, on the screen or on paper."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": [feature]})

    def drawn(self, thing: str) -> t.Any:
        """A thing of the picture."""
        return next(one for one in self.find(".picture a") if one.get_dom_attribute("xlink:href") == f"#{thing}")

    def background(self) -> str:
        color = self.execute_script("return getComputedStyle(document.body).backgroundColor")
        return str(color)

    def picture(self, name: str) -> None:
        PICTURES.mkdir(parents=True, exist_ok=True)
        assert self.save_screenshot(str(PICTURES / f"{name}.png"))


@pytest.fixture(name="browser", scope="module")
def browser_fixture(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    browser = Browser(options, webdriver.ChromeService("/usr/bin/chromedriver"))
    browser.set_page_load_timeout(120)
    yield browser
    browser.quit()


def reports() -> dict[str, Item]:
    """What the playbooks report of a fabric with a dead host, after some runs of status, and a trace that dies in a tunnel."""
    hops = (("kvm1", "endpoint", "kvm1/a"), ("kvm1", "switch", "br-int"), ("kvm1", "tunnel", "vxlan-kvm2"))
    found = copy.deepcopy(test_page.REPORTS)
    walked = test_page.walked(*hops, died=2)
    found["trace"]["there"]["hops"], found["trace"]["died"] = (
        walked["there"]["hops"],
        {
            **found["trace"]["died"],
            **walked["died"],
        },
    )
    report = None
    for run, sent in enumerate((0, 10**6, 5 * 10**6, 7 * 10**6)):
        seen = copy.deepcopy(test_page.SEEN)
        seen["kvm1"]["tunnels"][0]["statistics"]["tx_bytes"] += sent
        report = summary.report(test_page.PLAN, seen, 1_700_000_000.0 + 60 * run, report)
    return {**found, "status": t.cast(Item, report)}


@pytest.fixture(name="page", scope="module")
def page_fixture(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    path = tmp_path_factory.mktemp("page") / "fabric.html"
    path.write_text(test_page.made(test_page.PLAN, reports()).raw, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def opened(browser: Browser, page: pathlib.Path) -> None:
    browser.prefer("light")
    browser.get(page.as_uri())


def test_the_page_loads_without_an_error(browser: Browser) -> None:
    assert browser.title == f"fabric {test_page.PLAN['fabric']}" and browser.errors() == []
    browser.picture("light")
    # That the console would have told: an image that the page's policy refuses.
    browser.execute_script("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:9/x.png'}))")
    assert WebDriverWait(browser, 30).until(
        lambda one: any("Content Security Policy" in error for error in one.errors())
    )


def test_a_click_on_a_failing_pair_shows_its_reason(browser: Browser) -> None:
    assert browser.seen("#panel") == []
    cell = browser.find(".matrix td.wrong a")[0]
    pair = cell.get_attribute("href").rpartition("#failure:")[2]
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    cell.click()
    (panel,) = browser.seen("#panel")
    failed = next(
        check
        for check in test_page.REPORTS["verify"]["checks"]
        if not check["passed"] and f"{check['from']} → {check['to']}" in panel.text
    )
    assert failed["from"].replace("/", "") in pair.replace("%2F", "").replace("/", "")
    assert failed["observed"] in panel.text and failed["expected"] in panel.text and failed["look"] in panel.text
    browser.picture("reason")
    browser.find("body")[0].send_keys(Keys.ESCAPE)
    assert browser.seen("#panel") == []


def test_a_click_on_the_picture_shows_a_thing(browser: Browser) -> None:
    for thing, told in (("endpoint:kvm1/a", "10.1.1."), ("tunnel:vxlan/kvm1/kvm2", "192.168.200.2")):
        link = browser.drawn(thing)
        browser.execute_script(
            "arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true, cancelable: true}))", link
        )
        (panel,) = browser.seen("#panel")
        assert told in panel.text and "chosen" in link.get_attribute("class")
    browser.picture("thing")
    browser.find("#panel button")[0].click()
    assert browser.seen("#panel") == []


def test_the_last_trace_is_drawn_on_the_picture(browser: Browser) -> None:
    def width(thing: str, shape: str) -> float:
        return float(
            browser.drawn(thing).find_element(By.CSS_SELECTOR, shape).value_of_css_property("stroke-width").rstrip("px")
        )

    assert width("endpoint:kvm1/a", "polygon") > width("endpoint:kvm1/vm", "polygon")
    assert "it dies at tunnel vxlan-kvm2 on kvm1" in browser.find("#picture")[0].text


def test_the_search_hides_what_does_not_match(browser: Browser) -> None:
    things = len(browser.seen(".thing"))
    (search,) = browser.seen("#search")
    search.send_keys("endpoint kvm1/a")
    assert 0 < len(browser.seen(".thing")) < things and browser.find(".picture a.dim")
    search.clear()
    search.send_keys(Keys.SPACE, Keys.BACKSPACE)
    assert len(browser.seen(".thing")) == things and not browser.find(".picture a.dim")


def test_rates_of_the_last_runs_are_plotted(browser: Browser) -> None:
    line = browser.seen("#rates .plot polyline")[0]
    points = [tuple(map(float, point.split(","))) for point in line.get_attribute("points").split()]
    assert len(points) == 3 and points == sorted(points)
    assert "4 runs in 180 s" in browser.find("#rates")[0].text


def test_colors_follow_the_system_and_paper_is_white(browser: Browser) -> None:
    light = browser.background()
    browser.prefer("dark")
    dark = browser.background()
    browser.picture("dark")
    browser.prefer("light", "print")
    assert light != dark and browser.seen("header nav") == []
    browser.picture("print")
    assert browser.background() == light


def test_a_thousand_endpoints_are_one_page(browser: Browser, tmp_path: pathlib.Path) -> None:
    segments = [{"name": f"s{number}", "vlan": number, "subnet": f"10.1.{number}.0/24"} for number in range(1, 21)]
    points = [{"name": f"e{number}", "segment": f"s{number % 20 + 1}"} for number in range(50)]
    host = {"fabric_name": "large", "fabric_segments": segments, "fabric_endpoints": points}
    plan = compile_plan({f"kvm{number}": host for number in range(1, 21)}, SPEC)
    seen = {name: {"unreachable": True, "msg": "off"} for name in plan["hosts"]}
    report = summary.report(plan, seen, 1_700_000_000.0)
    path = tmp_path / "large.html"
    path.write_text(test_page.made(plan, {"status": report}).raw, encoding="utf-8")
    browser.get(path.as_uri())
    assert len(plan["endpoints"]) == 1000 and browser.errors() == []
    (search,) = browser.seen("#search")
    search.send_keys("kvm7/e49")
    shown = browser.execute_script("return [...document.querySelectorAll('.thing:not([hidden])')].map(one => one.id)")
    assert "endpoint:kvm7/e49" in shown and len(shown) < 50
    browser.picture("large")
