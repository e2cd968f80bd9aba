"use strict";
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const TOKEN = "facemodels.token";
const OWN_THRESHOLD = 0.25;  // the server's, where a package has none
const FEEDBACK = "api/feedback";
const TASKS = {};  // by task: what the page says, asks and draws
const state = {
  info: null, since: 0, files: [], urls: [], size: null, answer: null, box: null,
  threshold: null, picked: null, running: null, token: remembered(),
};

// --- talking to the server

class Failure extends Error {
  constructor(text, status, id, code = "") {
    super(text);
    this.status = status;
    this.id = id;
    this.code = code;
  }
}

function remembered() {
  try { return sessionStorage.getItem(TOKEN); } catch { return null; }  // storage may be off
}

function remember(token) {
  state.token = token;
  try {
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
  } catch { /* then for as long as the page is open */ }
  $("forgets").hidden = !token;
}

async function call(path, options = {}) {
  const headers = new Headers(options.headers);
  if (state.token) headers.set("authorization", `Bearer ${state.token}`);
  let response, body;
  try {
    response = options.signal ? await send(path, { ...options, headers })
      : await fetch(path, { ...options, headers, cache: "no-store" });
    body = await response.json().catch(() => null);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server cannot be reached, or it broke off.", 0, null);
  }
  if (response.ok && body !== null) {
    if (options.method === "POST" && path !== FEEDBACK) {
      offerThumbs(response.headers.get("x-request-id"), body);
    }
    return body;
  }
  const id = body?.request_id ?? response.headers.get("x-request-id");
  const text = body?.error ?? `The server answered ${response.status}.`;
  throw new Failure(text, response.status, id, body?.code);
}

// --- what the user says of the last answer

function offerThumbs(id, body) {
  state.judged = id && { id, decision: "same_person" in body };
  $("thumbs").hidden = !id;
  $("thumbs-said").textContent = "";
  for (const button of $("thumbs").querySelectorAll("button")) button.disabled = false;
}

async function judge(good) {
  const { id, decision } = state.judged;
  for (const button of $("thumbs").querySelectorAll("button")) button.disabled = true;
  const said = decision ? { verdict: good ? "right" : "wrong" } : { score: good ? 1 : 0 };
  try {
    const headers = { "content-type": "application/json" };
    const body = JSON.stringify({ request_id: id, ...said });
    await call(FEEDBACK, { method: "POST", headers, body });
    $("thumbs-said").textContent = "Thank you. Nothing of the picture was kept.";
  } catch (error) {
    $("thumbs-said").textContent = error.status === 403
      ? "This token may not judge answers." : error.message;
  }
}

// --- small things

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const round = (value, digits = 1) => String(Number(value.toFixed(digits)));

function duration(seconds) {
  const whole = Math.floor(seconds);
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = Math.max(units.findIndex(([size]) => whole >= size), 0) % 4;
  if (whole < 60) return `${whole} s`;
  const [[size, unit], [small, under]] = [units[first], units[first + 1]];
  return `${Math.floor(whole / size)} ${unit} ${Math.floor((whole % size) / small)} ${under}`;
}

function fail(error, again) {
  const box = element("div", "", { class: "card alert" });
  const words = WORDS[error.code];
  box.append(element("p", words ?? error.message));
  if (words) box.append(element("small", error.message), document.createElement("br"));
  if (error.id) box.append(element("small", `Request ${error.id}`));
  if (again && (error.status === 0 || error.status >= 500)) {
    const button = element("button", "Try again", { type: "button" });
    button.addEventListener("click", again);
    box.append(document.createElement("br"), button);
  }
  $("alert").replaceChildren(box);
  if (error.status === 401 || error.status === 403) askForToken(error.status);
}

// --- drawing

/** An empty sheet over the picture, in the picture's pixels. */
function blank() {
  const canvas = shape("svg", {
    viewBox: `0 0 ${state.size.join(" ")}`, preserveAspectRatio: "none", id: "drawing",
  });
  $("stage").querySelector("svg")?.remove();
  $("stage").append(canvas);
  return canvas;
}

function draw() {
  if (!state.answer?.results) {
    $("drawing")?.remove();
    return;
  }
  // pixels of the picture per pixel here; a window may have no width for a moment
  const unit = state.size[0] / ($("stage").clientWidth || state.size[0]);
  TASKS[state.info.task].draw(blank(), unit);
  $("drawing").setAttribute("role", "img");
  $("drawing").setAttribute("aria-label", $("said").textContent);
}
