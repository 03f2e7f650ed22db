// What every part of the page is made with: elements whose texts are only ever text, keyed lists, and how things read.

/** The element of an id. @param {string} id */
export const $ = (id) => document.getElementById(id);

/**
 * Make an element. Strings among the children become text nodes, never markup.
 * @param {string} tag  @param {Object<string, unknown>} properties  @param {...(Node|string|null|undefined|false)} children
 */
export function el(tag, properties = {}, ...children) {
  const { data = {}, label, ...rest } = properties;
  const made = Object.assign(document.createElement(tag), rest);
  Object.assign(made.dataset, data);
  if (label) made.setAttribute("aria-label", label);
  made.append(...children.filter((child) => child || child === 0));
  return made;
}

/**
 * Make a list hold exactly `items`. A row is kept while its signature stays, so that focus and scrolling survive.
 * @template T
 * @param {HTMLElement} list  @param {T[]} items  @param {(item: T) => string} keyOf
 * @param {(item: T) => string} signature  @param {(item: T) => HTMLElement} render
 */
export function fill(list, items, keyOf, signature, render) {
  const rows = new Map([...list.children].map((row) => [row.dataset.key, row]));
  const wanted = items.map((item) => {
    const [key, mark] = [keyOf(item), signature(item)];
    const old = rows.get(key);
    if (old?.mark === mark) return old;
    const row = Object.assign(render(item), { mark });
    row.dataset.key = key;
    if (old?.contains(document.activeElement)) {
      const { action } = document.activeElement.dataset;
      queueMicrotask(() => row.querySelector(`[data-action="${action}"]`)?.focus());
    }
    return row;
  });
  if (wanted.length !== list.children.length || wanted.some((row, index) => row !== list.children[index])) {
    list.replaceChildren(...wanted);
  }
}

/** Show or hide an element, and say something in it if asked. */
export function show(element, isShown, text) {
  element.hidden = !isShown;
  if (text !== undefined && element.textContent !== text) element.textContent = text;
}

let skewMs = 0;
/** Take the server's idea of the time, so that running times do not depend on this machine's clock. */
export const setServerTime = (date) => { if (date) skewMs = Date.parse(date) - Date.now(); };
export const serverNow = () => Date.now() + skewMs;

/** Read a span in milliseconds as 1:05 or 2:01:05. */
export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** A span that goes on by itself from `since` (milliseconds since 1970) on. */
export const ticking = (since) => el("time", { className: "clock", data: { since } }, clock(serverNow() - since));
setInterval(() => {
  for (const span of document.querySelectorAll("[data-since]")) span.textContent = clock(serverNow() - span.dataset.since);
}, 1000);

export const bytes = (count) =>
  count < 1e6 ? `${(count / 1e3).toFixed(0)} kB` : count < 1e9 ? `${(count / 1e6).toFixed(1)} MB` : `${(count / 1e9).toFixed(2)} GB`;

export const moment = (text) =>
  new Date(text).toLocaleString([], { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit" });
