// --- sending pictures

const MOST_BYTES = 9_500_000;  // of a request; a server takes 10 MB unless its settings differ
const LONGEST_SIDE = 4096;  // pixels of a picture that is shrunk; a phone's has 4000 and more

/** Shrink the pictures that have too many bytes, as a phone's may. */
async function shrink() {
  const most = MOST_BYTES / TASKS[state.info.task].zones.length;
  for (const [slot, file] of state.files.entries()) {
    if (!file || file.size <= most) continue;
    $("said").textContent = "Making the picture smaller …";
    const smaller = await shrunk(file);
    if (smaller.size >= file.size || state.files[slot] !== file) continue;
    URL.revokeObjectURL(state.urls[slot]);
    state.files[slot] = smaller;
    state.urls[slot] = URL.createObjectURL(smaller);
  }
}

async function shrunk(file) {
  let picture;
  try {
    picture = await createImageBitmap(file);
  } catch {
    return file;  // the server says what is wrong with it
  }
  const scale = Math.min(1, LONGEST_SIDE / Math.max(picture.width, picture.height));
  const [width, height] = [picture.width, picture.height].map((side) => Math.round(side * scale));
  const canvas = element("canvas", "", { width, height });
  canvas.getContext("2d").drawImage(picture, 0, 0, width, height);
  picture.close();
  const blob = await new Promise((done) => { canvas.toBlob(done, "image/jpeg", 0.9); });
  return blob ? new File([blob], "picture.jpg", { type: "image/jpeg" }) : file;
}

/** As `fetch`, but it tells how much is sent, which `fetch` cannot. */
function send(path, { method, body, headers, signal }) {
  return new Promise((done, refuse) => {
    const request = new XMLHttpRequest();
    request.open(method, path);
    for (const [name, value] of headers) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", tellProgress);
    request.addEventListener("load", () => {
      const id = request.getResponseHeader("x-request-id");
      const told = id ? { "x-request-id": id } : {};
      done(new Response(request.response, { status: request.status, headers: told }));
    });
    request.addEventListener("error", () => refuse(new TypeError("broke off")));
    request.addEventListener("abort", () => refuse(new DOMException("", "AbortError")));
    request.addEventListener("loadend", () => { $("sending").hidden = true; });
    signal.addEventListener("abort", () => request.abort());
    request.send(body);
  });
}

function tellProgress({ loaded, total }) {
  const whole = loaded >= total;
  if (whole && $("sending").hidden) return;  // it was sent at once
  $("sending").hidden = false;
  $("progress").value = loaded / total;
  $("sent").textContent = whole ? "Sent. The model is at work."
    : `Sending: ${round(loaded / 1e6)} of ${round(total / 1e6)} MB`;
}

$("cancel").addEventListener("click", () => {
  state.running.abort();
  clear();
  $("stage").removeAttribute("aria-busy");
  fail(new Failure("Cancelled. There is no answer for this picture.", 0, null), run);
});

// --- what a refusal means to who looks at the page; the server's own sentence stands below

const WORDS = {
  body_too_large: "The picture is too large for this server. Choose a smaller one.",
  too_many_pixels: "The picture has too many pixels for this server. Choose a smaller one.",
  undecodable_image: "The picture cannot be read. It may be broken, or only half copied.",
  unsupported_media_type: "That is no picture that can be read here. Choose a JPEG, PNG, WebP or BMP.",
  no_face: "No face was found. Choose a picture that shows one clearly.",
  several_faces: "There are several faces. Choose a picture of one person.",
  poor_face: "The face is too small or too blurred. Choose a sharper picture.",
  overloaded: "The server has much to do just now. Try again in a moment.",
  ending: "The server is being restarted. Try again in a moment.",
  deadline: "The answer took too long. Try again in a moment.",
  body_timeout: "Sending took too long. Try a smaller picture or a better connection.",
  unauthenticated: "The server does not know this token.",
  forbidden: "This token does not allow that.",
  internal: "Something went wrong in the server. Its operator finds the cause by the number below.",
};
