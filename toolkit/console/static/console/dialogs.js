// Dialogs of the console: buttons that open them, close them, and fill in what is suggested.

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-dialog], [data-close], [data-fill]");
  if (!button) return;
  const { dialog, fill } = button.dataset;
  if (dialog) {
    document.getElementById(dialog).showModal();
  } else if (fill) {
    const input = document.getElementById(fill);
    input.value = button.textContent.trim();
    input.focus();
  } else if (button.closest("dialog")) {
    event.preventDefault();
    button.closest("dialog").close();
  }
});

// What a dialog's form was answered closes it. Whoever was logged out meanwhile is told so.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { elt, xhr } = event.detail;
  if (!elt.closest("#stop-bar, dialog")) return;
  if (xhr.responseURL.includes("/login/")) {
    window.location.reload();
  } else if (xhr.status < 400) {
    elt.closest("dialog")?.close();
  }
});

// If it could not be asked in the background, it is asked as a page, which says what is wrong.
for (const trouble of ["htmx:responseError", "htmx:sendError"]) {
  document.addEventListener(trouble, (event) => {
    const form = event.detail.elt;
    if (form.closest("#stop-bar, dialog")) form.submit();
  });
}

// A page that keeps itself up to date does not take away a dialog that somebody writes in.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  if (event.detail.target.querySelector("dialog[open]")) event.detail.shouldSwap = false;
});
