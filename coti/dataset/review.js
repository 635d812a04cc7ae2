"use strict";
// What is shown is what this page said last, until the server has it; then what the server says.
const grid = document.getElementById("grid");
const cards = new Map();
const waiting = []; // decisions that the server has not acknowledged, the oldest first
let images = [], said = {}, shown = "all", current = null, sending = false, who = "", made = 0;
const WORDS = { keep: "Kept", drop: "Dropped", "": "Undecided" };

function make(tag, name, text) {
  const found = document.createElement(tag);
  if (name) found.className = name;
  if (text) found.textContent = text;
  return found;
}

function stateOf(image) {
  const found = { ...(said[image] || {}) };
  for (const each of waiting) if (each.image === image) {
    const kind = each.what === "rating" || each.what === "caption" ? each.what : "verdict";
    found[kind] = kind !== "verdict" ? each.value : each.what === "undecided" ? "" : each.what;
    found.who = who;
  }
  return found;
}

function card(row) {
  const box = make("li", "card");
  const image = make("img");
  image.alt = row.caption.slice(0, 120) || row.name;
  image.loading = "lazy";
  image.decoding = "async";
  image.src = "image/" + row.image;
  const word = make("p", "word"), text = make("p", "caption");
  const scores = Object.entries(row.scores).map(([name, value]) => `${name} ${value}`).join(" · ");
  const about = make("p", "soft", `${row.order ? `${row.order}.` : row.why} ${scores}`);
  const does = make("div", "do");
  for (const [label, what] of [["Keep", "keep"], ["Drop", "drop"], ["Undecided", "undecided"]]) {
    const button = make("button", "", label);
    button.type = "button";
    button.dataset.what = what;
    button.setAttribute("aria-label", `${label} image ${row.order || row.name}`);
    button.addEventListener("click", () => { choose(row.image); decide(row.image, what, ""); });
    does.append(button);
  }
  const rating = make("select");
  rating.setAttribute("aria-label", `Rating of image ${row.order || row.name}`);
  for (const value of ["", ...Array(11).keys()]) {
    const option = make("option", "", value === "" ? "rate" : String(value));
    option.value = String(value);
    rating.append(option);
  }
  rating.addEventListener("change", () => decide(row.image, "rating", rating.value));
  const caption = make("button", "", "Caption");
  caption.type = "button";
  caption.setAttribute("aria-label", `Caption of image ${row.order || row.name}`);
  caption.addEventListener("click", () => { choose(row.image); recaption(); });
  does.append(rating, caption);
  box.append(image, about, word, text, does);
  box.addEventListener("click", () => choose(row.image));
  grid.append(box);
  cards.set(row.image, { box, word, text, rating, row });
}

function draw(image) {
  const { box, word, text, rating, row } = cards.get(image), state = stateOf(image);
  const verdict = state.verdict || "";
  box.dataset.verdict = verdict;
  box.hidden = shown !== "all" && (shown === "undecided" ? verdict !== "" : verdict !== shown);
  const rated = state.rating ? ` · ${Number(state.rating)} of 10` : "";
  word.textContent = WORDS[verdict] + rated + (state.who ? ` · ${state.who}` : "");
  text.textContent = state.caption || row.caption;
  const value = state.rating ? String(Math.round(Number(state.rating))) : "";
  if (document.activeElement !== rating) rating.value = value;
  box.querySelectorAll("[data-what]").forEach((each) => {
    const on = (each.dataset.what === "undecided" ? "" : each.dataset.what) === verdict;
    each.setAttribute("aria-pressed", String(on));
  });
}

function drawAll() {
  const counts = { keep: 0, drop: 0, "": 0 };
  for (const row of images) {
    draw(row.image);
    counts[stateOf(row.image).verdict || ""] += 1;
  }
  document.getElementById("counts").textContent =
    `${images.length} images: ${counts.keep} kept, ${counts.drop} dropped, ${counts[""]} undecided` +
    (waiting.length ? ` · ${waiting.length} not saved yet` : " · all saved");
  document.getElementById("nothing").hidden = visible().length > 0;
}

function visible() { return images.filter((row) => !cards.get(row.image).box.hidden); }

function choose(image) {
  if (current) cards.get(current).box.classList.remove("current");
  current = image;
  const { box } = cards.get(image);
  box.classList.add("current");
  box.scrollIntoView({ block: "nearest" });
}

function move(step) {
  const rows = visible();
  if (!rows.length) return;
  const place = rows.findIndex((row) => row.image === current);
  const next = place < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, place + step));
  choose(rows[next].image);
}

function columns() {
  return getComputedStyle(grid).gridTemplateColumns.split(" ").length;
}

