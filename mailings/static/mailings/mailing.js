"use strict";
// What clients have is offered first, what was typed last, so that Enter takes what there is.
django.jQuery.fn.select2.defaults.set("insertTag", (offered, typed) => offered.push(typed));
// Suggestions say how many clients there are.
const suggestion = ({ text, number }) => (number ? `${text} · ${number}` : text);
django.jQuery.fn.select2.defaults.set("templateResult", suggestion);

const field = (name) => document.getElementById(`id_${name}`);

function write(input, value) {
  input.value = value;
  input.dispatchEvent(new Event("input", { bubbles: true }));
  input.dispatchEvent(new Event("change", { bubbles: true }));
}

// Replaces characters of the text that make it longer on its way.
function replaceIn(text, button) {
  const pairs = JSON.parse(button.dataset.replace);
  write(text, pairs.reduce((written, [from, to]) => written.replaceAll(from, to), text.value));
  text.focus();
}

// A time is asked for only where the mailing does not begin as it is launched.
function showStart() {
  const start = field("start_time");
  const chosen = document.querySelector("input[name=begins]:checked");
  const row = start && document.querySelector(".field-start_time");
  if (!chosen || !row) return;
  row.hidden = chosen.value === "now";
  row.style.display = row.hidden ? "none" : "";
}

// The browser has times without a zone, as people read them: they compare as texts.
function moveStop() {
  const start = field("start_time");
  const stop = field("stop_time");
  if (!start.value || !stop.value || stop.value > start.value) return;
  const next = new Date(`${start.value}Z`);
  next.setUTCDate(next.getUTCDate() + 1);
  write(stop, next.toISOString().slice(0, 16));
}

// Counts down while a launch can be undone.
function countDown(form) {
  const left = form.querySelector("[data-seconds]");
  const timer = setInterval(() => {
    left.textContent -= 1;
    if (left.textContent > 0) return;
    clearInterval(timer);
    form.remove();
  }, 1000);
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-replace], [data-hours]");
  if (!button) return;
  if (button.dataset.replace) return replaceIn(field("text"), button);
  const [from, until] = button.dataset.hours.split("-");
  write(field("window_start"), from);
  write(field("window_end"), until);
});

document.addEventListener("DOMContentLoaded", () => {
  // Select2 tells only jQuery of a change; the count of clients listens to the browser's events.
  django.jQuery("#mailing_form select").on(
    "select2:select select2:unselect select2:clear",
    (event) => event.target.dispatchEvent(new Event("change", { bubbles: true })),
  );
  document
    .querySelectorAll("input[name=begins]")
    .forEach((choice) => choice.addEventListener("change", showStart));
  field("start_time")?.addEventListener("change", moveStop);
  showStart();
  document.querySelectorAll("form[data-undo]").forEach(countDown);
  document.querySelector("#mailing_form [aria-invalid=true]")?.focus();
});

// Whoever was logged out meanwhile keeps the page with what they wrote, not a login form in it.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.includes("/login/")) event.detail.shouldSwap = false;
});
