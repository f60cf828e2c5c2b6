// What every page of the dashboard shares. All of it is comfort: each page works without it.

const seal = document.querySelector('meta[name="seal"]')?.content ?? "";

// Requests of htmx carry the seal of the session, as our forms do.
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-Seal"] = seal;
});

// A form that asks before it acts.
document.addEventListener("submit", (event) => {
  const question = event.target.dataset?.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
    return;
  }
  // A second press of the same button does nothing while the first is on its way.
  const form = event.target;
  if (form.method === "post" && !event.defaultPrevented && !form.hasAttribute("hx-post")) {
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "1";
    // A page that comes back from the browser's memory may be sent again.
    window.addEventListener("pageshow", () => delete form.dataset.sent, { once: true });
    window.setTimeout(() => delete form.dataset.sent, 8000);
  }
});

// What went wrong is where reading goes on.
document.querySelector("[data-focus]")?.focus();

// The menu of a small window closes when something else is touched.
document.addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open], details.switch[open]")) {
    if (!menu.contains(event.target)) menu.open = false;
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const menu of document.querySelectorAll("details.menu[open], details.switch[open]")) {
    menu.open = false;
    menu.querySelector("summary")?.focus();
  }
});

// A select or box that acts at once, where its form says so.
document.addEventListener("change", (event) => {
  if (event.target.form?.hasAttribute("data-now")) event.target.form.requestSubmit();
});

// Copies what stands beside it.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const text = document.getElementById(button.dataset.copy)?.textContent ?? "";
  try {
    await navigator.clipboard.writeText(text.trim());
    const was = button.textContent;
    button.textContent = "Copied";
    window.setTimeout(() => (button.textContent = was), 1500);
  } catch {
    button.textContent = "Press Ctrl+C";
  }
});

// A table that is wider than its place is reached by keyboard too.
function reachable() {
  for (const place of document.querySelectorAll(".scroll:not([tabindex])")) {
    if (place.scrollWidth <= place.clientWidth) continue;
    place.tabIndex = 0;
    place.setAttribute("role", "region");
    place.setAttribute("aria-label", place.querySelector("caption, thead th")?.textContent.trim() || "Table");
  }
}
reachable();
window.addEventListener("resize", reachable);
document.addEventListener("htmx:afterSettle", reachable);
