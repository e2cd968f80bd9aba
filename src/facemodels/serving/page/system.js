TASKS.system = {
  intro: "Finds every face of a photo. Choose two faces, of one photo or of two, to compare them.",
  zones: ["Photo"], open: openGalleries, run: findFaces, draw: drawPeople, tell: tellPeople,
};
// Up to two faces that are compared, of any photos: { face, number, space, picture }.
const compared = [];

async function findFaces(signal) {
  const answer = await post("faces", "", signal);
  await nameFaces(answer.results[0].faces, signal);
  return answer;
}

function tellPeople(answer) {
  if (compared.some((one) => one.space !== answer.embedding_space)) compared.length = 0;
  const { faces } = answer.results[0];
  $("cards").replaceChildren(...faces.map((face, index) => card(face, index)));
  $("people").hidden = !faces.length;
}

/** A face as a button: how it looks, and how well it was seen. */
function card(face, index) {
  const item = element("li");
  const button = element("button", "", { type: "button", class: "person" });
  const words = element("span");
  words.append(element("strong", `Face ${index + 1}`), element("span", told(face)));
  const name = whoIs(face);
  if (name) words.append(element("span", name.told, { class: name.person ? "known" : "" }));
  const picture = cutOut(face.box);
  button.append(...(picture ? [picture, words] : [words]));
  button.addEventListener("click", () => choose(face, index));
  item.append(button);
  if ($("gallery").value) item.append(enrolForm(face, index));
  return item;
}

/** The part of the photo around a box, or null where the browser does not show the photo. */
function cutOut([x0, y0, x1, y1]) {
  if ($("picture").hidden) return null;
  const side = 1.3 * Math.max(x1 - x0, y1 - y0);
  const canvas = element("canvas", "", { width: 128, height: 128, "aria-hidden": "true" });
  const [left, top] = [(x0 + x1 - side) / 2, (y0 + y1 - side) / 2];
  canvas.getContext("2d").drawImage($("picture"), left, top, side, side, 0, 0, 128, 128);
  return canvas;
}

function choose(face, index) {
  const at = compared.findIndex((one) => one.face === face);
  if (at >= 0) {
    compared.splice(at, 1);
  } else {
    if (compared.length === 2) compared.shift();  // the one that was chosen first
    const space = state.answer.embedding_space;
    compared.push({ face, number: index + 1, space, picture: cutOut(face.box) });
  }
  draw();
}

function drawPeople(canvas, unit) {
  const { faces } = state.answer.results[0];
  for (const [index, face] of faces.entries()) {
    const group = boxed(face, index);
    if (compared.some((one) => one.face === face)) group.classList.add("picked");
    group.addEventListener("click", () => choose(face, index));
    canvas.append(group);
    const wide = (face.box[2] - face.box[0]) / unit;
    const person = whoIs(face)?.person;
    if (wide >= 30 && faces.length <= 60) group.append(...tag(face, unit, person ?? undefined));
  }
  for (const [index, item] of [...$("cards").children].entries()) {
    const chosen = compared.some((one) => one.face === faces[index]);
    item.firstChild.setAttribute("aria-pressed", String(chosen));
  }
  showCompared();
  if (compared.length < 2) {
    const found = faces.length === 1 ? "1 face." : `${faces.length || "No"} faces.`;
    const next = compared.length ? " Choose a second one, here or in another photo."
      : faces.length ? " Choose two to compare them." : "";
    $("said").textContent = found + namesIn(faces) + next;
  }
}

/** The faces that are compared, and the verdict where they are two. */
function showCompared() {
  $("compared").replaceChildren(...compared.map(({ picture, number }) => {
    const shown = element("span", picture ? "" : `Face ${number}`);
    if (picture) shown.append(picture);
    return shown;
  }));
  $("compared").hidden = !compared.length;
  $("match").hidden = compared.length < 2;
  if (compared.length < 2) return;
  const [one, other] = compared.map(({ face }) => face.embedding);
  const similarity = one.reduce((sum, value, at) => sum + value * other[at], 0);
  const { threshold, fmr } = state.answer.verification;
  tellMatch({ similarity, threshold, fmr, same_person: similarity >= threshold });
}
