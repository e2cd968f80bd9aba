// The 68 points, part by part: from, to, closed.
const PARTS = [
  [0, 16], [17, 21], [22, 26], [27, 30], [31, 35], [36, 41, true], [42, 47, true],
  [48, 59, true], [60, 67, true],
];

TASKS.landmarks = {
  intro: "Fits 68 points to one face. Without a box, the whole picture is taken for the face.",
  zones: ["Picture"], run: fit, draw: drawPoints,
};

function fit(signal) {
  return post("landmarks", state.box ? `?box=${state.box.join(",")}` : "", signal);
}

function drawPoints(canvas, unit) {
  const { points, box } = state.answer.results[0];
  for (const [from, to, closed] of PARTS) {
    const d = `M${points.slice(from, to + 1).map((xy) => xy.join(" ")).join("L")}`
      + (closed ? "Z" : "");
    canvas.append(shape("path", { class: "case thin", d }), shape("path", { class: "shape", d }));
  }
  for (const [cx, cy] of points) {
    canvas.append(shape("circle", { class: "point", cx, cy, r: 2.5 * unit }));
  }
  if (state.box) region(canvas, box);
  $("said").textContent = `${points.length} points in ${state.box ? "the box" : "the picture"}.`;
}

function region(canvas, [x0, y0, x1, y1]) {
  const sides = { x: x0, y: y0, width: x1 - x0, height: y1 - y0 };
  canvas.append(shape("rect", { class: "case thin", ...sides }),
    shape("rect", { class: "region", ...sides }));
}

function fields(box) {
  ["x0", "y0", "x1", "y1"].forEach((id, index) => { $(id).value = round(box[index]); });
}

$("box").addEventListener("submit", (event) => {
  event.preventDefault();
  state.box = ["x0", "y0", "x1", "y1"].map((id) => $(id).valueAsNumber);
  run();
});
$("whole").addEventListener("click", () => {
  state.box = null;
  run();
});

/** Drag a box for the face. */
$("stage").addEventListener("pointerdown", (down) => {
  const stage = $("stage");
  if (state.info.task !== "landmarks" || down.button !== 0 || !state.size) return;
  down.preventDefault();
  const at = (event) => {
    const edge = stage.getBoundingClientRect();
    const part = (value, from, length) => Math.min(Math.max((value - from) / length, 0), 1);
    return [
      part(event.clientX, edge.left, edge.width) * state.size[0],
      part(event.clientY, edge.top, edge.height) * state.size[1],
    ];
  };
  const [x, y] = at(down);
  let box = null;
  const move = (event) => {
    const [u, v] = at(event);
    box = [Math.min(x, u), Math.min(y, v), Math.max(x, u), Math.max(y, v)]
      .map((value) => Number(round(value)));
    const canvas = blank();
    region(canvas, box);
    fields(box);
  };
  const end = (event) => {
    stage.removeEventListener("pointermove", move);
    stage.removeEventListener("pointerup", end);
    stage.removeEventListener("pointercancel", end);
    const unit = state.size[0] / stage.clientWidth;
    const enough = box && Math.min(box[2] - box[0], box[3] - box[1]) >= 8 * unit;
    if (event.type === "pointerup" && enough) {
      state.box = box;
      run();
    } else {
      fields(state.box ?? [0, 0, ...state.size]);
      draw();
    }
  };
  stage.setPointerCapture(down.pointerId);
  stage.addEventListener("pointermove", move);
  stage.addEventListener("pointerup", end);
  stage.addEventListener("pointercancel", end);
});
