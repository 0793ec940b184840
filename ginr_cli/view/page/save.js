// The form that saves, and the queue.

import { address, post } from "./server.js";

const at = id => document.getElementById(id);
const LABELS = { scale: ["Factor", "2"], size: ["Pixels", "3840x"], print: ["Paper", "A4"] };
const items = new Map();

export function saving({ entries, current, look, visible, problem }) {
  const order = numbers => ({
    entries: numbers, size_by: at("size-by").value, size: at("size").value, dpi: at("dpi").value,
    format: at("format").value, quality: at("quality").value,
    box: at("part").checked && numbers.length === 1 ? visible() : null, ...look(),
  });
  const send = async (path, numbers) => post(path, {}, JSON.stringify(order(numbers)));
  let latest = 0;

  // Say how large the result will be.
  async function size() {
    const turn = ++latest, note = at("sizes");
    if (!current()) { note.textContent = ""; return; }
    try {
      const { sizes: [[width, height]] } = await send("size", [current().id]);
      if (turn !== latest) return;
      note.textContent = `${width} × ${height} pixels`;
      note.classList.remove("bad");
    } catch (failure) {
      if (turn !== latest) return;
      note.textContent = failure.message;
      note.classList.add("bad");
    }
  }

  async function save(numbers) {
    try { await send("save", numbers); } catch (failure) { problem(failure); }
  }

  at("size-by").addEventListener("change", () => {
    [at("size-label").textContent, at("size").value] = LABELS[at("size-by").value];
    at("dpi-label").hidden = at("size-by").value !== "print";
  });
  at("format").addEventListener("change", () => {
    at("quality-label").hidden = !["jpg", "webp"].includes(at("format").value);
  });
  at("save").addEventListener("input", size);
  at("save").addEventListener("submit", event => {
    event.preventDefault();
    if (current()) save([current().id]);
  });
  at("save-all").addEventListener("click", () => save(entries()));
  return { size };
}

// Show what has become of a picture in the queue.
export function showSaving(values) {
  let item = items.get(values.id);
  if (values.state === "gone") {
    item?.remove();
    items.delete(values.id);
    return;
  }
  if (!item) {
    item = document.createElement("li");
    items.set(values.id, item);
    at("queue").append(item);
  }
  const name = document.createElement(values.state === "done" ? "a" : "span");
  name.className = "name";
  name.textContent = values.name;
  const away = document.createElement("button");
  away.className = "away";
  away.textContent = "×";
  away.setAttribute("aria-label", `Remove ${values.name} from the queue`);
  away.addEventListener("click", () => post("drop", { id: values.id }));
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = [values.error ?? { waiting: "waits for its turn", working: "", done: "done" }[values.state],
    ...values.notes].filter(Boolean).join("; ");
  const parts = [name, away];
  if (values.state === "working") {
    const bar = document.createElement("progress");
    bar.value = values.share;
    bar.setAttribute("aria-label", `${values.name}, saving`);
    parts.push(bar);
  }
  if (note.textContent) parts.push(note);
  item.classList.toggle("bad", values.state === "failed");
  item.replaceChildren(...parts);
  if (values.state === "done") {
    name.href = address("result", { id: values.id });
    name.download = values.name;
    name.click();
  }
}

export const clearQueue = () => { items.clear(); at("queue").replaceChildren(); };
