// The inbox: keys, and a list that stays up to date around what somebody has in hand. All of it works without.

"use strict";

const list = document.getElementById("items");
const each = () => [...list.children];
const byId = (id) => document.getElementById(id);
const holding = (item) => item && list.contains(item) ? item : null;
const current = () => document.activeElement.closest("#items > li");

// What somebody has in hand stays as it is: opened, chosen, typed in, or with words selected.
function isInHand(item) {
  const selection = getSelection();
  const typed = [...item.querySelectorAll("textarea, input[type=text]")].some((field) => field.value !== field.defaultValue);
  const field = item.contains(document.activeElement) && document.activeElement.matches("textarea, input:not([type=checkbox]), select");
  return typed || field || item.matches(".open") || item.querySelector("[name=chosen]:checked") !== null
    || (!selection.isCollapsed && selection.containsNode(item, true));
}

function note(item) {
  if (item.querySelector(".meanwhile")) return;
  const line = document.createElement("p");
  line.className = "about meanwhile";
  line.setAttribute("role", "status");
  line.textContent = "Somebody changed this meanwhile. What you have in hand stays as it is.";
  item.append(line);
}

function release(item) {
  if (isInHand(item)) return note(item);
  const had = item.contains(document.activeElement);
  const next = item.nextElementSibling ?? item.previousElementSibling;
  item.remove();
  if (had) (next ?? byId("main")).focus();
}

function take(fresh) {
  const wanted = new Map([...fresh.querySelectorAll("#items > li")].map((item) => [item.id, item]));
  for (const item of each()) if (!wanted.has(item.id)) release(item);
  let before = null;
  for (const [id, item] of wanted) {
    const old = byId(id);
    if (!old) {
      before ? before.after(item) : list.prepend(item);
      htmx.process(item);
    } else if (old.dataset.seen !== item.dataset.seen) {
      if (isInHand(old)) note(old);
      else replace(old, item);
    }
    before = byId(id);
  }
  byId("rest").replaceWith(fresh.getElementById("rest"));
  mark();
}

function replace(old, item) {
  const had = old.contains(document.activeElement);
  old.replaceWith(item);
  htmx.process(item);
  if (had) item.focus();
}

takers.inbox = async () => {
  const where = new URL(location);
  where.searchParams.delete("edit");
  const answer = await fetch(where, { headers: { accept: "text/html" } });
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  if (fresh.getElementById("items")) take(fresh);
};

// After something was done here the list looks anew at once, and what was done is no longer in hand.
function letGo(item) {
  item.classList.remove("open");
  for (const form of item.querySelectorAll("form")) form.reset();
  const box = item.querySelector("[name=chosen]");
  if (box) box.checked = false;
}

function done(form) {
  const item = form.closest("#items > li");
  if (item && item.contains(document.activeElement)) item.focus(); // so that the next one has it when this one goes
  for (const one of item ? [item] : each()) letGo(one);
  mark();
}

document.addEventListener("htmx:after:swap", ({ detail: { ctx } }) => {
  const form = ctx.sourceElement;
  if (form.matches?.("form[method=post]") && ctx.response.status < 400 && byId("told").contains(ctx.target)) done(form);
  const item = holding(byId(ctx.target.id));
  if (item) (item.querySelector(".panel textarea") ?? item).focus();
  waiting.add("inbox");
  soon();
});

// Choosing.
const all = byId("all");

function mark() {
  const boxes = list.querySelectorAll("[name=chosen]");
  if (all) all.firstElementChild.checked = boxes.length > 0 && [...boxes].every((box) => box.checked);
}

if (all) {
  all.hidden = false;
  all.addEventListener("change", () => {
    for (const box of list.querySelectorAll("[name=chosen]")) box.checked = all.firstElementChild.checked;
  });
}
list.addEventListener("change", mark);

// Keys. They can be turned off, and never act where somebody types.
const keys = byId("keys");
const keysOn = byId("keys-on");
keys.hidden = false;
keysOn.checked = localStorage.getItem("keys") !== "off";
keysOn.addEventListener("change", () => localStorage.setItem("keys", keysOn.checked ? "on" : "off"));

function step(by) {
  const items = each();
  const at = items.indexOf(current());
  const next = items[at < 0 ? (by > 0 ? 0 : items.length - 1) : Math.min(Math.max(at + by, 0), items.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

const press = (selector) => current()?.querySelector(selector)?.click();
const DOES = {
  j: () => step(1),
  k: () => step(-1),
  a: () => (current()?.querySelector("[name=answer]") ? current().querySelector("[name=answer]").focus() : press("[value=accept]")),
  r: () => press(".deeds [value=reject]"),
  e: () => press(".edit"),
  x: () => press("[name=chosen]"),
  u: () => byId("undo")?.click(),
  "?": () => {
    keys.open = !keys.open;
    if (keys.open) keys.querySelector("summary").focus();
  },
};

addEventListener("keydown", (event) => {
  const types = event.target.matches?.("textarea, select, input:not([type=checkbox])");
  if (event.key === "Escape") {
    const close = current()?.querySelector(".close");
    close?.click();
    return;
  }
  if (types || event.ctrlKey || event.metaKey || event.altKey || !keysOn.checked || !Object.hasOwn(DOES, event.key)) return;
  event.preventDefault();
  DOES[event.key]();
});
