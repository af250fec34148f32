// What is wider than its place can be scrolled by keyboard, too.
function letScroll() {
  for (const box of document.querySelectorAll("pre, .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute("tabindex");
    }
  }
}

// Who hears the page is told which of its two sides is which.
function nameSides() {
  const names = { ".sidebar-drawer": "All pages", ".toc-drawer": "On this page" };
  for (const [side, name] of Object.entries(names)) {
    document.querySelector(side)?.setAttribute("aria-label", name);
  }
}

addEventListener("DOMContentLoaded", () => {
  letScroll();
  nameSides();
});
addEventListener("resize", letScroll);
