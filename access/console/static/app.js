// What a page does beyond HTML: times in the reader's zone, parts that stay up to date, a button that copies.
// Everything works without it; nothing here is needed to read or review.

"use strict";

// Times. The server writes them in the zone that the cookie names; on the first visit they are still in UTC.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]; // as in rendering.py

function inZone(text) {
  const at = new Date(text);
  const two = (number) => String(number).padStart(2, "0");
  return `${at.getDate()} ${MONTHS[at.getMonth()]} ${at.getFullYear()}, ${two(at.getHours())}:${two(at.getMinutes())}`;
}

if (zone && document.documentElement.dataset.zone !== zone) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `zone=${encodeURIComponent(zone)}; path=/; max-age=31536000; samesite=lax${secure}`;
  for (const time of document.querySelectorAll("time[datetime]")) time.textContent = inZone(time.dateTime);
}

// Live parts: `<div id="…" data-live="task memory">` is fetched anew, from the page's own address, when something
// happens to a task or a memory; with `data-live-session` only when it belongs to that session, with `data-live-subject`
// only to that one task. What tells nobody that it changes, as progress does, is looked at every `data-live-seconds`.
// What came while it was being fetched has it fetched once more. A part in which somebody types, or typed what is not
// sent yet, waits: what they read while they typed is what they answer; but for one that has its own way to bring itself
// up to date: `takers[id]`.
// Where many pages are open, the server says over how long they are to spread this.
const AFTER_MS = 40; // several events of one transaction are one change
const AT_ONCE_MS = 500; // up to which nothing is spread
const waiting = new Set();
const takers = {};
const began = Date.now();
const looked = new WeakMap();
let timer = null;
let within = 0;
let fetching = false;

const isTyped = (field) => field === document.activeElement || (field.defaultValue ?? field.value) !== field.value;
const isTypedIn = (part) => part && !takers[part.id] && [...part.querySelectorAll("input, textarea, select")].some(isTyped);

async function refresh() {
  timer = null;
  if (fetching) return;
  fetching = true;
  for (const id of [...waiting]) {
    const part = document.getElementById(id);
    if (isTypedIn(part)) continue;
    waiting.delete(id);
    if (part && takers[id]) await takers[id]();
    else if (part) {
      const where = location.pathname + location.search;
      const open = [...part.querySelectorAll("details[open][id]")].map((details) => details.id);
      await htmx.ajax("GET", where, { source: part, target: part, select: `#${id}`, swap: "outerMorph" });
      for (const details of open) document.getElementById(details)?.setAttribute("open", "");
      countDown();
    }
  }
  fetching = false;
  if ([...waiting].some((id) => document.getElementById(id) && !isTypedIn(document.getElementById(id)))) soon();
}

function soon() {
  timer ??= setTimeout(refresh, AFTER_MS + (within > AT_ONCE_MS ? within * Math.random() : 0));
}

function changed({ type, session, subject }) {
  for (const part of document.querySelectorAll("[data-live]")) {
    const { liveSession, liveSubject } = part.dataset;
    const isMeant = (!liveSession || liveSession === session) && (!liveSubject || liveSubject === subject);
    if (part.dataset.live.split(" ").includes(type.split(".")[0]) && isMeant) waiting.add(part.id);
  }
}

function listen(address) {
  const events = new EventSource(address);
  events.addEventListener("changed", (event) => {
    const told = JSON.parse(event.data);
    within = told.within;
    if (told.changes) told.changes.forEach(changed);
    else for (const part of document.querySelectorAll("[data-live]")) waiting.add(part.id); // too many to name
    if (waiting.size) soon();
  });
  events.addEventListener("open", () => {
    document.body.dataset.listening = "";
  });
  addEventListener("pagehide", () => events.close());
}

if (document.body.dataset.events && document.querySelector("[data-live]")) listen(document.body.dataset.events);
addEventListener("focusout", () => waiting.size && soon());
addEventListener("pageshow", (event) => event.persisted && location.reload()); // back from elsewhere: look again

// What no event tells: `<div id="…" data-again="1000">` is looked at again after so many milliseconds, as long as the
// answer has that attribute, too.
function again() {
  const part = document.querySelector("[data-again]");
  if (!part) return;
  setTimeout(async () => {
    const where = location.pathname + location.search;
    await htmx.ajax("GET", where, { source: part, target: "#main", select: "#main", swap: "outerMorph" });
    again();
  }, Number(part.dataset.again));
}
again();

setInterval(() => {
  for (const part of document.querySelectorAll("[data-live-seconds]")) {
    const due = Date.now() - (looked.get(part) ?? began) >= 1000 * part.dataset.liveSeconds;
    if (!due || document.visibilityState !== "visible") continue;
    looked.set(part, Date.now());
    waiting.add(part.id);
    soon();
  }
  countDown();
}, 1000);

// How long a claim still holds, beside the time until which it does.
function countDown() {
  for (const left of document.querySelectorAll("[data-left]")) {
    const seconds = Math.max(0, Math.ceil((new Date(left.dataset.left) - Date.now()) / 1000));
    const two = (number) => String(number).padStart(2, "0");
    const hours = seconds >= 3600 ? `${Math.floor(seconds / 3600)}:` : "";
    const minutes = Math.floor(seconds / 60) % 60;
    const text = seconds ? `, ${hours}${hours ? two(minutes) : minutes}:${two(seconds % 60)} left` : ", past";
    if (left.textContent !== text) left.textContent = text;
  }
}
countDown();

// Copying.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard;
}
addEventListener("click", async (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
  button.textContent = "Copied";
});
