"use strict";
// Puts what the server has rendered anew in place of what is there; keeps what the reader has opened, focused, scrolled
// or selected. While nobody looks, it does not listen.
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

function scrollable(element) {
  return [...element.querySelectorAll("[role=group]")];
}

function keep(old, fresh) {
  for (const details of old.querySelectorAll("details[id]")) {
    const twin = fresh.querySelector("#" + CSS.escape(details.id));
    if (twin) twin.open = details.open;
  }
}

function place(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement : null;
  const fresh = document.createElement("template");
  fresh.innerHTML = html;
  keep(element, fresh.content);
  const regions = new Map(scrollable(element).map((each) => [each.ariaLabel, each]));
  const places = new Map([...regions].map(([name, each]) => {
    const isAtEnd = each.scrollTop > 0 && each.scrollTop + each.clientHeight >= each.scrollHeight - 2;
    return [name, [isAtEnd, each.scrollTop, each.scrollLeft]];
  }));
  const path = focused && focusPath(focused);
  element.replaceChildren(fresh.content);
  for (const each of scrollable(element)) {
    const [isAtEnd, top, left] = places.get(each.ariaLabel) || [each.matches(".log"), 0, 0];
    each.scrollTop = isAtEnd ? each.scrollHeight : top;
    each.scrollLeft = left;
  }
  if (path) focusAgain(element, path);
}

function focusPath(element) {
  const details = element.closest("details[id]");
  if (element.tagName === "SUMMARY" && details) return "#" + CSS.escape(details.id) + " > summary";
  if (element.hasAttribute("href")) return "a[href=" + CSS.escape(element.getAttribute("href")) + "]";
  if (element.ariaLabel) return "[aria-label=" + CSS.escape(element.ariaLabel) + "]";
  return null;
}

function focusAgain(element, path) {
  const target = element.querySelector(path);
  if (target) target.focus({ preventScroll: true });
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
  seen = event.lastEventId;
  for (const change of update.changed) {
    const element = section(change);
    if (!element.isConnected) main.append(element);
    if (isSelectedIn(element)) waiting.set(element, change.html);
    else place(element, change.html);
  }
  order(update.order);
  say(announcement, document.querySelector(".summary").textContent);
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
  source = new EventSource(main.dataset.events + "?seen=" + encodeURIComponent(seen));
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
window.addEventListener("pagehide", pause);
window.addEventListener("pageshow", listen);
for (const log of document.querySelectorAll(".log")) log.scrollTop = log.scrollHeight;
listen();
