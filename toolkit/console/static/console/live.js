"use strict";
// Keeps the parts of a page up to date that stand in slots ([data-part]); one request asks for all.
// Where: [data-live], or else [data-live-banner], which every page has and which is asked seldom.
(() => {
  const EVERY = 2_000; // milliseconds between an answer and the next question
  const EVERY_BANNER = 10_000;
  const SLOWEST = 30_000; // while the server is away
  const PATIENCE = 10_000; // for one answer
  const FULL = 15; // each so many questions ask for the parts that change slowly, too

  let page, address, every, timer, question;
  let etag = "";
  let asked = 0;
  let failures = 0;
  let heardAt = new Date();
  let parts = {};

  function begin() {
    page = document.querySelector("[data-live]");
    document.addEventListener("visibilitychange", wake);
    if (!page) return rest();
    address = page.dataset.live;
    every = EVERY;
    if (page.dataset.title) document.title = page.dataset.title;
    wait(every);
  }

  // Nothing of the page itself changes any more; what stops sending still may.
  function rest() {
    address = document.querySelector("[data-live-banner]")?.dataset.liveBanner;
    every = EVERY_BANNER;
    etag = "";
    wait(every);
  }

  // Nobody sees a hidden page: it is quiet, and asks at once when it is shown.
  function wake() {
    if (document.hidden) {
      clearTimeout(timer);
    } else if (address && !question) {
      ask();
    }
  }

  function wait(milliseconds) {
    clearTimeout(timer);
    if (!document.hidden && address) timer = setTimeout(ask, milliseconds);
  }

  async function ask() {
    clearTimeout(timer);
    question = new AbortController();
    const limit = setTimeout(() => question.abort(), PATIENCE);
    try {
      await hear(await fetch(whereTo(), options()));
    } catch {
      fail();
    } finally {
      clearTimeout(limit);
      question = undefined;
    }
    wait(Math.min(every * 2 ** failures, Math.max(SLOWEST, every)));
  }

  function whereTo() {
    const url = new URL(address, location.href);
    const isFull = asked++ % FULL === FULL - 1;
    if (isFull) url.searchParams.set("full", "1");
    return url;
  }

  function options() {
    // To the server a page that asks by itself is nobody who is there (HX-Request).
    const headers = { "HX-Request": "true" };
    if (etag) headers["If-None-Match"] = etag;
    return { headers, cache: "no-store", credentials: "same-origin", signal: question.signal };
  }

  async function hear(answer) {
    if (answer.status >= 500 || answer.status === 429) throw new Error(answer.status);
    const isOurs = answer.headers.get("Content-Type")?.startsWith("application/json");
    if (answer.status !== 304) {
      if (!answer.ok || !isOurs) return leave(answer.ok ? "loggedOut" : "gone");
      const found = await answer.json();
      etag = answer.headers.get("ETag") || "";
      parts = { ...parts, ...found.parts };
      if (found.title) document.title = found.title;
      if (found.is_over) rest();
    }
    failures = 0;
    heardAt = new Date();
    say("");
    Object.entries(parts).forEach(([name, part]) => show(name, part));
  }

  function fail() {
    failures = Math.min(failures + 1, 5);
    if (failures > 1) say("away");
  }

  // The page stays as it is, with what somebody has typed; it does not ask any more.
  function leave(why) {
    address = "";
    say(why);
  }

  function say(what) {
    const status = document.querySelector("[data-live-status]");
    if (!status || !page) return;
    const time = heardAt.toLocaleTimeString(document.documentElement.lang || undefined);
    const text = what ? page.dataset[what].replace("{time}", time) : "";
    if (status.textContent !== text) status.textContent = text;
  }

  function show(name, part) {
    for (const slot of document.querySelectorAll(`[data-part="${CSS.escape(name)}"]`)) {
      if (slot.dataset.version !== part.version && !isInUse(slot)) put(slot, part);
    }
  }

  function put(slot, part) {
    const place = placeOfFocus(slot);
    const open = [...slot.querySelectorAll("details[open][id]")].map((each) => each.id);
    slot.innerHTML = part.html;
    slot.dataset.version = part.version;
    open.forEach((id) => slot.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", ""));
    if (place >= 0) focusable(slot)[place]?.focus({ preventScroll: true });
    htmx.process(slot);
    htmx.trigger(slot, "htmx:load"); // What mends new parts listens to it.
  }

  // Where somebody types, chooses, or marks text to copy it, nothing is replaced until they leave.
  function isInUse(slot) {
    const active = document.activeElement;
    if (slot.contains(active) && active.matches("input, textarea, select")) return true;
    if (slot.querySelector("dialog[open]")) return true;
    const marked = document.getSelection();
    return Boolean(marked && !marked.isCollapsed && slot.contains(marked.anchorNode));
  }

  function focusable(slot) {
    return [...slot.querySelectorAll("a[href], button, summary, [tabindex]")];
  }

  function placeOfFocus(slot) {
    return slot.contains(document.activeElement)
      ? focusable(slot).indexOf(document.activeElement)
      : -1;
  }

  document.addEventListener("DOMContentLoaded", begin);
})();
