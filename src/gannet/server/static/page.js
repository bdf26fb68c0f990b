// The page. Its state is in the URL, so that searches can be shared and the back button works.

import * as api from "./api.js";
import { card, cells, element, frame, moveByArrows, nBits, ones, shortName, thumbnail, visible } from "./view.js";

const { maxBytes, maxResults } = document.body.dataset;
const MAX_RESULTS = Number(maxResults);
const SAMPLE = 24;
const GROUPS_PER_PAGE = 50;
const PREVIEW_SIDE = 288;
const $ = (id) => document.getElementById(id);
const plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
let running = new AbortController();
let preview = null; // the object URL of the query image

// The URL -----------------------------------------------------------------------------------------

function bounded(text, low, high, otherwise) {
  const value = text === null || text === "" ? NaN : Number(text);
  return Number.isInteger(value) ? Math.min(Math.max(value, low), high) : otherwise;
}

function readUrl() {
  const query = new URLSearchParams(location.search);
  return {
    id: query.get("id"),
    code: query.get("code"),
    text: query.get("text"),
    part: query.get("part"),
    k: bounded(query.get("k"), 1, MAX_RESULTS, 50),
    radius: bounded(query.get("radius"), 0, nBits, nBits),
    same: query.has("duplicates") ? bounded(query.get("duplicates"), 0, Number($("same").max), 0) : null,
  };
}

const limitsOf = ({ k, radius, part }) => ({ k, ...(radius < nBits && { radius }), ...(part && { part }) });

/** The code of an image, and, unless its page was opened by its URL, the weights that order the results by score. */
const codeOf = ({ code }) => (history.state?.weights ? { code, weights: history.state.weights, asymmetric: true } : { code });

function urlOfState(state) {
  if (state.same !== null && state.same !== undefined) return `/?duplicates=${state.same}`;
  const query = new URLSearchParams();
  for (const name of ["id", "text", "code"]) if (state[name] !== null && state[name] !== undefined) query.set(name, state[name]);
  for (const [name, value] of Object.entries(limitsOf(state))) query.set(name, value);
  return `/?${query}`;
}

const fromItem = (id) => urlOfState({ ...readUrl(), id, text: null, code: null, same: null });

// Searching ---------------------------------------------------------------------------------------

/** Run a request, cancel the one before it, and show an error if it fails. */
async function run(work) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  $("found").ariaBusy = "true";
  try {
    await work(signal);
    if (!signal.aborted) $("alert").textContent = "";
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof api.Problem)) throw error;
    $("alert").textContent = error.message;
    showCards([]);
    $("groups").replaceChildren();
    $("status").textContent = "";
  } finally {
    if (!signal.aborted) $("found").ariaBusy = "false";
  }
}

function show() {
  const state = readUrl();
  const isSearch = state.same === null;
  $("ask").hidden = !isSearch;
  $("grouping").hidden = isSearch;
  $("more").hidden = true;
  for (const link of document.querySelectorAll("[data-view]")) {
    link.ariaCurrent = (link.dataset.view === "search") === isSearch ? "page" : null;
  }
  setLimits(state);
  if (!isSearch) return run((signal) => showDuplicates(state.same, 0, signal));
  $("groups").replaceChildren();
  if (state.id !== null) return run((signal) => searchItem(state, signal));
  if (state.text !== null) return run((signal) => searchText(state, signal));
  if (state.code !== null) return run((signal) => searchCode(state, signal));
  return run(showSample);
}

async function searchItem(state, signal) {
  const id = bounded(state.id, 0, Number.MAX_SAFE_INTEGER, null);
  if (id === null) throw new api.Problem("The URL holds no valid id: an id is a whole number.");
  const [item, answer] = await Promise.all([api.item(id, signal), api.search({ id }, limitsOf(state), signal)]);
  showQuestion(shortName(item.path), visible(item.path), item.code, frame(thumbnail(id), shortName(item.path), visible(item.path)));
  showAnswer(answer, id);
}

