"use strict";
// What clients have is offered first, what was typed last, so that Enter takes what there is.
django.jQuery.fn.select2.defaults.set("insertTag", (offered, typed) => offered.push(typed));

// Select2 tells only jQuery of a change; the count of clients listens to the browser's events.
document.addEventListener("DOMContentLoaded", () => {
  const selects = django.jQuery("#mailing_form select");
  selects.on("select2:select select2:unselect select2:clear", (event) => {
    event.target.dispatchEvent(new Event("change", { bubbles: true }));
  });
});

// Whoever was logged out meanwhile keeps the page with what they wrote, not a login form in it.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/login/")) event.detail.shouldSwap = false;
});
