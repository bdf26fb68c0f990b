// Elements of the page. File names are untrusted, so they are only ever set as text.

const SVG = "http://www.w3.org/2000/svg";
const CELLS_PER_ROW = 32;
const CHANGED = "changed since it was indexed";
const TINY = 64; // images up to this side are enlarged to crisp pixels instead of a blur
const { bits, key, editable } = document.body.dataset;
export const nBits = Number(bits);
const columns = Math.min(nBits, CELLS_PER_ROW);
const rows = Math.ceil(nBits / CELLS_PER_ROW);

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  Object.assign(made, properties);
  made.append(...children);
  return made;
}

/** Spell out invisible characters, with which one name can imitate another. */
export function visible(name) {
  return name.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (found) =>
    /[\u200c\u200d]/.test(found) ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Return the last two parts of a path: the folder and the file. */
export const shortName = (path) => visible(path.split("/").slice(-2).join("/"));

/** Draw one cell per bit, in rows, and fill the cells of the bits in `marked`. */
export function cells(marked, kind) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `cells ${kind}`);
  svg.setAttribute("viewBox", `0 0 ${5 * columns - 1} ${9 * rows - 1}`);
  svg.setAttribute("aria-hidden", "true");
  for (const [name, shown] of [["track", [...Array(nBits).keys()]], ["fill", marked]]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", name);
    path.setAttribute("d", shown.map((bit) => `M${5 * (bit % columns)} ${9 * Math.floor(bit / columns)}h4v8h-4z`).join(""));
    svg.append(path);
  }
  return svg;
}

/** Return the positions of the 1 bits in a hexadecimal code. */
export function ones(code) {
  const digits = [...code].flatMap((digit) => [...parseInt(digit, 16).toString(2).padStart(4, "0")]);
  return digits.slice(0, nBits).flatMap((digit, bit) => (digit === "1" ? [bit] : []));
}

/** Return a framed image, or a frame with the name if the image cannot be loaded. */
export function frame(source, name, path) {
  const image = element("img", { alt: "", loading: "lazy", decoding: "async", width: 144, height: 144 });
  const made = element("span", { className: "frame", title: path }, image);
  image.addEventListener("load", () => {
    if (Math.max(image.naturalWidth, image.naturalHeight) <= TINY) image.classList.add("pixels");
  });
  image.addEventListener("error", async () => {
    made.classList.add("missing");
    made.replaceChildren(element("span", { ariaHidden: "true", textContent: name }));
    if (await hasChanged(source)) made.append(element("span", { className: "changed", textContent: CHANGED }));
  });
  image.src = source;
  return made;
}

/** Tell whether the image of an item is refused because its file has changed. */
async function hasChanged(source) {
  try {
    const { detail } = await (await fetch(source)).json();
    return detail.includes(CHANGED);
  } catch {
    return false; // an image from this computer, or a server that is gone
  }
}

// The key differs between collections, so that the browser's cache never shows a thumbnail of another one.
export const thumbnail = (id) => `/items/${id}/thumbnail?${new URLSearchParams({ key })}`;

/** Return an item of a grid: a link that searches by the item, with its distance in the compared bits if it is a result. */
export function card(item, url, isQuery, nCompared) {
  const name = shortName(item.path);
  const link = element("a", { className: "pick", href: url }, frame(thumbnail(item.id), name, visible(item.path)));
  link.dataset.id = item.id;
  if (item.distance !== undefined) {
    const line = element("span", { className: "distance" }, element("b", { textContent: item.distance }));
    line.append(` of ${nCompared} ${nCompared === 1 ? "bit" : "bits"}`, element("span", { className: "unseen", textContent: " differ. " }));
    const which = item.differing_bits.length ? `Positions of the differing bits, from 0: ${item.differing_bits.join(", ")}` : "No bit differs";
    if (item.score !== undefined) line.append(`, score ${item.score.toFixed(3)}`);
    link.append(line, element("span", { className: "strip", title: which }, cells(item.differing_bits, "differing")));
  }
  link.append(element("span", { className: "label" }, element("bdi", { textContent: name })));
  const made = element("li", { className: isQuery ? "item self" : "item" }, link);
  if (isQuery) link.append(element("span", { className: "eyebrow", textContent: "the query itself" }));
  if (editable !== undefined) {
    const button = element("button", { type: "button", className: "remove", textContent: "Remove" });
    button.setAttribute("aria-label", `Remove ${name}`);
    button.dataset.id = item.id;
    button.dataset.path = visible(item.path);
    made.append(button);
  }
  return made;
}

/** Move the focus among the links of a grid with the arrow keys, whatever the number of columns. */
export function moveByArrows(event) {
  const link = event.target.closest(".pick");
  const grid = link?.closest(".grid");
  if (!grid || event.altKey || event.ctrlKey || event.metaKey) return;
  const links = [...grid.querySelectorAll(".pick")];
  const across = getComputedStyle(grid).gridTemplateColumns.split(" ").length;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across }[event.key];
  const at = links.indexOf(link);
  const next = { Home: links[0], End: links.at(-1) }[event.key] ?? (step && links[at + step]);
  if (!next) return;
  event.preventDefault();
  next.focus();
}
