"""Administration: the account, users, keys, tenants, retention, storage and the audit log."""

import re

from playwright.async_api import expect

from tests.plugins.dashboard.conftest import OpenPage
from tests.plugins.dashboard.rig_browser import Watch


async def test_a_viewer_sees_only_what_concerns_viewers(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=users", role="viewer")

    tabs = page.get_by_role("tab")

    await expect(tabs).to_have_text(["My account", "Keys", "Storage"])
    await expect(page.get_by_text("Signed in as")).to_be_visible()


async def test_adds_a_user_shows_the_password_once_and_changes_the_role(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=users", role="admin")
    await page.get_by_role("button", name="New user").click()
    dialog = page.get_by_role("dialog", name="New user")
    await dialog.get_by_label("User name").fill("ada")
    await dialog.get_by_role("radio", name="operator").click()
    await dialog.get_by_role("button", name="Add the user").click()

    secret = page.get_by_role("dialog", name="The password of the new user")
    await expect(secret.get_by_test_id("secret")).to_have_text(re.compile(r"\S{12,}"))
    await secret.get_by_role("button", name="Close").click()
    row = page.get_by_role("row", name=re.compile("^ada "))
    await expect(row.get_by_label("Role of ada")).to_have_value("operator")
    await row.get_by_label("Role of ada").select_option("viewer")
    await expect(page.get_by_role("status").get_by_text("ada is viewer now.")).to_be_visible()


async def test_removes_a_user_after_asking(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=users", role="admin")
    await page.get_by_role("button", name="New user").click()
    await page.get_by_label("User name").fill("brief")
    await page.get_by_role("button", name="Add the user").click()
    secret = page.get_by_role("dialog", name="The password of the new user")
    await secret.get_by_role("button", name="Close").click()

    await page.get_by_role("button", name="Remove brief").click()
    await page.get_by_role("dialog", name="Remove brief?").get_by_role("button", name="Remove", exact=True).click()

    await expect(page.get_by_role("row", name=re.compile("^brief "))).to_have_count(0)


async def test_says_why_a_user_cannot_be_added(open_page: OpenPage, watch: Watch) -> None:
    watch.allow(r"POST /api/users")
    page = await open_page("/admin?tab=users", role="admin")
    await page.get_by_role("button", name="New user").click()
    await page.get_by_label("User name").fill("no spaces allowed")
    await page.get_by_role("button", name="Add the user").click()

    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("username")


async def test_makes_and_revokes_a_key(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=keys", role="admin")
    await page.get_by_role("button", name="New key").click()
    await page.get_by_label("Name").fill("shipper")
    await page.get_by_role("radio", name=re.compile("^Ingest key")).click()
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.get_by_test_id("secret")).to_have_text(re.compile(r"\S{20,}"))
    await page.get_by_role("button", name="Close").click()

    await page.get_by_role("button", name="Revoke shipper").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke", exact=True).click()

    await expect(page.get_by_role("row", name=re.compile("^shipper "))).to_have_count(0)


async def test_sets_the_retention_of_a_tenant(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=tenants", role="admin")
    await page.get_by_role("button", name="New tenant").click()
    await page.get_by_label("Name").fill("acme")
    await page.get_by_role("button", name="Add the tenant").click()
    await page.get_by_role("button", name="Change the retention of acme").click()
    await page.get_by_label("Days that logs are kept").fill("3")
    await page.get_by_role("button", name="Change", exact=True).click()

    await expect(page.get_by_role("row", name=re.compile("^acme ")).get_by_role("cell", name="3 d")).to_be_visible()


async def test_removing_a_tenant_asks_for_its_name(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=tenants", role="admin")
    await page.get_by_role("button", name="New tenant").click()
    await page.get_by_label("Name").fill("gone")
    await page.get_by_role("button", name="Add the tenant").click()
    await page.get_by_role("button", name="Remove gone").click()
    dialog = page.get_by_role("dialog", name="Remove gone?")

    await expect(dialog.get_by_role("button", name="Remove the tenant")).to_be_disabled()
    await dialog.get_by_label("Type gone to confirm").fill("gone")
    await dialog.get_by_role("button", name="Remove the tenant").click()

    await expect(page.get_by_role("row", name=re.compile("^gone "))).to_have_count(0)


async def test_the_audit_log_shows_who_changed_what(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=tenants", role="admin")
    await page.get_by_role("button", name="New tenant").click()
    await page.get_by_label("Name").fill("audited")
    await page.get_by_role("button", name="Add the tenant").click()
    await expect(page.get_by_role("row", name=re.compile("^audited "))).to_be_visible()
    await page.get_by_role("tab", name="Audit log").click()

    await page.get_by_label("What was changed").fill("audited")

    await expect(page).to_have_url(re.compile("target=audited"))
    await expect(page.get_by_role("row", name=re.compile("tenant.create audited"))).to_be_visible()


async def test_storage_tells_what_is_kept(open_page: OpenPage) -> None:
    page = await open_page("/admin?tab=storage")

    await expect(page.get_by_role("row", name=re.compile(r"^spans traces "))).to_be_visible()


async def test_a_wrong_current_password_is_said_at_its_field(open_page: OpenPage, watch: Watch) -> None:
    watch.allow(r"POST /api/auth/password")
    page = await open_page("/admin?tab=account")
    await page.get_by_label("Current password").fill("not it at all")
    await page.get_by_label("New password", exact=True).fill("a new long password")
    await page.get_by_label("New password again").fill("a new long password")
    await page.get_by_role("button", name="Change password").click()

    await expect(page.get_by_role("alert")).to_have_text("current_password: is wrong")
