// Keys of the search field: Ctrl+K leads to it, arrows through its hits, Escape closes them.
(() => {
  const form = () => document.querySelector("[data-find]");

  const step = (event, parts) => {
    const at = parts.indexOf(document.activeElement);
    const next = parts[at + (event.key === "ArrowDown" ? 1 : -1)];
    if (at < 0 || !next) return;
    event.preventDefault();
    next.focus();
  };

  // Before Unfold's own listener, whose list of pages is found here, too.
  window.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey)) return;
    const field = document.querySelector("[data-find] input, .find-page input");
    if (!field) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (field.offsetParent === null) document.querySelector(".find-link").click();
    field.focus();
    field.select();
  }, true);

  document.addEventListener("keydown", (event) => {
    const find = form();
    if (!find || !find.contains(event.target)) return;
    const field = find.querySelector("input");
    const links = [...find.querySelectorAll(".find-hits a")];
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      step(event, [field, ...links]);
    } else if (event.key === "Escape") {
      event.preventDefault();
      find.classList.add("is-closed");
      field.focus();
    }
  });

  document.addEventListener("input", (event) => form()?.contains(event.target) && form().classList.remove("is-closed"));
})();
