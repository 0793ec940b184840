// The page: what the controls do, and what the server says.

import { gestures, keys } from "./gestures.js";
import { clearQueue, saving, showSaving } from "./save.js";
import { listen, post } from "./server.js";
import { showSpot } from "./spot.js";
import { Stage } from "./stage.js";

const at = id => document.getElementById(id);
const entries = new Map();
let facts = { max_upload: Infinity, max_scale: 240, restores: true };
let current = null;
let status = "encoding";  // what the server does until it tells how far it is

const look = () => {
  const auto = at("auto").checked || at("restoring").disabled;
  return Object.fromEntries([["restore", "strength"], ["detail", "detail"]].map(([name, id]) => [name, auto ? "auto" : at(id).value]));
};

const view = new Stage(at("stage"), at("canvas"), {
  mostZoom: () => facts.max_scale,
  problem,
  moved() { at("zoom").textContent = `×${view.zoom.toPrecision(3)}`; resize(); },
  drawn(isSharp) {
    const busy = !isSharp && view.zoom > 1 && current && !current.isEncoded;
    at("badge").hidden = !busy;
    if (busy) at("badge").textContent = current.all ? `encoding, ${percent(current)}` : status;
    const words = `${current.name}, ${current.width} by ${current.height} pixels, zoom ${view.zoom.toPrecision(3)}`;
    if (at("stage").ariaLabel !== words) at("stage").ariaLabel = words;
    if (isSharp) say(`sharp at zoom ${view.zoom.toPrecision(3)}`);
    if (isSharp && view.zoom <= 1) encodeAhead();
  },
});
const { size } = saving({
  entries: () => [...entries.keys()], current: () => current, look, visible: () => view.visible(), problem,
});
let waiting = 0;
function resize() { clearTimeout(waiting); waiting = setTimeout(size, 200); }

const percent = ({ done, all }) => `${Math.floor(100 * done / all)}%`;
function say(words) { if (at("status").textContent !== words) at("status").textContent = words; }

function problem(failure) {
  const item = document.createElement("li"), close = document.createElement("button");
  const words = failure.message ?? failure;
  if ([...at("problems").children].some(other => other.firstChild.textContent === words)) return;
  close.textContent = "×";
  close.ariaLabel = "Dismiss";
  close.addEventListener("click", () => item.remove());
  item.append(document.createTextNode(words), close);
  at("problems").append(item);
}

// Pictures

async function open(files) {
  for (const file of files) {
    if (file.size > facts.max_upload) {
      problem(`${file.name} is over ${facts.max_upload / 2 ** 30} GiB: name it on the command line`);
      continue;
    }
    say(`opening ${file.name}`);
    try {
      const { id } = await post("open", { name: file.name }, file);
      opened = id;
      if (entries.has(id)) select(id);
    } catch (failure) {
      problem(failure);
    }
  }
}
let opened = null;  // the picture to show when the server tells of it

function select(id) {
  current = entries.get(id) ?? null;
  for (const [number, entry] of entries) {
    entry.item.classList.toggle("current", number === id);
    entry.item.firstChild.ariaCurrent = number === id ? "true" : null;
  }
  at("welcome").hidden = Boolean(current);
  at("handle").hidden = !current;
  showNotes();
  at("save").querySelector("button").disabled = !current;
  at("restoring").disabled = !facts.restores || Boolean(current?.is_field);
  if (!current) { at("stage").ariaLabel = "No picture"; at("zoom").textContent = "–"; at("badge").hidden = true; }
  view.look = look();
  view.show(current);
  if (current) at("stage").focus();
  resize();
}

function showNotes() {
  at("seen").textContent = current ? [current.seen, ...current.notes].filter(Boolean).join("; ") : "";
}

function show(entry) {
  const item = document.createElement("li");
  const name = document.createElement("button"), away = document.createElement("button");
  name.className = "name";
  name.textContent = name.title = entry.name;
  name.addEventListener("click", () => select(entry.id));
  away.className = "away";
  away.textContent = "×";
  away.ariaLabel = `Close ${entry.name}`;
  away.addEventListener("click", () => close(entry.id));
  const note = document.createElement("p"), bar = document.createElement("progress");
  note.className = "note";
  note.textContent = `${entry.width} × ${entry.height}${entry.is_field ? ", saved field" : ""}`;
  bar.ariaLabel = `${entry.name}, encoding`;
  bar.hidden = true;
  item.append(name, away, note, bar);
  at("entries").append(item);
  entries.set(entry.id, { ...entry, item, bar, isEncoded: entry.is_field, seen: "", notes: [] });
  at("save-all").hidden = entries.size < 2;
  at("save-all").textContent = `Save all ${entries.size}`;
  if (!current || opened === entry.id) select(entry.id);
}