async function searchCode(state, signal) {
  const answer = await api.search(codeOf(state), limitsOf(state), signal);
  const { name, picture } = history.state ?? {};
  const shown = picture ? frame(urlOf(picture), name, name) : null;
  showQuestion(name ?? "An image from an earlier search", picture ? "" : "The URL contains the code of the image, not the image.", answer.code, shown);
  showAnswer(answer, null);
}

async function searchText(state, signal) {
  $("status").textContent = "Searching …";
  const answer = await api.search({ text: state.text }, limitsOf(state), signal);
  showQuestion(`“${visible(state.text)}”`, "", answer.code, null);
  showAnswer(answer, null);
}

async function searchImage(file) {
  const state = readUrl();
  if (file.size > Number(maxBytes)) {
    $("alert").textContent = `The image is larger than ${Number(maxBytes) >> 20} MB.`;
    return;
  }
  $("ask").hidden = false;
  $("grouping").hidden = true;
  $("status").textContent = "Searching …";
  await run(async (signal) => {
    const answer = await api.search({ image: file }, limitsOf(state), signal);
    const kept = { name: visible(file.name), picture: await shrink(file), weights: answer.weights };
    history.pushState(kept, "", urlOfState({ ...state, id: null, text: null, code: answer.code, same: null }));
    await show();
    $("title").focus({ preventScroll: true });
    scrollTo(0, 0);
  });
}

/** Return a small copy of an image for the page and its history, or null if the browser cannot decode it. */
async function shrink(file) {
  try {
    const whole = await createImageBitmap(file);
    const scale = Math.min(1, PREVIEW_SIDE / Math.max(whole.width, whole.height));
    const canvas = new OffscreenCanvas(Math.max(1, whole.width * scale), Math.max(1, whole.height * scale));
    canvas.getContext("2d").drawImage(whole, 0, 0, canvas.width, canvas.height);
    return await canvas.convertToBlob();
  } catch {
    return null;
  }
}

function urlOf(picture) {
  if (preview) URL.revokeObjectURL(preview);
  preview = URL.createObjectURL(picture);
  return preview;
}

async function showSample(signal) {
  const { items } = await api.sample(SAMPLE, signal);
  showQuestion("Find similar images", "Use any image. It need not be in the collection.", null, null);
  $("status").textContent = items.length ? "Or start from one of these" : "The collection is empty";
  showCards(items.map((item) => card(item, fromItem(item.id), false)));
}

async function showDuplicates(radius, offset, signal) {
  if (offset === 0) {
    showCards([]);
    $("groups").replaceChildren();
    $("status").textContent = "Searching for near-duplicates …";
  }
  const { total, groups } = await api.duplicates(radius, offset, GROUPS_PER_PAGE, signal);
  $("status").textContent = total ? plural(total, "group") : "No near-duplicates within this radius";
  $("groups").append(...groups.map(groupOf));
  const shown = $("groups").children.length;
  $("more").hidden = shown >= total;
  $("more").onclick = () => run((next) => showDuplicates(radius, shown, next));
}

function groupOf({ size, items }) {
  const rest = size > items.length ? `, the first ${items.length} shown` : "";
  const grid = element("ol", { className: "grid" }, ...items.map((item) => card(item, fromItem(item.id), false)));
  return element("li", { className: "group" }, element("h3", { textContent: plural(size, "item") + rest }), grid);
}

// Display -----------------------------------------------------------------------------------------

function showQuestion(title, path, code, picture) {
  $("title").textContent = title;
  $("path").textContent = path;
  const framed = picture ?? element("span", { className: "frame missing" }, element("span", { textContent: code ? "No image" : "Drop an image" }));
  framed.id = "asked";
  $("asked").replaceWith(framed);
  $("code").replaceChildren(...(code ? [cells(ones(code), "ones")] : []));
  document.body.classList.toggle("asking", code !== null);
}

function showAnswer({ results, compared: [first, end] }, id) {
  const distances = results.map((item) => item.distance);
  const [near, far] = [Math.min(...distances), Math.max(...distances)];
  const order = results[0]?.score === undefined ? "" : ", in the order of their scores";
  $("status").textContent = results.length
    ? `${plural(results.length, "result")}, ${near === far ? "" : `${near} to `}${plural(far, "bit")} away${order}`
    : "No results within this radius: increase it";
  showCards(results.map((item) => card(item, fromItem(item.id), item.id === id, end - first)));
}

