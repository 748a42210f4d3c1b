// What Unfold's pages lack for keyboards and screen readers, wherever htmx puts new parts in.

// Icons are words of a font: what they are called where nothing else says it.
const NAMES = document.querySelector("meta[name=icon-names]")?.dataset ?? {};
const OWN = "a[href], button, input, select, textarea, label, summary, option";

function nameIcons(root) {
  for (const icon of root.querySelectorAll(".material-symbols-outlined:not([aria-hidden])")) {
    const word = icon.textContent.trim();
    icon.setAttribute("aria-hidden", "true");
    const control = icon.closest("a, button, [role=button]");
    if (!control || control.ariaLabel || control.title) continue;
    const says = [...control.childNodes].some((node) => node !== icon && visibleText(node));
    if (!says && NAMES[word]) control.ariaLabel = NAMES[word];
  }
}

function visibleText(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data.trim();
  if (node.nodeType !== Node.ELEMENT_NODE || node.classList.contains("material-symbols-outlined")) return "";
  return [...node.childNodes].some(visibleText);
}

// What only a mouse could press.
function makeButtons(root) {
  for (const element of root.querySelectorAll("[x-on\\:click], [\\@click]")) {
    if (element.matches(OWN) || element.closest("[role=button]") || element.querySelector(OWN)) continue;
    if (element.id === "changelist-filter-close") continue; // Escape does the same.
    element.role = "button";
    element.tabIndex = 0;
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      element.click();
    });
  }
}

// Select2 makes inputs of its own, which nobody names.
function nameSelects(root) {
  for (const box of root.querySelectorAll(".select2-container")) {
    const select = box.previousElementSibling;
    // The cross that empties a box is for mice, and no item of the list that it stands in.
    for (const cross of box.querySelectorAll(".select2-selection__clear")) cross.ariaHidden = "true";
    const name = select?.labels?.[0]?.textContent.trim() || select?.ariaLabel;
    if (!name) continue;
    for (const part of box.querySelectorAll("[role=combobox], [role=textbox], input")) {
      part.removeAttribute("aria-labelledby"); // It is called by its value, which may be empty.
      part.ariaLabel = name;
    }
  }
}

// Unfold's menus call themselves landmarks; there is one of navigation, and the way here.
function nameRest(root) {
  for (const menu of root.querySelectorAll("nav:not([aria-label])")) menu.role = "group";
  for (const cell of root.querySelectorAll("#result_list td")) {
    cell.classList.toggle("is-empty", /^[-–]?$/.test(cell.textContent.trim()) && !cell.querySelector("input, img, svg"));
  }
}

function improve(root) {
  makeButtons(root);
  nameIcons(root);
  nameSelects(root);
  nameRest(root);
}

// The page is hidden until Alpine is there, and what is hidden takes no focus.
function focusFirst() {
  if (document.activeElement === document.body) document.querySelector("[autofocus]")?.focus();
}

improve(document);
addEventListener("load", () => {
  improve(document);
  requestAnimationFrame(focusFirst);
});
// Select2 makes its inputs when it likes, also after the page has loaded.
new MutationObserver(() => nameSelects(document)).observe(document.body, { childList: true, subtree: true });
document.addEventListener("htmx:load", (event) => improve(event.detail.elt));
