TASKS.detection = {
  intro: "Finds the faces of a picture.", zones: ["Picture"], run: detect, draw: drawFaces,
};

function detect(signal) {
  // All of them, once: the slider then chooses among them here.
  return post("detect", "?threshold=0", signal);
}

function drawFaces(canvas, unit) {
  const every = state.answer.results[0].faces;
  const faces = every.filter((face) => face.score >= state.threshold);
  for (const [index, face] of faces.entries()) {
    const group = boxed(face, index);
    if (face === state.picked) group.classList.add("picked");
    canvas.append(group);
    const wide = (face.box[2] - face.box[0]) / unit;
    if (wide >= 30 && faces.length <= 60) group.append(...tag(face, unit));
  }
  const at = state.threshold.toFixed(2);
  const lower = every.length - faces.length;
  const found = faces.length === 1 ? "1 face scores" : `${faces.length} faces score`;
  $("said").textContent = (faces.length ? `${found} at least ${at}.` : `No face scores ${at}.`)
    + (lower ? ` ${lower} weaker ${lower === 1 ? "find is" : "finds are"} not shown.` : "");
  $("list").hidden = !faces.length;
  $("faces").replaceChildren(...faces.map((face, index) => {
    const [x0, y0, x1, y1] = face.box.map((value) => round(value, 0));
    const item = element("li");
    const text = `${index + 1}: ${face.score.toFixed(3)} at ${x0}, ${y0} to ${x1}, ${y1}`;
    const button = element("button", text, {
      type: "button", class: "number", "aria-pressed": String(face === state.picked),
    });
    button.addEventListener("click", () => {
      state.picked = face === state.picked ? null : face;
      draw();
      $("faces").children[index].firstChild.focus();
    });
    item.append(button);
    return item;
  }));
}

/** A face's box, with its number and score to be read when pointed at. */
function boxed(face, index) {
  const [x0, y0, x1, y1] = face.box;
  const sides = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
  const group = shape("g", { class: "face" });
  const title = shape("title", {});
  title.textContent = `Face ${index + 1}: ${told(face)}`;
  group.append(title, shape("rect", { class: "case", ...sides }),
    shape("rect", { class: "edge", ...sides }));
  return group;
}

/** The score of a face, and how well it was seen where that was measured. */
function told({ score, quality }) {
  return [
    `score ${score.toFixed(3)}`,
    ...(quality ? [`eyes ${round(quality.eyes, 0)} px`,
      `sharpness ${round(quality.sharpness, 0)}`] : []),
  ].join(", ");
}

/** A few words on a plate at the upper left of a box, inside where there is no room above. */
function tag(face, unit, words = face.score.toFixed(2)) {
  const [x0, y0] = face.box;
  const text = shape("text", { "font-size": 12 * unit });
  const [width, height] = [(9 + 7 * words.length) * unit, 16 * unit];
  const x = Math.min(Math.max(x0, 0), state.size[0] - width);
  const top = y0 >= height + 2 * unit ? y0 - height - 2 * unit : Math.max(y0, 0) + 2 * unit;
  text.textContent = words;
  text.setAttribute("x", x + 4 * unit);
  text.setAttribute("y", top + 12 * unit);
  return [shape("rect", { class: "tag", x, y: top, width, height, rx: 3 * unit }), text];
}

$("threshold").addEventListener("submit", (event) => event.preventDefault());
$("slider").addEventListener("input", () => {
  state.threshold = Number($("slider").value);
  $("slider-value").textContent = state.threshold.toFixed(2);
  state.picked = null;
  if (state.answer) draw();
});