function showCards(cards) {
  $("grid").replaceChildren(...cards);
}

// The sliders -------------------------------------------------------------------------------------

// The scale is logarithmic: small numbers of results can be chosen more precisely.
const toSlider = (k) => Math.round((100 * Math.log(k)) / Math.log(MAX_RESULTS));
const fromSlider = (place) => Math.round(MAX_RESULTS ** (place / 100));
const same = Number;
const LIMITS = [
  ["k", toSlider, fromSlider],
  ["radius", same, same],
  ["same", same, same],
];

function setLimits(state) {
  if ($("part")) $("part").value = state.part ?? "";
  if ($("text") && document.activeElement !== $("text")) $("text").value = state.text ?? "";
  for (const [name, toPlace] of LIMITS) {
    if (state[name] === null) continue;
    if (document.activeElement !== $(name)) $(name).value = state[name];
    if (document.activeElement !== $(`${name}-slider`)) $(`${name}-slider`).value = toPlace(state[name]);
    $(`${name}-slider`).ariaValueText = String(state[name]);
  }
}

let waiting;
function setLimit(name, value) {
  const state = { ...readUrl(), [name]: value };
  setLimits(state);
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    history.replaceState(history.state, "", urlOfState(state));
    show();
  }, 120);
}

for (const [name, , fromPlace] of LIMITS) {
  const field = $(name);
  $(`${name}-slider`).addEventListener("input", (event) => setLimit(name, fromPlace(event.target.value)));
  field.addEventListener("input", () => {
    if (field.checkValidity() && field.value !== "") setLimit(name, Number(field.value));
  });
  field.addEventListener("blur", () => setLimits(readUrl()));
}

$("part")?.addEventListener("change", (event) => setLimit("part", event.target.value));

// Events ------------------------------------------------------------------------------------------

function goTo(url) {
  history.pushState(null, "", url);
  show().then(() => {
    scrollTo(0, 0);
    $(readUrl().same === null ? "title" : "grouping-title").focus({ preventScroll: true });
  });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.pick, a[data-view]");
  const isPlain = !event.metaKey && !event.ctrlKey && !event.shiftKey && event.button === 0;
  if (link && isPlain) {
    event.preventDefault();
    goTo(link.getAttribute("href"));
  }
  const button = event.target.closest("button.remove");
  if (button) confirmRemoval(button);
});

function confirmRemoval(button) {
  const dialog = $("confirm");
  $("confirm-name").textContent = button.dataset.path;
  dialog.returnValue = "cancel";
  dialog.onclose = () => dialog.returnValue === "remove" && remove(button);
  dialog.showModal();
}

async function remove(button) {
  try {
    await api.remove(button.dataset.id);
  } catch (error) {
    $("alert").textContent = error.message;
    return;
  }
  const gone = button.closest(".item");
  const next = gone.nextElementSibling ?? gone.previousElementSibling;
  $("status").textContent = `Removed ${button.dataset.path}`;
  gone.remove();
  (next?.querySelector(".pick") ?? $("found")).focus();
}

const fileIn = (data) => [...(data?.files ?? [])].find((file) => file.type.startsWith("image/"));

$("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) searchImage(file);
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  const file = fileIn(event.clipboardData);
  if (file) searchImage(file);
});
addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  document.body.classList.remove("dropping");
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  const file = fileIn(event.dataTransfer);
  if (file) searchImage(file);
  else $("alert").textContent = "This file is not an image. Drop a JPEG, PNG, WebP, GIF, BMP or TIFF file.";
});
document.addEventListener("keydown", moveByArrows);
document.addEventListener("submit", (event) => {
  if (event.target.method === "dialog") return;
  event.preventDefault();
  const text = $("text")?.value.trim();
  if (event.target === $("ask") && text) goTo(urlOfState({ ...readUrl(), id: null, text, code: null, same: null }));
});
addEventListener("popstate", show);
show();
