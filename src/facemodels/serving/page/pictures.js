function zone(title, index) {
  const label = element("label", "", { class: "zone" });
  const input = element("input", "", {
    type: "file", class: "away", accept: "image/jpeg,image/png,image/webp,image/bmp",
    "aria-label": `${title}: choose a file`,
  });
  input.multiple = TASKS[state.info.task].zones.length > 1;
  input.addEventListener("change", () => {
    take([...input.files], index);
    input.value = "";  // the same file once more is a change again
  });
  const icon = shape("svg", {
    viewBox: "0 0 32 32", fill: "none", stroke: "currentColor", "stroke-width": 2,
    "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  });
  icon.append(shape("path", {
    d: "M4 11V7a3 3 0 0 1 3-3h4M21 4h4a3 3 0 0 1 3 3v4M28 21v4a3 3 0 0 1-3 3h-4"
      + "M11 28H7a3 3 0 0 1-3-3v-4M12 13v1M20 13v1M12 20q4 3.5 8 0",
  }));
  const words = element("span");
  words.append(element("b", "Choose"), ` or drop ${input.multiple ? "the" : "a"} `,
    title.toLowerCase());
  const more = element("small", "or paste one: JPEG, PNG, WebP, BMP");
  label.append(input, icon, words, more);
  label.addEventListener("dragenter", () => label.classList.add("over"));
  label.addEventListener("dragleave", (event) => {
    if (!label.contains(event.relatedTarget)) label.classList.remove("over");
  });
  label.dataset.index = index;
  return label;
}

function take(files, index) {
  if (!files.length) return;
  const slots = TASKS[state.info.task].zones.length;
  for (const [offset, file] of files.slice(0, slots).entries()) {
    const slot = (index + offset) % slots;
    if (state.urls[slot]) URL.revokeObjectURL(state.urls[slot]);
    state.files[slot] = file;
    state.urls[slot] = URL.createObjectURL(file);
  }
  state.box = null;
  run();
}

/** Where a picture goes that was not aimed at a zone. */
function free() {
  const focused = document.activeElement?.closest?.(".zone");
  if (focused) return Number(focused.dataset.index);
  const slots = TASKS[state.info.task].zones.length;
  for (let slot = 0; slot < slots; slot += 1) if (!state.files[slot]) return slot;
  return slots - 1;
}

addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  for (const over of document.querySelectorAll(".over")) over.classList.remove("over");
  if ($("work").hidden) return;
  const files = [...event.dataTransfer.files];
  const target = event.target.closest?.(".zone");
  if (files.length) take(files, target ? Number(target.dataset.index) : free());
  else fail(new Failure("That was no file: save the picture first, then drop it.", 400, null));
});
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (!files.length || $("work").hidden) return;
  event.preventDefault();
  take(files, free());
});

// --- asking the model

async function run() {
  state.running?.abort();
  const running = state.running = new AbortController();
  const task = TASKS[state.info.task];
  $("alert").replaceChildren();
  clear();
  $("result").hidden = false;
  $("said").textContent = "Asking the model …";
  $("stage").setAttribute("aria-busy", "true");
  const from = performance.now();
  try {
    await shrink();
    await show();
    if (running.signal.aborted) return;
    const answer = await task.run(running.signal);
    if (running.signal.aborted) return;
    if (answer) finish(answer, performance.now() - from);
  } catch (error) {
    if (running.signal.aborted) return;
    if (!(error instanceof Failure)) throw error;
    clear();
    if (!state.size) $("result").hidden = true;
    fail(error, run);
  } finally {
    if (!running.signal.aborted) $("stage").removeAttribute("aria-busy");
  }
}

function clear() {
  state.answer = null;
  state.picked = null;
  for (const id of ["match", "list", "people", "answer", "turned"]) $(id).hidden = true;
  for (const id of ["said", "answered"]) $(id).textContent = "";
  $("stage").querySelector("svg")?.remove();
}

function finish(answer, ms) {
  if (answer.model_version !== state.info.version || answer.model_name !== state.info.name) {
    call("api/model/info").then(introduce, () => {});  // another version took over
  }
  state.answer = answer;
  const result = answer.results?.[0];
  if (result) {
    // Chromium shows WebP as it is stored, whatever its EXIF says: then better no picture.
    const picture = $("picture");
    picture.hidden = picture.naturalWidth !== result.width;
    $("turned").hidden = !picture.hidden;
    frame(result.width, result.height);
    $("box").hidden = state.info.task !== "landmarks";
    if (!state.box) fields([0, 0, ...state.size]);  // a turned WebP has other sides here
  }
  $("answered").textContent = `${answer.model_name} ${answer.model_version}, ${Math.round(ms)} ms`;
  $("json").textContent = JSON.stringify(answer, null, 1).replace(
    /\[\s+([^[\]{}]*?)\s+\]/g, (_, inner) => `[${inner.replace(/\s+/g, " ")}]`);
  $("answer").hidden = false;
  TASKS[state.info.task].tell?.(answer);
  draw();
}

function post(ability, query, signal) {
  const file = state.files[0];
  const headers = { "content-type": file.type || "application/octet-stream" };
  return call(`api/${ability}${query}`, { method: "POST", body: file, headers, signal });
}

/** Show the pictures themselves, so far as this browser can. */
async function show() {
  for (const [index, zone] of [...$("zones").children].entries()) {
    const url = state.urls[index];
    zone.querySelector("img")?.remove();
    zone.classList.toggle("small", Boolean(url));
    if (!url) continue;
    zone.querySelector("span").replaceChildren(element("b", "Choose another"),
      ` ${TASKS[state.info.task].zones[index].toLowerCase()}`);
    if (TASKS[state.info.task].zones.length > 1) {
      const image = element("img", "", { alt: "", src: url });
      zone.querySelector("input").after(image);
      await image.decode().catch(() => image.remove());
    }
  }
  if (TASKS[state.info.task].zones.length > 1) return;
  const picture = $("picture");
  if (picture.src !== state.urls[0]) {
    state.size = null;
    picture.src = state.urls[0];
    picture.hidden = false;
    try {
      await picture.decode();
      frame(picture.naturalWidth, picture.naturalHeight);
    } catch {
      picture.hidden = true;  // the server may know better
    }
  }
  $("stage").hidden = !state.size;
  $("stage").classList.toggle("chooses", state.info.task === "system");
  $("stage").classList.toggle("draws", state.info.task === "landmarks");
  $("threshold").hidden = state.info.task !== "detection";
  $("box").hidden = state.info.task !== "landmarks" || !state.size;
  if (state.size) fields(state.box ?? [0, 0, ...state.size]);
}

/** Make the stage as large as the picture as it is displayed, within the window. */
function frame(width, height) {
  state.size = [width, height];
  const stage = $("stage");
  stage.hidden = false;
  stage.style.aspectRatio = `${width} / ${height}`;
  stage.style.width = `min(100%, ${Math.max(width, 480)}px, ${72 * width / height}vh)`;
}
