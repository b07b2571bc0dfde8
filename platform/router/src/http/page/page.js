"use strict";
// Everything that a service sent goes into the page as text, never as markup: titles are written by strangers.
const at = (id) => document.getElementById(id);
const REFRESH_MS = 5000;
const HLS = "application/vnd.apple.mpegurl";

// Behind the hash: what stands there is never sent to a server or proxy.
const given = new URLSearchParams(location.hash.slice(1)).get("token");
if (given !== null) {
  sessionStorage.setItem("token", given);
  // Out of the address bar and the history.
  history.replaceState(null, "", location.pathname);
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

async function ask(path) {
  const token = sessionStorage.getItem("token");
  const headers = token ? { authorization: `Bearer ${token}` } : {};
  const answer = await fetch(path, { headers, cache: "no-store" });
  if (answer.ok) return answer.json();
  const problem = await answer.json().catch(() => ({}));
  const error = new Error(problem.detail || `${path}: ${answer.status}`);
  error.status = answer.status;
  throw error;
}

function note(id, text) {
  at(id).textContent = text;
  at(id).hidden = text === "";
}

function failed(id, error) {
  if (error.status === 401) at("entry").hidden = false;
  note(id, error.message);
}

// --- services ---

function short(name) {
  const parts = name.split(".");
  return parts.length === 2 && parts[1] === "main" ? parts[0] : name;
}

async function showNames() {
  try {
    const { items } = await ask("/api/router/endpoints");
    const rows = items.map((endpoint) => {
      const row = element("tr");
      const name = short(endpoint.name);
      const head = element("th", name);
      head.scope = "row";
      const link = element("a", "openapi.json");
      link.href = `/~${encodeURIComponent(name)}/openapi.json`;
      link.setAttribute("aria-label", `openapi.json of ${name}`);
      const contract = element("td");
      contract.append(link);
      const lease = element("td", `${Math.ceil(endpoint.expires_in_ms / 1000)} s`, "wide");
      row.append(head, element("td", `/~${name}/`), element("td", endpoint.address, "wide"), lease, contract);
      return row;
    });
    // A link that has the focus keeps it.
    const focused = document.activeElement && document.activeElement.getAttribute("href");
    at("names").tBodies[0].replaceChildren(...rows);
    if (focused) [...at("names").querySelectorAll("a")].find((link) => link.getAttribute("href") === focused)?.focus();
    at("names").hidden = rows.length === 0;
    note("names-note", rows.length === 0 ? "No service has registered yet." : "");
  } catch (error) {
    failed("names-note", error);
  }
}

// --- assets ---

let cursor = null;
let shown = new Map();

const poster = (asset) => `/~streaming/${encodeURIComponent(asset.id)}/poster.jpg`;

function clock(ms) {
  const [hours, minutes, seconds] = [ms / 3600000, (ms / 60000) % 60, (ms / 1000) % 60].map(Math.floor);
  const two = (number) => String(number).padStart(2, "0");
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

// What is not conditioned plays as it was uploaded, if players take it so.
function standing(asset) {
  return asset.state === "failed" ? `Conditioning failed: ${asset.error || "no reason was given"}` : "As it was uploaded";
}

function card(asset) {
  const item = element("li");
  const button = element("button");
  button.type = "button";
  const picture = element("span", undefined, "picture");
  const image = element("img");
  image.alt = "";
  image.loading = "lazy";
  image.addEventListener("error", () => image.remove());
  image.src = poster(asset);
  picture.append(image);
  const length = asset.probe && asset.probe.duration_ms;
  if (length) picture.append(element("span", clock(length), "length"));
  button.append(picture, element("span", asset.title || asset.id, "title"));
  if (asset.state !== "ready") button.append(element("span", standing(asset), "standing"));
  button.dataset.asset = asset.id;
  button.addEventListener("click", () => play(asset));
  item.append(button);
  return item;
}

// Cards of assets that have changed since they were drawn; a button that has the focus is left until it has not.
function redraw(assets) {
  for (const asset of assets) {
    if (shown.get(asset.id)?.revision === asset.revision) continue;
    const button = at("assets").querySelector(`button[data-asset="${CSS.escape(asset.id)}"]`);
    if (!button || button === document.activeElement) continue;
    const fresh = card(asset);
    if (button.getAttribute("aria-current")) fresh.firstChild.setAttribute("aria-current", "true");
    button.parentElement.replaceWith(fresh);
    shown.set(asset.id, asset);
  }
}

async function showAssets(more) {
  try {
    const query = new URLSearchParams({ limit: "48" });
    if (more && cursor) query.set("cursor", cursor);
    const page = await ask(`/~metadata/assets?${query}`);
    const fresh = page.items.filter((asset) => !shown.has(asset.id));
    redraw(page.items.filter((asset) => shown.has(asset.id)));
    fresh.forEach((asset) => shown.set(asset.id, asset));
    if (more || shown.size === fresh.length) {
      at("assets").append(...fresh.map(card));
      cursor = page.next_cursor || null;
      at("more").hidden = cursor === null;
    } else {
      at("assets").prepend(...fresh.map(card));
    }
    note("assets-note", shown.size === 0 ? "Nothing yet. Upload something: flame ingest FILE" : "");
    await playLinked();
  } catch (error) {
    failed("assets-note", error);
  }
}

// The asset that the address names, also one too old to be listed.
let linked = location.hash.slice(1);

async function playLinked() {
  const id = linked;
  linked = "";
  if (id === "" || !at("stage").hidden) return;
  try {
    play(shown.get(id) || await ask(`/~metadata/assets/${encodeURIComponent(id)}`));
  } catch (error) {
    failed("assets-note", error);
  }
}

// --- the player ---

function play(asset) {
  const video = at("video");
  const url = new URL(`/~streaming/${encodeURIComponent(asset.id)}/index.m3u8`, location.href).href;
  at("playing").textContent = asset.title || asset.id;
  at("address").value = url;
  at("stage").hidden = false;
  at("copy").textContent = "Copy";
  for (const button of at("assets").querySelectorAll("button")) {
    if (button.dataset.asset === asset.id) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
  at("playing").focus();
  linked = "";
  history.replaceState(null, "", `#${asset.id}`);
  if (video.canPlayType(HLS) === "") {
    video.hidden = true;
    note("trouble", "This browser does not play HLS by itself. Open the address below in ffplay, VLC or Safari.");
    return;
  }
  video.hidden = false;
  note("trouble", "");
  video.poster = poster(asset);
  video.src = url;
  video.play().catch(() => {});
}

at("video").addEventListener("error", () => {
  const reason = at("video").error && at("video").error.message;
  note("trouble", `It cannot be played here${reason ? ` (${reason})` : ""}. Try the address below in ffplay or VLC.`);
});
at("copy").addEventListener("click", async () => {
  at("address").select();
  // Only secure contexts have a clipboard; the text is selected in any case.
  await navigator.clipboard?.writeText(at("address").value).catch(() => {});
  at("copy").textContent = "Copied";
});
at("more").addEventListener("click", () => showAssets(true));
at("entry").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", at("token").value.trim());
  at("token").value = "";
  at("entry").hidden = true;
  refresh();
});

function refresh() {
  // While a token is asked for, asking again gives the same answer.
  if (document.hidden || !at("entry").hidden) return;
  showNames();
  showAssets(false);
}
window.addEventListener("hashchange", () => {
  linked = location.hash.slice(1);
  at("stage").hidden = true;
  playLinked();
});
refresh();
setInterval(refresh, REFRESH_MS);
