// Night falls on open pages, too: Unfold asks for the browser's colours only as a page loads.
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  const page = Alpine.$data(document.documentElement);
  if (page.adminTheme !== "auto") return;
  page.adminTheme = ""; // Another choice and back has Unfold ask again.
  Alpine.nextTick(() => (page.adminTheme = "auto"));
});
