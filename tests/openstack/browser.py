# SPDX-License-Identifier: Apache-2.0
"""Steps of a user of octavia-dashboard, in a real browser: ``browser.py URL FOLDER USER PASSWORD STEP JSON``. Run by ``horizon.Browser``."""

import json
import shutil
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

url, folder, user, password, step, values = sys.argv[1:]
values = json.loads(values)


def balancers(page):
    page.goto(f"{url}/project/load_balancer/")
    page.get_by_role("button", name="Create Load Balancer").wait_for()


def field(page, model):
    return page.locator(f"[ng-model='{model}']").locator("visible=true")


def forward(page):
    page.get_by_role("button", name="Next").click()


def create(page, name, cidr, members, members_subnet, port):
    """By the wizard, in its five steps: a load balancer with a listener, a pool, members and a health monitor."""
    balancers(page)
    page.get_by_role("button", name="Create Load Balancer").click()
    field(page, "model.spec.loadbalancer.name").fill(name)
    subnet = page.locator("filter-select[ng-model='model.spec.loadbalancer.vip_subnet_id'] input")
    subnet.click()
    page.locator("filter-select tr", has_text=cidr).locator("visible=true").click()
    forward(page)
    field(page, "model.spec.listener.protocol").select_option(label="HTTP")
    field(page, "model.spec.listener.protocol_port").fill(str(port))
    forward(page)
    field(page, "model.spec.pool.lb_algorithm").select_option(label="Round Robin")
    forward(page)
    for number, address in enumerate(members):
        page.get_by_role("button", name="Add external member").click()
        field(page, "row.address").nth(number).fill(address)
        field(page, "row.subnet_id").nth(number).select_option(label=members_subnet)
        field(page, "row.protocol_port").nth(number).fill("8000")
    forward(page)
    field(page, "model.spec.monitor.type").select_option(label="HTTP")
    submit(page, "Create Load Balancer")


def wait(page, name, status):
    """Until the list shows it so. Its page asks again by itself."""
    balancers(page)
    row = page.locator("tr", has_text=name).first
    row.get_by_text(status, exact=True).wait_for(timeout=120_000)
    return row.inner_text()


def submit(page, button):
    """Press the button of a dialog, and wait for the service's answer."""
    dialog = page.locator(".modal-dialog")
    with page.expect_response(lambda one: "/api/lbaas/" in one.url and one.request.method != "GET") as answer:
        dialog.get_by_role("button", name=button).click()
    assert answer.value.ok, answer.value.text()
    dialog.wait_for(state="hidden")


def describe(page, name, description):
    """Edit a load balancer."""
    balancers(page)
    page.get_by_role("button", name="Edit Load Balancer").click()
    expect(field(page, "model.spec.loadbalancer.name")).to_have_value(name)  # it is filled in later
    field(page, "model.spec.loadbalancer.description").fill(description)
    submit(page, "Update Load Balancer")


def listeners(page, name):
    """What the page of a load balancer shows of its listeners."""
    balancers(page)
    page.get_by_role("link", name=name, exact=True).click()
    page.get_by_text("Listeners", exact=True).click()
    row = page.locator("hz-resource-table tr", has_text="HTTP").locator("visible=true").first
    return row.inner_text().split()


def delete(page, name):
    balancers(page)
    row = page.locator("tr", has_text=name).first
    row.locator("[uib-dropdown-toggle], .dropdown-toggle").first.click()
    row.get_by_text("Delete Load Balancer").click()
    submit(page, "Delete Load Balancer")
    page.get_by_text("No items to display").wait_for(timeout=120_000)


STEPS = {one.__name__: one for one in (create, wait, describe, listeners, delete)}

with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    expect.set_options(timeout=60_000)
    try:
        page.goto(f"{url}/auth/login/")
        page.fill("#id_username", user)
        page.fill("#id_password", password)
        page.click("#loginBtn")
        page.wait_for_url(lambda where: "/auth/login" not in where)
        print(json.dumps(STEPS[step](page, **values)))
    except BaseException:
        Path(folder, f"{step}.html").write_text(page.content())
        page.screenshot(path=f"{folder}/{step}.png")
        raise
    finally:
        browser.close()