function decide(image, what, value) {
  const rows = visible(), place = rows.findIndex((row) => row.image === image);
  made += 1;
  waiting.push({ image, what, value });
  drawAll();
  if (cards.get(image).box.hidden && image === current) { // it left this view: on to the next
    const left = visible();
    if (left.length) choose(left[Math.min(Math.max(place, 0), left.length - 1)].image);
  }
  send();
}

function trouble(text) {
  const box = document.getElementById("trouble");
  box.hidden = !text;
  box.textContent = text;
}

async function send() {
  if (sending) return;
  sending = true;
  try {
    while (waiting.length) {
      const first = waiting[0];
      const answer = await fetch("decide", { method: "POST", body: JSON.stringify(first) });
      const found = await answer.json();
      if (answer.status === 400) { waiting.shift(); trouble(found.error); continue; }
      if (!answer.ok) throw new Error(found.error);
      const own = { ...(said[first.image] || {}), ...stateAfter(first), who: found.who };
      said = { ...said, [first.image]: own };
      waiting.shift();
      trouble("");
    }
  } catch (error) {
    trouble(`${waiting.length} not saved, tried again every 2 seconds: ${error.message}. ` +
      "Keep this page open.");
    setTimeout(send, 2000);
  } finally {
    sending = false;
    drawAll();
  }
}

function stateAfter({ what, value }) {
  if (what === "rating" || what === "caption") return { [what]: value };
  return { verdict: what === "undecided" ? "" : what };
}

function recaption() {
  if (!current) return;
  const box = document.getElementById("caption-text");
  box.value = stateOf(current).caption || cards.get(current).row.caption;
  document.getElementById("caption").showModal();
  box.focus();
}

function saveCaption() {
  const text = document.getElementById("caption-text").value.trim();
  document.getElementById("caption").close();
  if (text !== (stateOf(current).caption || "")) decide(current, "caption", text);
}

function filter(which) {
  shown = which;
  document.querySelectorAll("[data-filter]").forEach((each) =>
    each.setAttribute("aria-pressed", String(each.dataset.filter === which)));
  drawAll();
  const rows = visible();
  if (rows.length && !rows.some((row) => row.image === current)) choose(rows[0].image);
}

const MOVES = { ArrowLeft: () => -1, ArrowRight: () => 1,
  ArrowUp: () => -columns(), ArrowDown: () => columns() };
const VERDICTS = { k: "keep", d: "drop", u: "undecided" };

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("textarea, select, dialog[open]");
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.toLowerCase();
  if (event.key in MOVES) move(MOVES[event.key]());
  else if (event.key === "?") document.getElementById("help").showModal();
  else if (!current) return;
  else if (key in VERDICTS) decide(current, VERDICTS[key], "");
  else if (/^[0-9]$/.test(key)) decide(current, "rating", key);
  else if (key === "x") decide(current, "rating", "10");
  else if (key === "backspace") decide(current, "rating", "");
  else if (key === "c") recaption();
  else return;
  event.preventDefault();
});
document.querySelectorAll("[data-filter]").forEach((each) =>
  each.addEventListener("click", () => filter(each.dataset.filter)));
for (const name of ["help", "caption"])
  document.getElementById(name + "-close").addEventListener("click", () =>
    document.getElementById(name).close());
document.getElementById("help-button").addEventListener("click", () =>
  document.getElementById("help").showModal());
document.getElementById("caption-save").addEventListener("click", saveCaption);
document.getElementById("caption-text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey) { event.preventDefault(); saveCaption(); }
});
addEventListener("beforeunload", (event) => { if (waiting.length) event.preventDefault(); });

async function asked(what) {
  const answer = await fetch(what), found = await answer.json();
  if (!answer.ok) throw new Error(found.error);
  return found;
}

async function poll() {
  try {
    const before = made, quiet = !waiting.length && !sending, found = await asked("decisions");
    // What was asked before our own last word does not count.
    if (quiet && made === before) { said = found; trouble(""); drawAll(); }
  } catch (error) {
    if (!waiting.length) trouble(`The server does not answer: ${error.message}.`);
  }
  setTimeout(poll, 2000);
}

(async () => {
  try {
    const found = await asked("images");
    who = found.who;
    images = found.images;
    document.title = `Review: ${found.concept}`;
    document.getElementById("concept").textContent = `${found.concept}: review by ${who}`;
    said = await asked("decisions");
    images.forEach(card);
    drawAll();
    if (images.length) choose(images[0].image);
    setTimeout(poll, 2000);
  } catch (error) {
    trouble(`The page cannot be filled: ${error.message}. Load it again.`);
  }
})();
