"use strict";
// Makes of what is there what the server has rendered anew, and touches nothing else: so what the reader has opened,
// focused, scrolled, typed or selected stays. While nobody looks, it does not listen.
const main = document.getElementById("main");
const connection = document.getElementById("connection");
const announcement = document.getElementById("announcement");
const waiting = new Map();
let source = null;
let seen = main.dataset.seen || "";

function isSelectedIn(element) {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && element.contains(selection.anchorNode);
}

function isSameKind(old, fresh) {
  return old.nodeType === fresh.nodeType && old.nodeName === fresh.nodeName && (old.id || "") === (fresh.id || "");
}

function become(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && name !== "open") old.setAttribute(name, value);
  }
  becomeWithin(old, fresh);
}

function becomeWithin(old, fresh) {
  const byId = new Map([...old.children].filter((each) => each.id).map((each) => [each.id, each]));
  const stay = new Set([...fresh.children].map((each) => each.id).filter((id) => byId.has(id)));
  let next = old.firstChild;
  for (const wanted of [...fresh.childNodes]) {
    while (next && next.id && !stay.has(next.id)) next = removed(next);
    const known = wanted.id ? byId.get(wanted.id) : null;
    if (known && isSameKind(known, wanted)) {
      if (known === next) next = next.nextSibling;
      else old.insertBefore(known, next);
      become(known, wanted);
    } else if (next && !wanted.id && isSameKind(next, wanted)) {
      become(next, wanted);
      next = next.nextSibling;
    } else {
      old.insertBefore(wanted, next);
    }
  }
  while (next) next = removed(next);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function place(element, html) {
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  const followed = [...element.querySelectorAll(".log")].filter(isAtEnd);
  becomeWithin(element, fresh.content);
  for (const log of followed) log.scrollTop = log.scrollHeight;
}

function isAtEnd(log) {
  return log.scrollTop + log.clientHeight >= log.scrollHeight - 2;
}

function section(change) {
  let element = document.getElementById(change.id);
  if (element === null) {
    element = document.createElement("section");
    element.id = change.id;
    element.className = change.kind;
    element.setAttribute("aria-labelledby", change.id + "-title");
  }
  return element;
}

function order(ids) {
  for (const element of [...main.children]) if (!ids.includes(element.id)) element.remove();
  let last = null;
  for (const id of ids) {
    const element = document.getElementById(id);
    if (element === null) continue;
    const next = last === null ? main.firstElementChild : last.nextElementSibling;
    if (next !== element) main.insertBefore(element, next);
    last = element;
  }
}

function take(event) {
  const update = JSON.parse(event.data);
  const focused = document.activeElement;
  const held = whatIsReadOn(focused);
  const top = held && held.getBoundingClientRect().top;
  seen = event.lastEventId;
  for (const change of update.changed) {
    const element = section(change);
    if (!element.isConnected) main.append(element);
    if (isSelectedIn(element)) waiting.set(element, change.html);
    else place(element, change.html);
  }
  order(update.order);
  head(update.about);
  focusAgain(focused);
  if (held && held.isConnected) window.scrollBy({ top: held.getBoundingClientRect().top - top, behavior: "instant" });
  say(announcement, document.querySelector(".summary").textContent);
}

// What is to stay where it is in the window: what has the focus; else what begins in the window, or fills it, first of
// all the smallest. At the top of the page, nothing is.
function whatIsReadOn(focused) {
  if (window.scrollY === 0) return null;
  const isInside = (top, bottom) => bottom > 0 && top < window.innerHeight;
  const placed = [...main.querySelectorAll("[id]")].map((each) => [each, each.getBoundingClientRect()]);
  const shown = placed.filter(([, { top, bottom }]) => isInside(top, bottom));
  if (focused && shown.some(([each]) => each.contains(focused))) {
    const { top, bottom } = focused.getBoundingClientRect();
    if (isInside(top, bottom)) return focused;
  }
  const [found] = shown.find(([, { top }]) => top >= 0) || shown.at(-1) || [null];
  return found;
}

function head(parts) {
  const shown = document.createElement("template");
  for (const [index, part] of parts.entries()) {
    const whole = document.createElement("span");
    whole.className = "whole";
    whole.textContent = part;
    shown.content.append(index ? " · " : "", whole);
  }
  document.getElementById("about").replaceChildren(shown.content);
}

// What was moved has lost its focus. A job that has ended stands in another table: who was at its link is at it there.
function focusAgain(focused) {
  if (!focused || focused === document.activeElement) return;
  if (focused.isConnected) focused.focus({ preventScroll: true });
  if (focused.isConnected || !focused.hasAttribute("href")) return;
  const twin = main.querySelector(".jobs a[href=" + CSS.escape(focused.getAttribute("href")) + "]");
  if (twin) twin.focus({ preventScroll: true });
}

function catchUp() {
  for (const [element, html] of waiting) {
    if (isSelectedIn(element)) continue;
    waiting.delete(element);
    if (element.isConnected) place(element, html);
  }
}

function say(element, text) {
  if (element.textContent !== text) element.textContent = text; // else it would be read aloud again
}

function listen() {
  if (document.hidden || source !== null) return;
  const address = main.dataset.events;
  source = new EventSource(address + (address.includes("?") ? "&" : "?") + "seen=" + encodeURIComponent(seen));
  source.addEventListener("open", () => say(connection, "live"));
  source.addEventListener("update", take);
  source.addEventListener("error", () => {
    const isOver = source.readyState === EventSource.CLOSED;
    say(connection, isOver ? "ended: reload the page" : "not connected, trying again");
  });
}

function pause() {
  if (source !== null) source.close();
  source = null;
}

document.addEventListener("visibilitychange", () => (document.hidden ? pause() : listen()));
document.addEventListener("selectionchange", catchUp);
document.addEventListener("formdata", (event) => {
  for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name); // a short address
});
window.addEventListener("pagehide", pause);
window.addEventListener("pageshow", listen);
for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
listen();
