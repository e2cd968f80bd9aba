// What the gallery says of each face, by its box; empty without a gallery.
const people = new Map();

/** Offer the galleries of the server, where it has some and the token may see them. */
async function openGalleries() {
  const { galleries } = await call("api/galleries").catch(() => ({ galleries: [] }));
  const chosen = $("gallery").value;
  $("gallery").replaceChildren(
    ...galleries.map(({ name }) => element("option", name, { value: name })),
    element("option", "no gallery", { value: "" }),
  );
  if (galleries.some(({ name }) => name === chosen)) $("gallery").value = chosen;
  $("galleries").hidden = !galleries.length;
}

$("galleries").addEventListener("submit", (event) => event.preventDefault());
$("gallery").addEventListener("change", () => { if (state.files[0]) run(); });

/** Ask the gallery who the faces are. What it cannot tell leaves them without a name. */
async function nameFaces(faces, signal) {
  people.clear();
  $("gallery-said").textContent = "";
  const gallery = $("gallery").value;
  if (!gallery || !faces.length) return;
  try {
    const answer = await post("identify", `?${new URLSearchParams({ gallery, choose: "all" })}`,
      signal);
    for (const face of answer.results[0].faces) people.set(face.box.join(), face);
    $("gallery-said").textContent = `Named from the similarity ${round(answer.threshold, 3)} on.`
      + falseMatches(answer.fmr);
  } catch (error) {
    if (!(error instanceof Failure) || error.status === 401) throw error;
    $("gallery-said").textContent = error.message;
  }
}

/** The name of a face and what to say of it; null where the gallery says nothing. */
function whoIs(face) {
  const found = people.get(face.box.join());
  if (!found) return null;
  const [best] = found.people;
  const alike = best ? `${best.person} ${best.similarity.toFixed(3)}` : "nobody enrolled";
  return { person: found.person, told: found.person ? alike : `unknown (${alike})` };
}

function namesIn(faces) {
  const names = faces.map((face) => whoIs(face)?.person).filter(Boolean);
  return names.length ? ` ${names.join(", ")}.` : "";
}

/** A field for the name of a face, which opens at a click. */
function enrolForm(face, index) {
  const form = element("form", "", { class: "enrol" });
  const open = element("button", "Enrol", { type: "button" });
  const field = element("input", "", {
    type: "text", maxlength: 200, required: "", placeholder: "Name", autocomplete: "off",
    "aria-label": `Name of face ${index + 1}`, hidden: "",
  });
  open.setAttribute("aria-label", `Enrol face ${index + 1}`);
  form.append(field, open);
  open.addEventListener("click", (event) => {
    if (!field.hidden) return;
    event.preventDefault();
    field.hidden = false;
    field.value = whoIs(face)?.person ?? "";
    open.type = "submit";
    open.classList.add("main");
    field.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const person = field.value.trim();
    if (person) enrolFace(face, person, false);
  });
  return form;
}

async function enrolFace(face, person, also) {
  const box = face.box.join();
  const query = new URLSearchParams({ person, box, ...(also ? { also: "true" } : {}) });
  $("alert").replaceChildren();
  try {
    await post(`galleries/${$("gallery").value}/faces`, `?${query}`);
    await nameFaces(state.answer.results[0].faces);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    fail(error);
    if (error.code === "other_person") offerAlso(face, person);
    return;
  }
  tellPeople(state.answer);
  draw();
}

function offerAlso(face, person) {
  const button = element("button", `Enrol as ${person} all the same`, { type: "button" });
  button.addEventListener("click", () => enrolFace(face, person, true));
  $("alert").firstChild.append(element("br"), button);
}