async function close(id) {
  await post("remove", { id }).catch(problem);
  entries.get(id).item.remove();
  entries.delete(id);
  at("save-all").hidden = entries.size < 2;
  at("save-all").textContent = `Save all ${entries.size}`;
  if (current?.id === id) select([...entries.keys()].at(-1));
}

function next() {
  const ids = [...entries.keys()];
  if (ids.length) select(ids[(ids.indexOf(current?.id) + 1) % ids.length]);
}

// Events

let lost = null;
listen({
  hello(values) {
    facts = values;
    if (!values.is_new) return;  // the stream broke off for a moment
    if (!at("format").length) at("format").append(...Object.entries(values.formats).map(([suffix, name]) =>
      new Option(name, suffix)));
    entries.clear();
    at("entries").replaceChildren();
    clearQueue();
    select(null);
  },
  entry: show,
  encoded({ id, done, all }) {
    const entry = entries.get(id);
    if (!entry) return;
    Object.assign(entry, { done, all, isEncoded: done === all });
    entry.bar.hidden = entry.isEncoded;
    entry.bar.value = done / all;
    if (entry === current) view.redraw();
  },
  note({ id, kind, text }) {
    const entry = entries.get(id);
    if (kind === "status") say(status = text);
    if (!entry || kind === "status") return;
    if (kind === "look") entry.seen = text; else entry.notes.push(text);
    if (entry === current) showNotes();
  },
  saving: showSaving,
  problem: ({ text }) => problem(text),
  lost() {
    lost ??= setTimeout(() => problem("ginr cannot be reached: was it ended?"), 1000);
  },
  found() {
    clearTimeout(lost);
    lost = null;
  },
});

// Controls

// Above zoom 1 the tiles themselves ask for the field.
function encodeAhead() {
  const key = JSON.stringify(look());
  if (current.isEncoded || current.ahead === key) return;
  current.ahead = key;
  post("ahead", { id: current.id, ...look() }).catch(problem);
}

function setSplit(share) {
  view.split = Math.min(1, Math.max(0, share));
  at("split").value = 100 * view.split;
  at("split-value").textContent = `${Math.round(100 * view.split)}% bicubic`;
  at("handle").style.left = `${100 * view.split}%`;
  view.moved();
}
at("split").addEventListener("input", () => setSplit(at("split").value / 100));
setSplit(.5);

function encodeAgain() {
  for (const id of ["strength", "detail"]) {
    at(id).disabled = at("auto").checked;
    at(`${id}-value`).textContent = at("auto").checked ? "auto" : Number(at(id).value).toFixed(2);
  }
  if (current) {
    if (!current.is_field) current.isEncoded = false;
    view.encodeAs(look());
  }
}
at("auto").addEventListener("change", encodeAgain);
for (const id of ["strength", "detail"]) {
  at(id).addEventListener("change", encodeAgain);
  at(id).addEventListener("input", () => {
    at(`${id}-value`).textContent = Number(at(id).value).toFixed(2);
  });
}

const centre = () => {
  const frame = at("stage").getBoundingClientRect();
  return [frame.left + frame.width / 2, frame.top + frame.height / 2];
};
function lookClosely(place) { if (current && at("lps").checked) showSpot(current, look(), view.placeAt(...place)); }
at("lps").addEventListener("change", () => {
  at("spot").hidden = !at("lps").checked;
  at("stage").classList.toggle("looking", at("lps").checked);
  lookClosely(centre());
});
let hovering = 0;
at("stage").addEventListener("pointermove", event => {
  clearTimeout(hovering);
  hovering = setTimeout(() => lookClosely([event.clientX, event.clientY]), 60);
});
at("stage").addEventListener("keyup", () => lookClosely(centre()));

at("in").addEventListener("click", () => current && view.zoomBy(1.25));
at("out").addEventListener("click", () => current && view.zoomBy(.8));
at("fit").addEventListener("click", () => current && view.fit());
at("one").addEventListener("click", () => current && view.zoomBy(1 / view.zoom));
at("add").addEventListener("click", () => at("file").click());
at("file").addEventListener("change", () => { open([...at("file").files]); at("file").value = ""; });
addEventListener("dragover", event => { event.preventDefault(); document.body.classList.add("dropping"); });
addEventListener("dragleave", event => { if (!event.relatedTarget) document.body.classList.remove("dropping"); });
addEventListener("drop", event => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  open([...event.dataTransfer.files]);
});
gestures(at("stage"), view, at("handle"), setSplit);
keys(view, {
  setSplit, always: { o: () => at("file").click(), n: next, l: () => at("lps").click() },
});
